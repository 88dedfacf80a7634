"""Two models put beside what serves, by features and by bytes, switched to and taken back: killed.

    python -m benchmarks.rollout_kills [--kills 10] [--photos 120] [--seed 1]

The same story is lived through twice, each time by an embedded node of its own: once undisturbed,
once with `kill -9` of the node or of the command at seeded moments, after each of which it is
started again. People upload, hide, show and delete meanwhile, and search without a pause. In the
end both must be the same: what serves and what served before, each generation, each image's version
and state, each vector. No search may show what is hidden, and every score must be that of the
vectors of the generation which the answer names.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx
import numpy as np
from numpy.typing import NDArray

from sightline.engine.connecting.connections import open_object_store
from sightline.engine.embedding.embedder import Projection, load_projection
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.errors import SightlineError
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Serves
from sightline.engine.settings import ApiSettings, LabelSettings, Mode, Settings
from sightline.infra.commands.reindex import By, ReindexCommands, Wish
from sightline.infra.commands.rollout import Rollout
from sightline.infra.local.node_process import NodeProcess, environment_of
from sightline.infra.sample_photos.photo_folder import PhotoFolder
from sightline.infra.wiring.models import OpenModels
from sightline.infra.wiring.serving import known_generations
from sightline.stream_workers.reindexing.progress import ProgressRecord
from sightline.training.models.candidates import of_settings
from sightline.training.models.registry import store_model
from sightline.training.models.released_head import registered

PHOTOS = PhotoFolder(Path(__file__).parent.parent / "tests" / "data" / "photos" / "images")
MOVED = 3
"""So many images are uploaded, hidden, shown and deleted during each step."""
LONGEST_S = {"reindex": 3.0, "switch": 0.5, "rollback": 0.5}
"""A kill comes at a moment up to so long after its step began."""
RATE_PER_S = 1_000.0
"""Comparing reads some thousands of images: it takes seconds, so that kills come meanwhile."""
SETTLE_S = 10.0
"""A writer waits for the generation that serves; the others read its last writes meanwhile."""
SAME_VECTOR = 1e-5
SAME_COSINE = 0.999
"""Where a generation is filled by features: what came before the seeding has a vector of features
in 8 bits, what came after it one of the picture, and a kill may change which."""
SAME_SCORE = 2e-3
"""Scores of an answer are fp32 of vectors that were stored as such."""
WAIT = {"wait": "searchable", "timeout_s": "60"}
_LIMIT_S = 300.0
_PAUSE_S = 0.05
_AGAIN_S = 0.5
"""An operator looks so often whether a step is done, and asks again."""


class Step(NamedTuple):
    """One thing that an operator does."""

    what: str
    """`reindex`, `switch` or `rollback`."""
    model: str = ""
    by: str = ""

    def __str__(self) -> str:
        return " ".join(word for word in self if word)


STORY = (
    Step("reindex", "turned", "features"),
    Step("switch", "turned"),
    Step("reindex", "drawn", "bytes"),
    Step("switch", "drawn"),
    Step("rollback"),
)


class Kill(NamedTuple):
    """A moment of the story: so long after a step began, or after the kill before it."""

    step: int
    after_s: float
    victim: str
    """`node` or `command`."""


class Shown(NamedTuple):
    """One answer of a search by an indexed image."""

    generation: str
    asked: str
    scores: Mapping[str, float]


class ImageEnd(NamedTuple):
    """What a generation knows of an image in the end."""

    version: int
    outcome: str
    listed: bool
    vector: NDArray[np.float32] | None


def kills_of(count: int, seed: int) -> list[Kill]:
    """Seeded moments, most of them while a generation is filled."""
    random = Random(seed)  # noqa: S311 - a simulation
    found = []
    for _ in range(count):
        step = random.choices(range(len(STORY)), weights=[3, 1, 4, 1, 1])[0]
        what = STORY[step].what
        victim = random.choice(["node", "node", "command"]) if what == "reindex" else "node"
        found.append(Kill(step, random.uniform(0, LONGEST_S[what]), victim))
    return sorted(found, key=lambda kill: kill.step)


@dataclass
class People:
    """Who writes and searches while the operator works; each write is repeated until it is told.

    Args:
        photos: how many pictures there are from the start.
    """

    photos: int
    answers: list[Shown] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hidden_shown: list[str] = field(default_factory=list)
    url: str = ""
    """Of the node that runs; changes with each restart."""
    up: threading.Event = field(default_factory=threading.Event)
    restarts: int = 0
    hidden: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """One client for all writes: making one costs more than many requests."""
        self._client = httpx.Client(timeout=90)

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def write(self, step: int) -> None:
        """What is written during a step: always the same, with versions of its own."""
        for number in range(MOVED):
            self._put(f"new-{step}-{number}", self.photos + step * MOVED + number, 1, "public")
            hides = f"photo-{(step * MOVED + number) * 3 + 1}"
            self._put(hides, _number(hides), 2, "private")
            self.hidden.add(hides)
            goes = f"photo-{(step * MOVED + number) * 3 + 2}"
            self._ask("DELETE", goes, params=WAIT | {"version": "2"})
            self.hidden.add(goes)
        if step:
            shows = f"photo-{(step - 1) * MOVED * 3 + 1}"
            self.hidden.discard(shows)
            self._put(shows, _number(shows), 3, "public")

    def upload_all(self) -> None:
        """The pictures that are there from the start."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._upload, range(self.photos)))

    def _upload(self, number: int) -> None:
        self._put(f"photo-{number}", number, 1, "public")

    def search(self, over: threading.Event) -> None:
        """Search by images that nobody touches, until told to stop."""
        steady = [f"photo-{number * 3}" for number in range(self.photos // 3)]
        with httpx.Client(timeout=60) as client:
            for asked in cycle(steady):
                if over.is_set():
                    return
                self._search(client, asked)
                over.wait(_PAUSE_S)

    def _search(self, client: httpx.Client, asked: str) -> None:
        hidden, restarts = set(self.hidden), self.restarts
        if not self.up.is_set():
            return
        try:
            body = {"image_id": asked, "limit": 24}
            answer = client.post(f"{self.url}/v1/search", json=body).raise_for_status().json()
        except httpx.HTTPError as error:
            if self.up.is_set() and self.restarts == restarts:
                self.failures.append(repr(error))
            return
        scores = {hit["image_id"]: float(hit["score"]) for hit in answer["results"]}
        self.hidden_shown += sorted((hidden & self.hidden) & scores.keys())
        self.answers.append(Shown(answer["generation"], asked, scores))

    def _put(self, image_id: str, number: int, version: int, visibility: str) -> None:
        self._ask(
            "PUT",
            image_id,
            params=WAIT,
            files={"image": ("p.jpg", PHOTOS.sample(number), "image/jpeg")},
            data={"visibility": visibility, "version": str(version)},
        )

    def _ask(self, method: str, image_id: str, **what: Any) -> None:
        deadline = time.monotonic() + _LIMIT_S
        while True:
            self.up.wait(_LIMIT_S)
            try:
                found = self._client.request(method, f"{self.url}/v1/images/{image_id}", **what)
                if found.is_success or found.status_code == httpx.codes.GONE:
                    return
                trouble = found.text
            except httpx.HTTPError as error:
                trouble = repr(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {image_id}: {trouble}")
            time.sleep(_PAUSE_S)


def _number(image_id: str) -> int:
    return int(image_id.removeprefix("photo-"))


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
    """One node, and the operator who goes through the story with it.

    Args:
        folder: of the node alone.
        kills: what is killed when, in the order of the steps.
        photos: how many pictures there are.
    """

    def __init__(self, folder: Path, kills: Sequence[Kill], photos: int) -> None:
        folder.mkdir()
        self.settings = Settings(
            mode=Mode.EMBEDDED,
            data_directory=folder / "data",
            api=ApiSettings(port=0, requests_per_minute=10**9),
            labels=LabelSettings(supervised=False),
        )
        self._node = NodeProcess(self.settings, folder / "node.log")
        self._log = folder / "commands.log"
        self._kills = kills
        self.people = People(photos)
        self.killed: list[str] = []
        self._models: dict[str, str] = {}
        self._opened = OpenModels(self.settings)

    def live(self) -> Lived:
        """From the first upload to the last step; the node is stopped then."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with self._node:
            self._is_up()
            self.people.upload_all()
            for seed, name in enumerate(("turned", "drawn")):
                self._models[name] = self._stored(name, seed)
            with self._searched():
                for number, step in enumerate(STORY):
                    self._go_through(number, step)
            time.sleep(SETTLE_S)
            state = self._state()
            self._node.stop()
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
        if any(kill.victim == "command" for kill in kills):
            command = self._command(step)
        else:
            self._ask(step)
        for kill in kills:
            time.sleep(kill.after_s)
            command = self._kill(kill, step, command)
        writing.join()
        deadline = time.monotonic() + _LIMIT_S
        while not is_done(self._state()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{step} is not done: {self._log.read_text()[-800:]}")
            time.sleep(_AGAIN_S)
            if self._refused(step) or (command is not None and command.poll() is not None):
                command = None
                self._ask(step)
        if command is not None:
            command.wait(_LIMIT_S)

    def _kill(
        self, kill: Kill, step: Step, command: subprocess.Popen[bytes] | None
    ) -> subprocess.Popen[bytes] | None:
        """SIGKILL to a part, which is started again."""
        if kill.victim == "command":
            if command is None or command.poll() is not None:  # it ended when the node was killed
                command = self._command(step)
                time.sleep(kill.after_s)
            self.killed.append(f"command, {kill.after_s:.2f} s into {step}")
            command.send_signal(signal.SIGKILL)
            command.wait()
            return self._command(step)
        self.killed.append(f"node, {kill.after_s:.2f} s into {step}")
        self.people.up.clear()
        self._node.kill()
        self._node.start()
        self._is_up()
        return command

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
        with Rollout.open(self.settings) as rollout:
            if step.what == "reindex":
                by: By = "features" if step.by == "features" else "bytes"
                wish = Wish(model=self._models[step.model], by=by, rate_per_s=RATE_PER_S)
                with closing(open_object_store(self.settings)) as store:
                    ReindexCommands(self.settings, store, models=self._opened).ask(wish)
            elif step.what == "switch":
                name = self._generation(rollout.state(), step.model)
                rollout.switch(Serves(generation=name), "by the story")
            else:
                rollout.rollback("by the story")

    def _refused(self, step: Step) -> bool:
        """Whether a comparison found differences, so that somebody has to ask again."""
        if step.what != "reindex":
            return False
        name = self._generation(self._state(), step.model)
        with closing(open_object_store(self.settings)) as store:
            found = ProgressRecord.of(self.settings, store, name).find()
        return found is not None and found.progress.refused

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
        shipped = load_projection(PACKAGED_PROJECTION)
        weights = np.random.default_rng(seed).uniform(0.2, 1.8, shipped.matrix.shape[1])
        drawn = Projection(shipped.mean, (shipped.matrix * weights).astype(np.float32))
        candidate = replace(of_settings(name, self.settings.embedder), projection=drawn)
        with closing(open_object_store(self.settings)) as store:
            model = registered(candidate, name, metrics={}, lineage={})
            return f"{name}@{store_model(store, self.settings.store.bucket, model)}"

    def _is_up(self) -> None:
        self.people.url = self._node.url
        self.people.restarts += 1
        self.people.up.set()

    @contextmanager
    def _searched(self) -> Iterator[None]:
        over = threading.Event()
        thread = threading.Thread(target=self.people.search, args=(over,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def ends_of(settings: Settings) -> dict[str, dict[str, ImageEnd]]:
    """What each generation of a node that has stopped holds."""
    found = {}
    with closing(known_generations(settings)) as generations:
        for name in generations.names():
            with closing(generations.open(name)) as index:
                found[name] = {
                    image.image_id: ImageEnd(
                        image.version, image.outcome.value, image.listed, image.vector
                    )
                    for image in index.scan(vectors=True)
                }
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How a disturbed telling ended beside an undisturbed one."""

    differences: tuple[str, ...]
    """Empty: both ended the same, and nothing wrong was shown on the way."""
    scores: int
    """So many scores of answers were compared with the vectors of their generation."""
    told_apart: int
    """How many of them no other generation's vectors would give."""
    worst_score: float


def compared(calm: Lived, disturbed: Lived) -> Compared:
    """Hold one telling against the other, and each answer against the vectors."""
    seeded = {one.name for one in calm.state.generations if one.by == "features"}
    wrong = [*_states(calm.state, disturbed.state), *_ends(calm.ends, disturbed.ends, seeded)]
    scores = told_apart = 0
    worst = 0.0
    for lived in (calm, disturbed):
        wrong += [f"shown though hidden: {image_id}" for image_id in lived.people.hidden_shown]
        wrong += [f"failed: {failure}" for failure in lived.people.failures]
        for answer in lived.people.answers:
            for generation, distance in _distances(lived.ends, answer):
                if generation == answer.generation:
                    scores, worst = scores + 1, max(worst, distance)
                elif distance > SAME_SCORE:
                    told_apart += 1
    if worst > SAME_SCORE:
        wrong.append(f"a score is {worst:.4f} from that of its generation's vectors")
    return Compared(
        differences=tuple(wrong), scores=scores, told_apart=told_apart, worst_score=worst
    )


def _states(calm: ServingState, other: ServingState) -> Iterator[str]:
    for what in ("serves", "before"):
        expected, found = getattr(calm, what), getattr(other, what)
        if expected != found:
            yield f"{what}: {found} instead of {expected}"
    stages = [{one.name: one.stage for one in state.generations} for state in (calm, other)]
    if stages[0] != stages[1]:
        yield f"generations: {stages[1]} instead of {stages[0]}"


def _ends(
    calm: Mapping[str, Mapping[str, ImageEnd]],
    other: Mapping[str, Mapping[str, ImageEnd]],
    seeded: Collection[str],
) -> Iterator[str]:
    for name in sorted(calm.keys() | other.keys()):
        expected, found = calm.get(name, {}), other.get(name, {})
        for image_id in sorted(expected.keys() | found.keys()):
            one, two = expected.get(image_id), found.get(image_id)
            if one is None or two is None or one[:3] != two[:3]:
                yield f"{name}: {image_id} is {two and two[:3]} instead of {one and one[:3]}"
            elif not _alike(one.vector, two.vector, is_seeded=name in seeded):
                yield f"{name}: {image_id} has another vector"


def _alike(
    one: NDArray[np.float32] | None, two: NDArray[np.float32] | None, *, is_seeded: bool
) -> bool:
    if one is None or two is None:
        return one is two
    if is_seeded:
        return float(one @ two) >= SAME_COSINE
    return bool(np.abs(one - two).max() <= SAME_VECTOR)


def _distances(
    ends: Mapping[str, Mapping[str, ImageEnd]], answer: Shown
) -> Iterator[tuple[str, float]]:
    """How far each score is from what the vectors of each generation give."""
    for name, images in ends.items():
        asked = images[answer.asked].vector
        for image_id, score in answer.scores.items():
            found = images.get(image_id)
            if asked is not None and found is not None and found.vector is not None:
                yield name, abs(float(asked @ found.vector) - score)


def main() -> None:
    """Tell the story twice, and say how both ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--photos", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as scratch:
        calm, disturbed = (
            Telling(Path(scratch) / name, kills, given.photos).live()
            for name, kills in (("calm", ()), ("killed", kills_of(given.kills, given.seed)))
        )
    found = compared(calm, disturbed)
    lines = [
        *(f"killed: {what}" for what in disturbed.killed),
        *(
            f"{name}: {len(lived.people.answers)} searches answered, "
            f"{lived.people.restarts} starts, {lived.cpu_s:.0f} CPU-s"
            for name, lived in (("undisturbed", calm), ("killed", disturbed))
        ),
        f"images by generation: {[len(images) for images in disturbed.ends.values()]}",
        f"{found.scores} scores, at most {found.worst_score:.1e} from their generation's vectors",
        *(f"DIFFERS: {what}" for what in found.differences[:40]),
        f"{found.told_apart} times another generation's vectors give another score",
        "not the same end" if found.differences else "the same end",
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if found.differences:
        raise SightlineError(f"{len(found.differences)} differences")


if __name__ == "__main__":
    main()
