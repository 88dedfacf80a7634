"""A model that comes into service under people's hands: commands, models, and the people."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from sightline.engine.connecting.connections import open_object_store
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.embedding.projections import Projection, load_linear
from sightline.engine.settings import Settings
from sightline.infra.cli.main import app
from sightline.infra.sample_photos.photo_folder import PhotoFolder
from sightline.training.models.candidates import of_settings
from sightline.training.models.registry import store_model
from sightline.training.models.released_head import registered
from tests.asking import Asking, ok
from tests.waiting import eventually

PHOTOS = PhotoFolder(Path(__file__).parent / "data" / "photos" / "images")
COUNT = 40
"""The first photos are there before; people upload those that follow."""
PAUSE_S = 0.2
"""Between two rounds: people leave the cores to what they wait for."""
SAME_MODEL = 0.999
"""A picture's own image scores 1 where one model made both vectors, .96 by the models of `release`
where two did."""


@dataclass
class Traffic:
    """What people do while a generation is filled; each search goes to the next API process."""

    apis: Sequence[Asking]
    stop: threading.Event = field(default_factory=threading.Event)
    generations: list[str] = field(default_factory=list)
    """Which one answered each search, in turn."""
    models: list[tuple[str, bool]] = field(default_factory=list)
    """The model of each answer, and whether it ranked vectors of another one."""
    failures: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    """Images that a search returned after they had been hidden or deleted."""
    mixed: list[str] = field(default_factory=list)
    """Answers that score an image otherwise than the one model does that made its vector."""
    compared: int = 0
    """Answers with the picture's own image, whose score tells."""
    kept: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    rounds: int = 0

    def __post_init__(self) -> None:
        """Begin with the first process."""
        self._next = cycle(self.apis)

    def run(self) -> None:
        """Upload, search, hide and delete, round after round, until told to stop."""
        while not self.stop.wait(PAUSE_S):
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - told by the test
                self.failures.append(repr(error))
                return
            self.rounds += 1

    def _round(self) -> None:
        api = next(self._next)
        image_id, photo = f"live-{self.rounds}", PHOTOS.sample(COUNT + self.rounds)
        ok(api.upload(image_id, photo))
        self.kept.add(image_id)
        self._search(photo, image_id)
        if self.rounds % 3 == 1:
            ok(api.change(image_id, visibility="private"))
            self._is_gone(image_id)
        if self.rounds % 3 == 2:
            ok(api.remove(image_id))
            self._is_gone(image_id)
        self._search(photo, image_id)

    def _is_gone(self, image_id: str) -> None:
        self.kept.remove(image_id)
        self.gone.add(image_id)

    def _search(self, photo: bytes, own: str) -> None:
        hidden, person = set(self.gone), f"person-{len(self.generations)}"
        answer = ok(next(self._next).search(photo, session_id=person))
        scores = {r["image_id"]: r["score"] for r in answer["results"]}
        self.generations.append(answer["generation"])
        self.models.append((answer["model"], answer["model"] != answer["indexed_by"]))
        self.shown += sorted(hidden & scores.keys())
        if own in scores and scores[own] < SAME_MODEL:  # another generation may not have it yet
            self.mixed.append(f"{own} scores {scores[own]} by {answer['generation']}")
        self.compared += own in scores


@contextmanager
def traffic(*urls: str) -> Iterator[Traffic]:
    """People who search before, in and after a block; nothing failed, nothing hidden was shown."""
    with ExitStack() as opened:
        people = Traffic([opened.enter_context(Asking(url)) for url in urls])
        thread = threading.Thread(target=people.run)
        thread.start()
        try:
            eventually(lambda: people.rounds or people.failures, timeout_s=60)
            yield people
        finally:
            people.stop.set()
            thread.join()
    assert people.failures == []
    assert people.shown == []
    assert people.mixed == []
    assert people.compared > 0


def said(*arguments: str) -> str:
    """What a command that succeeds prints."""
    ended = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def named_in(told: str) -> str:
    """The generation that a command's output names."""
    found = re.search(r"generation (g-[0-9a-f]{16})", told)
    assert found is not None, told
    return found[1]


def release(settings: Settings, name: str, seed: int) -> str:
    """`NAME@DIGEST` of a model with the serving network and a projection of its own."""
    shipped = load_linear(PACKAGED_PROJECTION)
    weights = np.random.default_rng(seed).uniform(0.5, 1.5, shipped.matrix.shape[1])
    drawn = Projection(shipped.mean, (shipped.matrix * weights).astype(np.float32))
    candidate = replace(of_settings(name, settings.embedder), projection=drawn)
    with closing(open_object_store(settings)) as store:
        model = registered(candidate, name, metrics={}, lineage={})
        return f"{name}@{store_model(store, settings.store.bucket, model)}"


def tag(number: int) -> str:
    """Every tenth photo is red."""
    return "red" if number % 10 == 0 else "blue"


def indexed(api: Asking) -> int:
    """How many of the photos are searchable."""
    return sum(api.status(f"photo-{number}")["status"] == "indexed" for number in range(COUNT))
