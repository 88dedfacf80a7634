"""From a released model to answers by it, and back: the command's part and the API's apart.

    python -m benchmarks.promotion --results DIR [--turns 10]

One embedded node with some photos. In each turn `sightline promote` lets another linear model serve
by a matrix on the query, and `sightline rollback` leads back, while somebody searches without a
pause. The time of the record's change is the one that the record tells. Then a generation is filled
and switched to, and back, while somebody searches: how long did the slowest search take?
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.beside import beside
from benchmarks.harness import Figure, Size, percentile, report
from benchmarks.node import Client
from benchmarks.stack import photo_bytes
from sightline.engine.connecting.connections import open_object_store
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.embedding.projections import Projection, load_linear
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Serves
from sightline.engine.settings import ApiSettings, LabelSettings, Mode, Settings
from sightline.infra.commands.opened_store import over_store
from sightline.infra.commands.reindex import ReindexCommands, Wish
from sightline.infra.commands.rollout import Rollout
from sightline.infra.local.node_process import NodeProcess, environment_of
from sightline.training.models.candidates import of_settings
from sightline.training.models.registry import NewModel, store_model
from sightline.training.models.released_head import registered

PHOTOS = 40
SEARCHES = 2_000
GOAL_S = 1.0
_LOOK_S = 0.005
_LIMIT_S = 120.0
_FIRST = "photo-0"


@dataclass(frozen=True, slots=True)
class Took:
    """How long one step took, in seconds."""

    command_s: float
    """From the start of the command's process to the change of the record."""
    api_s: float
    """From there to the first search that was answered by it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node that runs, and who changes what serves in it."""

    settings: Settings
    process: NodeProcess

    def command(self, *words: str) -> float:
        """Run a command of `sightline`; when it was started, in seconds of the clock.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        started = time.time()
        subprocess.run(  # noqa: S603 - our own interpreter and words
            [sys.executable, "-m", "sightline.infra.cli", *words],
            env=os.environ | environment_of(self.settings),
            capture_output=True,
            check=True,
        )
        return started

    def state(self) -> ServingState:
        """What serves."""
        with closing(open_object_store(self.settings)) as store:
            return ServingRecord.of(self.settings, store).read().state

    def released(self, number: int) -> str:
        """A model of the registry that is linear over the one that serves, by its number."""
        with closing(open_object_store(self.settings)) as store:
            model = linear_model(self.settings, "turned", number)
            return f"turned@{store_model(store, self.settings.store.bucket, model)}"

    def filled(self, model: str) -> str:
        """A generation of a model, proven and ready; its name."""
        with closing(open_object_store(self.settings)) as store:
            commands = ReindexCommands(self.settings, store)
            asked = commands.ask(Wish(model=model, by="features"))
            for _ in commands.watch(asked.generation, threading.Event(), every_s=_LOOK_S):
                pass
        return asked.generation


def linear_model(settings: Settings, name: str, number: int) -> NewModel:
    """A model that is linear over the shipped one, near it, and another for each number."""
    shipped = load_linear(PACKAGED_PROJECTION)
    size = shipped.matrix.shape[1]
    turn = np.eye(size) + np.random.default_rng(number).normal(0, 0.2 / size**0.5, (size, size))
    drawn = Projection(shipped.mean, (shipped.matrix @ turn).astype(np.float32))
    candidate = replace(of_settings(name, settings.embedder), projection=drawn)
    return registered(candidate, name, metrics={}, lineage={})


class Answers:
    """Searches without a pause, and which model answered each."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._changes: list[tuple[float, str]] = []
        self.took_ms: list[float] = []

    def ask(self, over: threading.Event) -> None:
        """Search until it is over."""
        with Client(self._url) as client:
            while not over.wait(_LOOK_S):
                answer = client.send("POST", "/v1/search", {"image_id": _FIRST})
                self.took_ms.append(answer.ms)
                model = str(answer.document["model"])
                if not self._changes or self._changes[-1][1] != model:
                    self._changes.append((time.time(), model))

    def wait(self, searches: int) -> None:
        """Until so many searches have been answered."""
        while len(self.took_ms) < searches:
            time.sleep(_LOOK_S)

    def changed(self, since_s: float) -> float:
        """When the first search was answered by another model after an instant.

        Raises:
            TimeoutError: none was.
        """
        deadline = time.monotonic() + _LIMIT_S
        while time.monotonic() < deadline:
            for at_s, _ in self._changes:
                if at_s >= since_s:
                    return at_s
            time.sleep(_LOOK_S)
        raise TimeoutError("no search was answered by another model")


