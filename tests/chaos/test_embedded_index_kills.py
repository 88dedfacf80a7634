"""The embedded index under kill -9: what was flushed is there afterwards, and nothing is stale."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from tests.conftest import ROOT
from tests.indexed_images import SPEC, Kind, image, query

ROUNDS = 8
IMAGES = 400
SETTINGS = IndexSettings(optimise_after=300)


def version_kind(version: int) -> Kind:
    """Every third version hides the image."""
    return Kind.PRIVATE if version % 3 == 0 else Kind.PUBLIC


def write_for_ever(directory: str, first: int) -> None:
    """In a child: rewrite all images at one version after another, telling what is flushed."""
    index = EdgeVectorIndex.open(Path(directory), SPEC, SETTINGS)
    for version in range(first, first + 1_000):
        for start in range(0, IMAGES, 20):
            numbers = range(start, start + 20)
            index.apply([image(f"i{n}", version, version_kind(version)) for n in numbers])
            index.flush()
            sys.stdout.write(f"{version} {start + 20}\n")
            sys.stdout.flush()


def killed_after(directory: Path, first: int, reports: int) -> tuple[int, int]:
    """Start a writer, kill it after so many reports; the last (version, images) it flushed."""
    command = [sys.executable, "-m", "tests.chaos.test_embedded_index_kills"]
    with subprocess.Popen(
        [*command, str(directory), str(first)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as writer:
        assert writer.stdout is not None
        for _ in range(reports):
            assert writer.stdout.readline(), "the writer ended by itself"
        writer.kill()
        rest = writer.stdout.read().splitlines(keepends=True)
    whole = [line for line in rest if line.endswith("\n")]
    last = whole[-1] if whole else None
    return _parsed(last) if last else (first + (reports - 1) // 20, (reports - 1) % 20 * 20 + 20)


def _parsed(line: str) -> tuple[int, int]:
    version, images = line.split()
    return int(version), int(images)


def test_nothing_flushed_is_lost_and_nothing_hidden_shows(tmp_path: Path) -> None:
    """Eight kills at seeded moments, also while the optimiser's child is at work."""
    random = Random(20260301)
    first = 1
    flushed = dict.fromkeys((f"i{n}" for n in range(IMAGES)), 0)
    for _ in range(ROUNDS):
        version, images = killed_after(tmp_path, first, random.randint(1, 45))
        with closing(EdgeVectorIndex.open(tmp_path, SPEC, SETTINGS)) as index:
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


if __name__ == "__main__":
    write_for_ever(sys.argv[1], int(sys.argv[2]))
