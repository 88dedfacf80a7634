"""A new model beside the one that serves: by features or bytes, under live traffic, and back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sightline.engine.connecting.connections import open_object_store
from sightline.engine.embedding.embedder import Projection, load_projection
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.settings import Settings
from sightline.infra.cli.main import app
from sightline.infra.local.node_process import NodeProcess, environment_of
from sightline.infra.sample_photos.photo_folder import PhotoFolder
from sightline.training.models.candidates import of_settings
from sightline.training.models.registry import store_model
from sightline.training.models.released_head import registered
from tests.asking import Asking, embedded, ok
from tests.waiting import eventually

PHOTOS = PhotoFolder(Path(__file__).parent.parent / "data" / "photos" / "images")
COUNT = 40


@dataclass
class Traffic:
    """What people do while a generation is filled."""

    api: Asking
    stop: threading.Event = field(default_factory=threading.Event)
    generations: list[str] = field(default_factory=list)
    """Which one answered each search, in turn."""
    failures: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    """Images that a search returned after they had been hidden or deleted."""
    gone: set[str] = field(default_factory=set)
    rounds: int = 0

    def run(self) -> None:
        """Upload, search, hide and delete, round after round, until told to stop."""
        while not self.stop.is_set():
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - told by the test
                self.failures.append(repr(error))
                return
            self.rounds += 1

    def _round(self) -> None:
        image_id, photo = f"live-{self.rounds}", PHOTOS.sample(COUNT + self.rounds)
        ok(self.api.upload(image_id, photo))
        self._search(photo)
        if self.rounds % 3 == 1:
            ok(self.api.change(image_id, visibility="private"))
            self.gone.add(image_id)
        if self.rounds % 3 == 2:
            ok(self.api.remove(image_id))
            self.gone.add(image_id)
        self._search(photo)

    def _search(self, photo: bytes) -> None:
        hidden = set(self.gone)
        answer = ok(self.api.search(photo))
        self.generations.append(answer["generation"])
        self.shown += [r["image_id"] for r in answer["results"] if r["image_id"] in hidden]


@contextmanager
def traffic(url: str) -> Iterator[Traffic]:
    """People who are there for the length of a block; nothing failed, nothing hidden was shown."""
    with Asking(url) as api:
        people = Traffic(api)
        thread = threading.Thread(target=people.run)
        thread.start()
        try:
            yield people
        finally:
            people.stop.set()
            thread.join()
    assert people.failures == []
    assert people.shown == []
    assert people.rounds > 0


def said(*arguments: str) -> str:
    """What a command that succeeds prints."""
    ended = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def release(settings: Settings, name: str, seed: int) -> str:
    """`NAME@DIGEST` of a model with the serving network and a projection of its own."""
    shipped = load_projection(PACKAGED_PROJECTION)
    weights = np.random.default_rng(seed).uniform(0.5, 1.5, shipped.matrix.shape[1])
    drawn = Projection(shipped.mean, (shipped.matrix * weights).astype(np.float32))
    candidate = replace(of_settings(name, settings.embedder), projection=drawn)
    with closing(open_object_store(settings)) as store:
        model = registered(candidate, name, metrics={}, lineage={})
        return f"{name}@{store_model(store, settings.store.bucket, model)}"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, NodeProcess]]:
    """A stack of the test's own with forty photos, which commands find."""
    settings = embedded(tmp_path / "data")
    labels = settings.labels.model_copy(update={"supervised": False})
    settings = settings.model_copy(update={"labels": labels})
    for variable, value in environment_of(settings).items():
        monkeypatch.setenv(variable, value)
    with NodeProcess(settings, tmp_path / "node.log") as node:
        with Asking(node.url) as api:
            for number in range(COUNT):
                ok(
                    api.upload(
                        f"photo-{number}", PHOTOS.sample(number), wait=False, tags=tag(number)
                    )
                )
            eventually(lambda: indexed(api) == COUNT, timeout_s=60)
        yield settings, node


def tag(number: int) -> str:
    """Every tenth photo is red."""
    return "red" if number % 10 == 0 else "blue"


def indexed(api: Asking) -> int:
    """How many of the photos are searchable."""
    return sum(api.status(f"photo-{number}")["status"] == "indexed" for number in range(COUNT))


def test_a_new_model_comes_into_service_and_goes_again(
    own: tuple[Settings, NodeProcess],
) -> None:
    """By features, then by bytes: no search fails, and what answers is what the record says."""
    settings, node = own
    with Asking(node.url) as api:
        first = ok(api.search(PHOTOS.sample(0)))["generation"]
    for name, by in (("turned", "features"), ("drawn", "bytes")):
        model = release(settings, name, seed=len(name))
        with traffic(node.url) as people:
            told = said("reindex", model, "--by", by)
            generation = named_in(told)
            assert f"filled by {by}" in told
            assert "is ready" in told
            assert set(people.generations) == {first}
            said("switch", generation)
            eventually(lambda: people.generations[-1] == generation, timeout_s=30)  # noqa: B023
            said("rollback")
            eventually(lambda: people.generations[-1] == first, timeout_s=30)
        changes = [b for a, b in pairwise(people.generations) if a != b]
        assert changes == [generation, first]


def named_in(told: str) -> str:
    """The generation that a command's output names."""
    found = re.search(r"generation (g-[0-9a-f]{16})", told)
    assert found is not None, told
    return found[1]


def test_killed_while_it_is_filled_it_goes_on(own: tuple[Settings, NodeProcess]) -> None:
    """`kill -9` of the process in the middle of either way; the command's wish outlives it."""
    settings, node = own
    for name, by in (("turned", "features"), ("drawn", "bytes")):
        model = release(settings, name, seed=len(name))
        said("reindex", model, "--by", by, "--rate", "200", "--no-wait")
        with Asking(node.url) as api:
            ok(api.upload(f"late-{name}", PHOTOS.sample(COUNT), wait=False))
        node.kill()
        node.start()
        told = said("reindex", model)
        assert "is ready" in told, told
        assert f"{COUNT + 1 + (by == 'bytes')} images compared" in told
