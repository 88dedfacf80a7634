"""The embedded index under kill -9: what was flushed is there afterwards, and nothing is stale."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from random import Random

from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from tests.forking import Forked
from tests.indexed_images import SPEC, Kind, image, query
from tests.waiting import eventually

ROUNDS = 8
IMAGES = 400
SETTINGS = IndexSettings(optimise_after=300)


def version_kind(version: int) -> Kind:
    """Every third version hides the image."""
    return Kind.PRIVATE if version % 3 == 0 else Kind.PUBLIC


def write_for_ever(told: str) -> None:
    """In a child: rewrite all images at one version after another, telling what is flushed."""
    directory, begin = json.loads(told)
    index = EdgeVectorIndex.open(Path(directory), SPEC, SETTINGS)
    for version in range(begin, begin + 1_000):
        for start in range(0, IMAGES, 20):
            numbers = range(start, start + 20)
            index.apply([image(f"i{n}", version, version_kind(version)) for n in numbers])
            index.flush()
            sys.stdout.write(f"{version} {start + 20}\n")
            sys.stdout.flush()


def killed_after(directory: Path, log: Path, first: int, reports: int) -> tuple[int, int]:
    """Start a writer, kill it after so many reports; the last (version, images) it flushed."""
    told, errors = json.dumps([str(directory), first]), log.with_suffix(".errors")
    writer = Forked(write_for_ever, told, log, errors=errors)

    def reported() -> bool:
        assert writer.poll() is None, f"it ended by itself: {errors.read_text()[-2000:]}"
        return len(_whole(log)) >= reports

    try:
        eventually(reported, timeout_s=60, interval_s=0.01)
    finally:
        writer.kill()
        writer.wait()
    return _parsed(_whole(log)[-1])


def _whole(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def _parsed(line: str) -> tuple[int, int]:
    version, images = line.split()
    return int(version), int(images)


def test_nothing_flushed_is_lost_and_nothing_hidden_shows(tmp_path: Path) -> None:
    """Eight kills at seeded moments, also while the optimiser's child is at work."""
    random = Random(20260301)
    first = 1
    flushed = dict.fromkeys((f"i{n}" for n in range(IMAGES)), 0)
    directory = tmp_path / "index"
    for number in range(ROUNDS):
        log, reports = tmp_path / f"{number}.log", random.randint(1, 45)
        version, images = killed_after(directory, log, first, reports)
        with closing(EdgeVectorIndex.open(directory, SPEC, SETTINGS)) as index:
            stored = {i.image_id: i for i in index.scan()}
            flushed |= {
                f"i{n}": version if n < images else version - 1
                for n in range(IMAGES)
                if n < images or version > first
            }
            held = {name: stored[name].version if name in stored else 0 for name in flushed}
            assert all(held[name] >= flushed[name] for name in flushed)
            for hit in index.search(query(limit=IMAGES)):
                assert version_kind(stored[hit.image.image_id].version) is Kind.PUBLIC
            listed = sum(version_kind(i.version) is Kind.PUBLIC for i in stored.values())
            assert index.count(listed_only=True) == listed
        first = max(i.version for i in stored.values()) + 1
