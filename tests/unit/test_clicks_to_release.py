"""From simulated clicks in the log to a released model, by the product's own steps, unasked.

Simulator, join, miner, sink, data set, training, gate, registry: all but Kafka and the network,
which are a log in memory and sixteen greys. Pictures of one kind share six of them; the other ten
are noise, which clicks teach to look away from.
"""

from __future__ import annotations

import json
import multiprocessing
import re
import shlex
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event as Told
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from benchmarks.label_replay import closing_ms
from benchmarks.memory_stages import MemoryStages
from benchmarks.photo_clicks import NearestPhotos
from sightline.engine.clock import ManualClock, SystemClock
from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.embedding.model_registry import ModelRegistry
from sightline.engine.embedding.projections import load_linear
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.pictures.prepare import prepare
from sightline.engine.ports import Clock
from sightline.engine.records import ProducerRecord
from sightline.engine.records.framing import Framing
from sightline.engine.settings import (
    EmbedderSettings,
    RetrainingSettings,
    Settings,
    StoreSettings,
    load_settings,
)
from sightline.infra.cli import main
from sightline.infra.commands import kept_messages, models
from sightline.infra.commands.learning import networks, retraining
from sightline.infra.commands.learning.retraining import retrain_once, retraining_of
from sightline.infra.commands.learning.retraining_work import TrainingWork
from sightline.producers.click_simulator.catalogue import SimulatedPicture
from sightline.producers.click_simulator.ranked_catalogue import RankedCatalogue
from sightline.producers.click_simulator.simulated_log import SimulatedLog
from sightline.producers.click_simulator.topic_driver import TopicDriver
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageUploaded, ObjectReference
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import (
    IMAGES,
    INTERACTIONS_IMPORTED,
    JUDGEMENTS,
    MODELS,
)
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.evaluation.gate import GateLimits
from sightline.training.loop.batches import Batches
from sightline.training.loop.head import Head
from sightline.training.loop.learning import LearningSettings
from sightline.training.loop.settings import HeadSettings
from sightline.training.retraining.state import AttemptOutcome, RetrainingRecord
from tests.conftest import ROOT
from tests.forked_trainings import forked
from tests.label_rows import encoded
from tests.learning import Colours
from tests.patience import patient
from tests.pictures import encoded as picture_bytes

PAGE = (ROOT / "docs/training.md").read_text()
BUCKET, PARTITIONS, RULES = "sightline", 2, LabelRules()
KINDS, EACH, RECORDS = 40, 8, 4_000
LEARNING = LearningSettings(head=HeadSettings(steps=60, batch=64, corpus=64), later=0.4)
NOTHING_DONE = 3
SMALL = GateLimits(min_clusters=6, min_slice_clusters=6, min_pictures=100)


def greys(random: np.random.Generator) -> np.ndarray:
    """(kinds, each, 4, 4) of 0 … 255: six cells tell the kind, ten tell nothing."""
    cells = random.uniform(0, 255, (KINDS, EACH, 16))
    cells[:, :, :6] = 128 + random.uniform(-90, 90, (KINDS, 1, 6))
    return cells.reshape(KINDS, EACH, 4, 4)


def drawn(cells: np.ndarray, random: np.random.Generator) -> bytes:
    """A picture of sixteen greys, grained so that no two look alike to a hash."""
    grain = random.uniform(-90, 90, (32, 32))
    pixels = np.clip(np.kron(cells, np.ones((8, 8))) + grain, 0, 255).astype(np.uint8)
    return picture_bytes(Image.fromarray(pixels).convert("RGB"), "PNG")