@contextmanager
def place(photos: int = PHOTOS) -> Iterator[Place]:
    """An embedded node of its own, with photos that searches find."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as scratch:
        folder = Path(scratch)
        settings = Settings(
            mode=Mode.EMBEDDED,
            data_directory=folder / "data",
            api=ApiSettings(port=0, requests_per_minute=10**9),
            labels=LabelSettings(supervised=False),
        )
        with NodeProcess(settings, folder / "node.log") as process:
            with Client(process.url) as client:
                for number, photo in enumerate(photo_bytes(photos, folder)):
                    path = f"/v1/images/photo-{number}?wait=searchable&timeout_s=60"
                    client.upload(photo, path, "PUT", visibility="public")
            yield Place(settings, process)


def measure(size: Size, *, turns: int | None = None) -> list[Figure]:
    """Promote and roll back in turn."""
    there: list[Took] = []
    back: list[Took] = []
    turns = turns or size.of(10, 1)
    with place(size.of(PHOTOS, 4)) as node:
        with _answering(node.process.url) as answers:
            for number in range(turns):
                model = node.released(number)
                there.append(_step(node, answers, "promote", model, "--no-wait"))
                back.append(_step(node, answers, "rollback"))
        waits = _switching(node, turns, size.of(SEARCHES, 20))
    return [
        _figure(
            "from the record's change to an answer by the matrix", [one.api_s for one in there]
        ),
        _figure("from the record's change to an answer, on the way back", [o.api_s for o in back]),
        _figure("from the command's start to the record's change", [o.command_s for o in there], 0),
        _figure("the same of `sightline rollback`", [one.command_s for one in back], 0),
        waits,
    ]


@contextmanager
def _answering(url: str) -> Iterator[Answers]:
    answers = Answers(url)
    with beside(answers.ask):
        yield answers


def _switching(node: Place, turns: int, searches: int) -> Figure:
    """The slowest search while two generations serve in turn; half of the turns are rollbacks."""
    name = node.filled(node.released(0))
    with _answering(node.process.url) as calm:
        calm.wait(searches)
    with _answering(node.process.url) as busy:
        for turn in range(turns):
            since_s = time.time()
            with over_store(Rollout.of, node.settings) as rollout:
                if turn % 2:
                    rollout.rollback("by the benchmark")
                else:
                    rollout.switch(Serves(generation=name), "by the benchmark")
            busy.changed(since_s)
            busy.wait((turn + 1) * searches // turns)
    during = busy.took_ms
    return Figure(
        name=f"slowest search during {turns} switches and rollbacks",
        value=max(during),
        unit="ms",
        detail=f"{_spread(during)}; without one {_spread(calm.took_ms)}; "
        f"load {os.getloadavg()[0]:.1f}",
    )


def _spread(took_ms: list[float]) -> str:
    return (
        f"{len(took_ms)} searches, p50 {median(took_ms):.1f}, "
        f"p99 {percentile(took_ms, 0.99):.1f}, slowest {max(took_ms):.1f} ms"
    )


def _step(node: Place, answers: Answers, *words: str) -> Took:
    started = node.command(*words)
    state = node.state()
    step = state.step
    assert step is not None
    changed = step.at.timestamp()
    return Took(command_s=changed - started, api_s=answers.changed(changed) - changed)


def _figure(name: str, took: list[float], goal_s: float = GOAL_S) -> Figure:
    worst = max(took)
    return Figure(
        name=name,
        value=worst,
        unit="s",
        goal=f"≤ {goal_s:.0f}" if goal_s else "",
        met=worst <= goal_s if goal_s else None,
        detail=f"worst of {len(took)}; median {median(took):.2f} s; load {os.getloadavg()[0]:.1f}",
    )


def main() -> None:
    """Measure as many turns as asked for, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--results", type=Path, required=True, help="where the JSON goes")
    given = parser.parse_args()
    report("promotion", measure(Size.FULL, turns=given.turns), given.results)


if __name__ == "__main__":
    main()
