"""One deployment, and the operator who goes through the story with it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.beside import beside
from benchmarks.rollout_killing.deployments import Deployment
from benchmarks.rollout_killing.people import LIMIT_S, People
from benchmarks.rollout_killing.story import COMMAND, STORY, Kill, Step
from sightline.engine.connecting.connections import open_object_store
from sightline.engine.connecting.generations import index_generations
from sightline.engine.connecting.open_models import OpenModels
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.embedding.projections import Projection, load_linear
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Serves
from sightline.engine.settings import Settings
from sightline.infra.commands.experiments import starting, stopping
from sightline.infra.commands.experiments.place import ExperimentPlace
from sightline.infra.commands.opened_store import over_store
from sightline.infra.commands.reindex import By, ReindexCommands, Wish
from sightline.infra.commands.rollout import Rollout
from sightline.infra.local.node_process import environment_of
from sightline.stream_workers.reindexing.progress import ProgressRecord
from sightline.training.models.candidates import of_settings
from sightline.training.models.registry import store_model
from sightline.training.models.released_head import registered

RATE_PER_S = 1_000.0
"""Comparing reads some thousands of images: it takes seconds, so that kills come meanwhile."""
SETTLE_S = 10.0
"""A writer waits for the generation that serves; the others read its last writes meanwhile."""
_AGAIN_S = 0.5
"""An operator looks so often whether a step is done, and asks again."""


class ImageEnd(NamedTuple):
    """What a generation knows of an image in the end."""

    version: int
    outcome: str
    listed: bool
    vector: NDArray[np.float32] | None


@dataclass
class Lived:
    """What came of one telling of the story."""

    state: ServingState
    ends: Mapping[str, Mapping[str, ImageEnd]]
    """By generation and image."""
    people: People
    cpu_s: float
    killed: list[str]


class Telling:
    """One telling of the story.

    Args:
        folder: for the logs of commands.
        deployment: of this telling alone; it runs, and is stopped in the end.
        kills: what is killed when, in the order of the steps.
        people: who write and search meanwhile.
    """

    def __init__(
        self, folder: Path, deployment: Deployment, kills: Sequence[Kill], people: People
    ) -> None:
        self.settings = deployment.settings
        self._deployment = deployment
        self._log = folder / "commands.log"
        self._kills = kills
        self.people = people
        self.killed: list[str] = []
        self._models: dict[str, str] = {}
        self._opened = OpenModels(self.settings)

    def live(self) -> Lived:
        """From the first upload to the last step."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._open_doors()
        self.people.upload_all()
        for seed, name in enumerate(("turned", "drawn")):
            self._models[name] = self._stored(name, seed)
        with beside(self.people.search):
            for number, step in enumerate(STORY):
                self._go_through(number, step)
        time.sleep(SETTLE_S)
        state = self._state()
        self._deployment.stop_ours()
        self.people.close()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Lived(state, ends_of(self.settings), self.people, cpu_s, self.killed)

    def _go_through(self, number: int, step: Step) -> None:
        writing = threading.Thread(target=self.people.write, args=(number,))
        writing.start()
        is_done = self._whether_done(step, self._state())
        kills = [kill for kill in self._kills if kill.step == number]
        command: subprocess.Popen[bytes] | None = None
        if any(kill.victim == COMMAND for kill in kills):
            command = self._command(step)
        else:
            self._ask(step)
        for kill in kills:
            time.sleep(kill.after_s)
            self.killed.append(f"{kill.victim}, {kill.after_s:.2f} s into {step}")
            if kill.victim == COMMAND:
                command = self._kill_command(kill, step, command)
            else:
                self._kill(kill.victim)
        writing.join()
        self._finish(step, is_done, command)

    def _finish(
        self,
        step: Step,
        is_done: Callable[[ServingState], bool],
        command: subprocess.Popen[bytes] | None,
    ) -> None:
        """Look until the step is done; ask again where the command ended or was refused."""
        deadline = time.monotonic() + LIMIT_S
        while not is_done(self._state()):
            if time.monotonic() > deadline:
                said = self._log.read_text()[-800:] if self._log.exists() else ""
                raise TimeoutError(f"{step} is not done: {said}")
            time.sleep(_AGAIN_S)
            if self._refused(step) or (command is not None and command.poll() is not None):
                command = None
                self._ask(step)
        if command is not None:
            command.wait(LIMIT_S)

    def _kill_command(
        self, kill: Kill, step: Step, command: subprocess.Popen[bytes] | None
    ) -> subprocess.Popen[bytes]:
        """SIGKILL to the command, which is given again."""
        if command is None or command.poll() is not None:  # it ended when a part was killed
            command = self._command(step)
            time.sleep(kill.after_s)
        command.send_signal(signal.SIGKILL)
        command.wait()
        return self._command(step)

    def _kill(self, victim: str) -> None:
        """SIGKILL to a part, which is started again."""
        for url in self._deployment.shut_by(victim):
            self.people.doors.shut(url)
        part = self._deployment.parts[victim]
        part.kill()
        part.start()
        self._open_doors()

    def _command(self, step: Step) -> subprocess.Popen[bytes]:
        """The command of a re-index, as a process that can be killed."""
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and words
                [
                    *(sys.executable, "-m", "sightline.infra.cli", "reindex"),
                    *(self._models[step.model], "--by", step.by, "--rate", str(RATE_PER_S)),
                ],
                env=os.environ | environment_of(self.settings),
                stdout=log,
                stderr=log,
            )

    def _ask(self, step: Step) -> None:
        """Ask for a step by the command's own code; a repeat changes nothing that is on its way."""
        with over_store(Rollout.of, self.settings) as rollout:
            if step.what == "reindex":
                by: By = "features" if step.by == "features" else "bytes"
                wish = Wish(model=self._models[step.model], by=by, rate_per_s=RATE_PER_S)
                with closing(open_object_store(self.settings)) as store:
                    ReindexCommands(self.settings, store, models=self._opened).ask(wish)
            elif step.what == "switch":
                name = self._generation(rollout.state(), step.model)
                rollout.switch(Serves(generation=name), "by the story")
            elif step.what == "rollback":
                rollout.rollback("by the story")
            else:
                self._experiment(step, rollout.state())

    def _experiment(self, step: Step, state: ServingState) -> None:
        """Let half of those who search be answered by a generation, or nobody any more."""
        with over_store(ExperimentPlace.of, self.settings) as place:
            if step.what == "stop":
                stopping.stop(place, "by the story")
                return
            wishes = starting.ExperimentWishes(
                name=step.model,
                generation=self._generation(state, step.model),
                query_model=None,
                share=0.5,
                interleave=False,
            )
            starting.start(place, wishes)

    def _refused(self, step: Step) -> bool:
        """Whether a comparison found differences, so that somebody has to ask again."""
        if step.what != "reindex":
            return False
        name = self._generation(self._state(), step.model)
        with closing(open_object_store(self.settings)) as store:
            found = ProgressRecord.of(self.settings, store, name).find()
        return found is not None and found.refused

    def _whether_done(self, step: Step, before: ServingState) -> Callable[[ServingState], bool]:
        """What tells that a step has been made."""
        if step.what == "reindex":
            model = self._models[step.model]
            return lambda now: any(one.model == model and one.may_serve for one in now.generations)
        return lambda now: now.number > before.number

    def _generation(self, state: ServingState, name: str) -> str:
        model = self._models[name]
        every = (one.name for one in state.generations if one.model == model)
        return next(every, "none-yet")

    def _state(self) -> ServingState:
        with closing(open_object_store(self.settings)) as store:
            return ServingRecord.of(self.settings, store).read().state

    def _stored(self, name: str, seed: int) -> str:
        """`NAME@DIGEST` of a model with the serving network and a projection of its own."""
        shipped = load_linear(PACKAGED_PROJECTION)
        weights = np.random.default_rng(seed).uniform(0.2, 1.8, shipped.matrix.shape[1])
        drawn = Projection(shipped.mean, (shipped.matrix * weights).astype(np.float32))
        candidate = replace(of_settings(name, self.settings.embedder), projection=drawn)
        with closing(open_object_store(self.settings)) as store:
            model = registered(candidate, name, metrics={}, lineage={})
            return f"{name}@{store_model(store, self.settings.store.bucket, model)}"

    def _open_doors(self) -> None:
        opened = {url for url, _ in self.people.doors.opened()}
        for url in self._deployment.urls():
            if url not in opened:
                self.people.doors.open(url)


def ends_of(settings: Settings) -> dict[str, dict[str, ImageEnd]]:
    """What each generation of a node that has stopped holds."""
    found = {}
    with closing(index_generations(settings)) as generations:
        for name in generations.names():
            with closing(generations.open(name)) as index:
                found[name] = {
                    image.image_id: ImageEnd(
                        image.version, image.outcome.value, image.listed, image.vector
                    )
                    for image in index.scan(vectors=True)
                }
    return found