@dataclass(frozen=True)
class Deployment:
    """A bucket, a log and settings; nothing in it knows how the pictures were drawn."""

    settings: Settings
    store: DirectoryObjectStore
    broker: MemoryBroker

    @property
    def producer(self) -> MemoryEventProducer:
        """Appends to the log."""
        return MemoryEventProducer(self.broker)

    def publish(self, image: str, kind: int, data: bytes) -> None:
        """Store a picture, and say that it is there."""
        self.store.put(BUCKET, image, data)
        event = ImageUploaded(
            image_id=image,
            version=1,
            object=ObjectReference(bucket=BUCKET, key=image, size_bytes=len(data)),
            visibility=Visibility.PUBLIC,
            group_id=f"kind-{kind}",
        )
        self.producer.append(ProducerRecord(IMAGES.name, image, encoded(event, image)))

    def published(self) -> tuple[list[SimulatedPicture], np.ndarray]:
        """Draw and publish the pictures; as people see them, and as the network does."""
        random = np.random.default_rng(0)
        pictures, crops = [], []
        for number, cells in enumerate(greys(random).reshape(-1, 4, 4)):
            image, kind, data = f"i{number:03}", number // EACH, drawn(cells, random)
            self.publish(image, kind, data)
            seen = prepare(data, limits=self.settings.decode, framing=Framing(224))
            pictures.append(SimulatedPicture(image, f"kind-{kind}", seen.perceptual_hash))
            crops.append(seen.crop)
        return pictures, Colours().features(np.stack(crops)) - 0.5

    def told(self, model: str) -> list[Event[Any]]:
        """The events about a model, in the log's order."""
        every = (decode(record.value) for record in self.broker.records(MODELS.name))
        return [event for event in every if event.data.name == model]

    def simulate(self, pictures: list[SimulatedPicture], vectors: np.ndarray) -> None:
        """Let people click on pages that are ranked by the model that serves."""
        nearest = NearestPhotos([picture.image_id for picture in pictures], vectors)
        catalogue = RankedCatalogue(pictures, nearest, model_digest="serving")
        driver = TopicDriver(
            self.producer,
            topic=INTERACTIONS_IMPORTED.name,
            partitions=PARTITIONS,
            clock=ManualClock(),
            wait=lambda _: None,
        )
        driver.run(SimulatedLog(catalogue, seed=3).records(RECORDS, end_ms=closing_ms(RULES)))

    def judge(self, anchor: str, image: str, grade: int) -> None:
        """Append a person's grade to the log, as of now."""
        now = datetime.now(UTC)
        said = RelevanceJudged(
            anchor_id=anchor, image_id=image, grade=grade, judge_id="key~ann", judged_at=now
        )
        event = encoded(said, f"{anchor}.{image}")
        self.producer.append(ProducerRecord(JUDGEMENTS.name, anchor, event))

    def join_mine_and_sink(self) -> None:
        """What the label stages do, with their topics and without their processes."""
        stages = MemoryStages(self.broker, PARTITIONS, RULES)
        stages.join_and_mine()
        stages.sink(self.store, BUCKET)

    def work(self, limits: GateLimits) -> TrainingWork:
        """The steps of a retraining, quick ones."""
        return TrainingWork(
            settings=self.settings,
            store=self.store,
            clock=SystemClock(),
            limits=limits,
            learning=LEARNING,
            cache=self.settings.data_directory / "features",
            open_producer=lambda _: self.producer,
        )

    def look(
        self, limits: GateLimits = SMALL, *, asked: bool = False, clock: Clock | None = None
    ) -> bool:
        """One look of the retraining at what has come."""
        work = self.work(limits)
        made = retraining_of(self.settings, self.store, work, clock=clock or SystemClock())
        return made.look(threading.Event(), asked=asked)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Public pictures that people have clicked, for a network that sees sixteen greys."""
    folder = tmp_path_factory.mktemp("deployment")
    start = folder / "start.safetensors"
    save_file({"mean": np.full(16, 0.5, np.float32), "matrix": np.eye(16, dtype=np.float32)}, start)
    settings = Settings(
        data_directory=folder / "data",
        store=StoreSettings(directory=folder / "objects"),
        embedder=EmbedderSettings(projection=start),
        retraining=RetrainingSettings(triples=400, anchors=50),
    )
    store = DirectoryObjectStore(folder / "objects")
    store.ensure_bucket(BUCKET)
    broker = MemoryBroker(partitions=PARTITIONS)
    made = Deployment(settings, store, broker)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(kept_messages, "open_event_log", lambda _: MemoryEventLog(broker))
        patched.setattr(networks, "open_runtime", lambda *_: Colours())
        patched.setattr(models, "open_log_producer", lambda _: made.producer)
        made.simulate(*made.published())
        made.join_mine_and_sink()
        yield made


def test_clicks_become_a_released_model(deployment: Deployment) -> None:
    """Nobody asks for it; it is better by the gate, and says what it was made from."""
    assert deployment.look()
    assert not deployment.look()
    last = RetrainingRecord(deployment.store, BUCKET, "clicks").read().state.last
    assert last is not None
    assert last.outcome is AttemptOutcome.RELEASED, last.says
    (event,) = deployment.told("clicks")
    assert event.data.digest == last.attempt.digest
    assert {line.outcome for line in event.data.gate} <= {"passed", "reported"}
    registry = ModelRegistry(deployment.store, BUCKET)
    config = registry.config("clicks", event.data.digest)
    lineage = json.loads(registry.file("clicks", event.data.digest, config, "lineage.json"))
    ends = {(at["log"], at["partition"]): at["end"] for at in lineage["run"]["offsets"]}
    assert ends == {(at.log, at.partition): at.end for at in last.attempt.ends}
    assert lineage["run"]["counted"]["pairs_held_out"] > 0
    assert deployment.look(GateLimits(), asked=True)
    released, held_back = deployment.told("clicks")
    assert released.id == event.id
    assert (held_back.data.attempt, held_back.data.outcome) == (2, "too_little")
    assert held_back.data.needs > 0
    assert "too_little" in held_back.data.reason


def test_what_a_retraining_leaves_names_nobody(deployment: Deployment) -> None:
    """Neither its folder nor our bucket's `models/` and `retraining/` has an actor or a search."""
    shown = [
        decode(one.value).data for one in deployment.broker.records(INTERACTIONS_IMPORTED.name)
    ]
    people = {data.actor_id for data in shown if isinstance(data, ResultsShown)}
    searches = {data.search_id for data in shown if isinstance(data, ResultsShown)}
    assert len(people) > 100
    folder = deployment.settings.data_directory / "retraining"
    kept = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert any(b"i001" in data for data in kept.values())
    for item in deployment.store.list(BUCKET, ""):
        if item.key.startswith(("models/", "retraining/")):
            kept[item.key] = deployment.store.get(BUCKET, item.key)
    assert {"retraining", "models"} <= {name.split("/")[0] for name in kept}
    text = {name: data.decode("latin-1") for name, data in kept.items()}
    named = {(name, who) for name, said in text.items() for who in people | searches if who in said}
    assert named == set()


