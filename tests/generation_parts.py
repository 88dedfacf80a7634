"""Two generations of one deployment in memory, whose models are told apart by their vectors."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.index_and_model import open_pair
from sightline.engine.errors import DeadLetterLimit
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.consumer import MemoryEventConsumer
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records.framing import Framing
from sightline.engine.serving.following import PairFollower
from sightline.engine.serving.kept_matrices import KeptMatrices
from sightline.engine.serving.open_indexes import OpenIndexes
from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration, Serves
from sightline.engine.serving.watch import RecordWatch
from sightline.engine.settings import RolloutSettings, Settings, WorkerSettings
from sightline.engine.vector_index.memory.generations import MemoryGenerations
from sightline.infra.processes.generation_workers import GenerationWorkers
from sightline.infra.wiring.node import Watch
from sightline.infra.wiring.serving import Serving
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.topics import IMAGES_INDEXED
from sightline.stream_workers.image_log.fed_groups import FedGroups
from tests.api_parts import GridEmbedder, spec_of

if TYPE_CHECKING:
    from sightline.engine.connecting.open_models import OpenModels
    from sightline.engine.ports import Clock
    from sightline.engine.records import Message
    from sightline.infra.wiring.node import Node

BUCKET, INDEX = "sightline", "sightline"
CLICKS = f"clicks@{'a' * 64}"


class PlainEmbedder(GridEmbedder):
    """One whose vectors are no product of what it keeps."""

    projection = None


class TurnedEmbedder(PlainEmbedder):
    """Another model: other crops, and every vector turned, so that no two spaces agree."""

    digest = "turned"
    features_digest = "finer grid means"
    framing = Framing(48)

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Embedder.project`."""
        return np.ascontiguousarray(np.roll(super().project(features), 7, axis=1) * SIGNS)


SIGNS = np.where(np.arange(GridEmbedder.dimensions) % 2, -1, 1).astype(np.float32)


class TwoModels:
    """What opens models in tests: the settings' and one of the registry."""

    def __init__(self, old: GridEmbedder | None = None, new: GridEmbedder | None = None) -> None:
        self.of = {None: old or PlainEmbedder(), CLICKS: new or TurnedEmbedder()}

    def embedder(self, reference: str | None) -> GridEmbedder:
        """See `OpenModels.embedder`."""
        return self.of[reference]

    def head(self, reference: str | None) -> GridEmbedder:
        """See `OpenModels.head`."""
        return self.of[reference]


class Deployment:
    """Log, store, record and generations; workers run while a block says so."""

    def __init__(self, opened_by: TwoModels | None = None) -> None:
        self.broker = MemoryBroker(partitions=1)
        self.producer = MemoryEventProducer(self.broker)
        self.run_id: str | None = None
        self.buried = ""
        """Why workers ended that met too many dead letters."""
        self.remembered: list[Message] = []
        self.store = MemoryObjectStore(BUCKET)
        self.clock: Clock = SystemClock()
        self.metrics = Metrics()
        self.health = Health(self.clock)
        self.publisher = ImagePublisher(
            self.producer, self.store, bucket=BUCKET, source="/test", clock=self.clock
        )
        self.generations = MemoryGenerations()
        self.record = ServingRecord(self.store, BUCKET, INDEX)
        self.models = opened_by or TwoModels()
        first = self.known("g1", None)
        self.generations.create(spec_of(self.models.of[None]))
        self.generations.switch("g1")
        self.record.begin(
            ServingState.first(
                first.model_copy(update={"stage": GenerationStage.READY}), self.clock.now()
            )
        )
        self.indexes = OpenIndexes(self.generations)
        stored = self.record.read()
        models = cast("OpenModels", self.models)
        self.matrices = KeptMatrices(self.store, BUCKET, INDEX)
        opened = open_pair(self.indexes, models, self.matrices, stored.state, stored.state.serves)
        self.serving = Serving(
            watched=RecordWatch(self.record, every_s=0.0, clock=self.clock),
            indexes=self.indexes,
            models=models,
            matrices=self.matrices,
            pairs=ServingPairs(opened),
            opened_for=stored,
            fed=FedGroups(stored.state),
        )

    def known(self, name: str, model: str | None) -> KnownGeneration:
        """A generation as it is made."""
        return KnownGeneration(
            name=name,
            model=model,
            model_digest=self.models.of[model].digest,
            group=f"index-{name}",
            stage=GenerationStage.FILLING,
            made_at=self.clock.now(),
        )

    def make_second(self) -> None:
        """A generation of the other model, which is to be filled from the start of the log."""
        self.generations.create(replace(spec_of(self.models.of[CLICKS]), name="g2"))
        new = self.known("g2", CLICKS)
        self.record.change(lambda s: s.with_generation(new, self.clock.now(), "made"))

    def switch(self, to: Serves) -> None:
        """Let another generation serve, which is ready."""
        self.record.change(lambda s: s.switched(to, self.clock.now(), "better"))

    def remember(self, every_s: float) -> None:
        """Let what was seen of the record last so long; at first nothing does."""
        watched = RecordWatch(self.record, every_s=every_s, clock=self.clock)
        self.serving = replace(self.serving, watched=watched)

    def follower(self) -> PairFollower:
        """What exchanges the pairs when it is told to look."""
        return PairFollower(
            self.serving.watched,
            self.serving.open_pair,
            self.serving.pairs,
            opened_for=self.serving.opened_for,
            look_every_s=1,
            clock=self.clock,
            metrics=self.metrics,
        )

    def node(self) -> Node:
        """What the workers take of a node."""
        parts: dict[str, Any] = {
            "settings": Settings(
                rollout=RolloutSettings(look_every_s=0.02),
                worker=WorkerSettings(commit_interval_s=0.05),
            ),
            "serving": self.serving,
            "watch": Watch(clock=self.clock, metrics=self.metrics, health=self.health),
            "events": SimpleNamespace(
                consumer=lambda group: MemoryEventConsumer(self.broker, group=group),
                worker_producer=self.producer,
                producer=self.producer,
                run_id=self.run_id,
                log=MemoryEventLog(self.broker),
                remembered_images=lambda: self.remembered,
            ),
            "store": self.store,
        }
        return cast("Node", SimpleNamespace(**parts))

    @contextmanager
    def working(self) -> Iterator[GenerationWorkers]:
        """Workers that follow the record until the block ends."""
        workers, stop = GenerationWorkers(self.node()), threading.Event()
        thread = threading.Thread(target=self._run, args=(workers, stop))
        thread.start()
        try:
            yield workers
        finally:
            stop.set()
            thread.join()

    def _run(self, workers: GenerationWorkers, stop: threading.Event) -> None:
        try:
            workers.run(stop)
        except DeadLetterLimit as error:
            self.buried = str(error)

    def listed(self, name: str) -> int:
        """How many images a generation can show."""
        with self.indexes.held(name) as index:
            return index.count(listed_only=True)

    def told(self) -> list[bytes]:
        """What platforms were told became of images."""
        return [message.value or b"" for message in self.broker.records(IMAGES_INDEXED.name)]