def test_processes_make_one_model_whichever_is_killed(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two `retrain --now` one trains; killed, its attempt is gone on with, and released once."""
    record, before = RetrainingRecord(deployment.store, BUCKET, "clicks"), deployment.told("clicks")
    monkeypatch.setattr(retraining, "TrainingWork", lambda **_: deployment.work(SMALL))
    trains = multiprocessing.get_context("fork").Event()
    first = forked(_retrain_for_ever, deployment.settings, trains)
    try:
        assert trains.wait(patient(30))
        second = forked(_retrain, deployment.settings)
        second.join()
    finally:
        first.kill()
        first.join()
    assert (first.exitcode, second.exitcode) == (-signal.SIGKILL, NOTHING_DONE)
    begun = record.read().state.under_way
    assert begun is not None
    assert not deployment.look()
    assert deployment.look(clock=ManualClock(datetime.now(UTC) + timedelta(seconds=60)))
    last = record.read().state.last
    assert last is not None
    assert (last.attempt.number, last.attempt.starts) == (begun.number, 2)
    assert last.outcome is AttemptOutcome.RELEASED, last.says
    (event,) = deployment.told("clicks")[len(before) :]
    assert event.data.digest == last.attempt.digest
    assert not deployment.look()


def _retrain(settings: Settings) -> None:
    """What `sightline retrain --now` does, in a process that ends with what came of it."""
    done = retrain_once(settings, threading.Event(), now=True)
    raise SystemExit(0 if done else NOTHING_DONE)


def _retrain_for_ever(settings: Settings, trains: Told) -> None:
    """The same, up to the first step of the training; whoever started it kills it."""

    def draw(*_: object) -> None:
        trains.set()
        signal.pause()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Batches, "draw", draw)
        _retrain(settings)


def test_ten_lines_lead_from_clicks_to_a_model(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of docs/training.md, as they stand there; what they make can be served."""
    (block,) = re.findall(r"^```\n(sightline .*?)^```", PAGE, re.DOTALL | re.MULTILINE)[:1]
    settings = deployment.settings
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SIGHTLINE_DATA_DIRECTORY", str(settings.data_directory))
    monkeypatch.setenv("SIGHTLINE_STORE__DIRECTORY", str(settings.store.directory))
    monkeypatch.setenv("SIGHTLINE_EMBEDDER__PROJECTION", str(settings.embedder.projection))
    said = []
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        ended = CliRunner().invoke(main.app, words[1:], catch_exceptions=False)
        assert ended.exit_code == 0, f"{line}: {ended.output}"
        said.append(ended.output)
    assert len(said) <= 10
    assert "triples hold" in said[0]
    assert "verdict: too_little" in said[2]
    (event,) = deployment.told("shop")
    asked = EmbedderSettings(model=f"registry:shop@{event.data.digest}")
    served = embedder_settings(load_settings().model_copy(update={"embedder": asked}))
    assert served.projection is not None
    head = Head.load(tmp_path / "runs/today/head.safetensors")
    assert np.array_equal(load_linear(served.projection).matrix, head.ungated(0.35).matrix)


def test_people_whose_grades_show_harm_stop_what_clicks_would_release(
    deployment: Deployment,
) -> None:
    """Grades by what clicks teach to look away from; the last test here, since they stay."""
    cells = greys(np.random.default_rng(0)).reshape(-1, 16)[:, 6:]
    noise = cells - cells.mean(axis=0)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    for kind in range(KINDS):
        alike = np.argsort(-noise @ noise[kind * EACH])
        others = [row for row in alike if row // EACH != kind][:3]
        for row in others:
            deployment.judge(f"i{kind * EACH:03}", f"i{row:03}", 5)
    # Whoever was killed above may hold its lease.
    later = ManualClock(datetime.now(UTC) + timedelta(minutes=10))
    assert deployment.look(asked=True, clock=later)
    last = RetrainingRecord(deployment.store, BUCKET, "clicks").read().state.last
    assert last is not None
    assert last.attempt.judged is not None
    lines = {line.rule: line.outcome for line in last.attempt.judged.lines}
    assert last.outcome is AttemptOutcome.REFUSED
    assert lines.pop("not worse where judged") == "failed"
    assert set(lines.values()) <= {"passed", "reported"}
    assert "not worse where judged" in last.says
