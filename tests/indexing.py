"""An index worker on real parts for integration tests: publish, wait, look, stop, restart."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar, cast

from sightline.engine.clock import SystemClock
from sightline.engine.errors import PermanentError
from sightline.engine.event_log.kafka import KafkaEventConsumer, KafkaEventProducer, read_topics
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.ports import Embedder, EventConsumer, ObjectStore, VectorIndex
from sightline.engine.records import IndexedImage, Message, ProducerRecord, TopicPartition
from sightline.engine.settings import IndexSettings, KafkaSettings, StoreSettings, WorkerSettings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageState, ImageUploaded, ObjectReference
from sightline.schemas.indexed import ImageIndexed, ImageRejected, Lane, Outcome
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES_INDEXED, TOPICS, dead_letters_of
from sightline.stream_workers.indexing.embed import Prepared
from sightline.stream_workers.indexing.lane_queue import LANE_TOPICS
from sightline.stream_workers.indexing.pipe import PipePorts, PipeSettings, PipeWatch, pipe_of
from sightline.stream_workers.indexing.worker import IndexWorker
from tests.patience import patient
from tests.waiting import eventually
from tests.worker_parts import SPEC, TinyEmbedder, tiny_decode

P = TypeVar("P")

FAST = WorkerSettings(
    commit_interval_s=0.1,
    object_grace_s=1.0,
    backoff_max_s=0.5,
    drain_s=5.0,
    dead_letter_limit=20,
)
IMAGE_TOPICS = tuple(topic for topic in TOPICS if topic.name.startswith("images."))
"""Those that a worker reads and writes; all would take the broker 0.4 CPU-seconds a test."""


class RunningWorker:
    """A worker in a thread; `stop` is the graceful one, `vanish` leaves everything as it lies."""

    def __init__(self, worker: IndexWorker, vanished: threading.Event) -> None:
        self.worker = worker
        self.vanished = vanished
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.worker.run(self._stop)
        except BaseException as error:  # noqa: BLE001  the test looks at it
            self.failure = error

    def stop(self, timeout_s: float = 20.0) -> None:
        """Ask the worker to stop, and wait until it has."""
        self._stop.set()
        self._thread.join(patient(timeout_s))
        assert not self._thread.is_alive(), "the worker did not stop"

    def ended(self) -> bool:
        """Whether the worker stopped, asked or by itself."""
        return not self._thread.is_alive()

    def vanish(self) -> None:
        """Stop as a killed process does: from now on nothing is sent, applied or committed."""
        self.vanished.set()
        self.stop()


class Killed(PermanentError):
    """What a worker that has vanished was about to do is not done."""


class MortalPart:
    """A part of which its worker gets nothing done once it has vanished."""

    def __init__(self, part: object, vanished: threading.Event) -> None:
        self._part = part
        self._vanished = vanished

    def __getattr__(self, name: str) -> Any:
        if self._vanished.is_set():
            raise Killed(name)
        return getattr(self._part, name)


class MortalConsumer(KafkaEventConsumer):
    """A consumer whose commits do nothing once its worker has vanished."""

    def __init__(self, kafka: KafkaSettings, group: str, vanished: threading.Event) -> None:
        super().__init__(kafka, group=group)
        self._vanished = vanished

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `EventConsumer.commit`."""
        if not self._vanished.is_set():
            super().commit(offsets)


class Indexing:
    """Real broker and store, an index, and the workers started on them."""

    def __init__(
        self, kafka: KafkaSettings, store: StoreSettings, index: VectorIndex | Path
    ) -> None:
        KafkaTopics(kafka).ensure(IMAGE_TOPICS)
        self.kafka = kafka
        self.bucket = store.bucket
        self.store: ObjectStore = S3ObjectStore(store)
        self.producer = KafkaEventProducer(kafka)
        self.index = (
            EdgeVectorIndex.open(index, SPEC, IndexSettings()) if isinstance(index, Path) else index
        )
        self.embedder: Embedder = TinyEmbedder()
        self.clock = SystemClock()
        self.metrics = Metrics()
        self.health = Health(self.clock, changed=self.metrics.part)
        self._running: list[RunningWorker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for running in self._running:
            running.stop()
        self.producer.close()
        self.index.close()
        self.store.close()

    def worker(
        self,
        settings: WorkerSettings = FAST,
        *,
        decode_with: Callable[[bytes], Prepared] = tiny_decode,
        max_bytes: int = 1_000_000,
    ) -> RunningWorker:
        """Start one more worker of the same group on the same index."""
        vanished = threading.Event()

        def consumer(lane: Lane) -> EventConsumer:
            return MortalConsumer(self.kafka, f"{settings.group}-{lane}", vanished)

        def mortal(part: P) -> P:
            return cast("P", MortalPart(part, vanished))

        pipe = pipe_of(
            PipePorts(
                consumers=consumer,
                producer=mortal(self.producer),
                store=self.store,
                index=mortal(self.index),
                embedder=self.embedder,
                decode=decode_with,
            ),
            PipeSettings(worker=settings, max_bytes=max_bytes, embed_threads=2),
            PipeWatch(clock=self.clock, metrics=self.metrics, health=self.health),
        )
        worker = IndexWorker(pipe, drain_s=settings.drain_s, metrics=self.metrics)
        running = RunningWorker(worker, vanished)
        self._running.append(running)
        return running

    def put(self, data: bytes) -> ObjectReference:
        """Store bytes where an upload would put them."""
        digest = hashlib.sha256(data).hexdigest()
        self.store.put(self.bucket, f"images/{digest}", data)
        return self.reference(data)

    def reference(self, data: bytes) -> ObjectReference:
        """What an event would say of these bytes."""
        digest = hashlib.sha256(data).hexdigest()
        return ObjectReference(
            bucket=self.bucket, key=f"images/{digest}", size_bytes=len(data), sha256=digest
        )

    def public(self, image_id: str, version: int, data: bytes) -> ImageUploaded:
        """Store bytes and make a public upload of them."""
        return ImageUploaded(
            image_id=image_id,
            version=version,
            object=self.put(data),
            visibility=Visibility.PUBLIC,
        )

    def publish(self, state: ImageState, lane: Lane = Lane.LIVE) -> None:
        """Append the event of a state, acknowledged."""
        event = Event[ImageState](
            id=f"{state.image_id}.{state.version}",
            source="/test",
            type=state.TYPE,
            subject=state.image_id,
            time=datetime.now(UTC),
            data=state,
        )
        self.append(state.image_id, event.encode(), lane)

    def append(self, key: str, value: bytes | None, lane: Lane = Lane.LIVE) -> None:
        """Append any bytes to a lane's topic, and wait for the acknowledgement."""
        self.producer.append(ProducerRecord(LANE_TOPICS[lane], key, value)).result(patient(30))

    def image(self, image_id: str) -> IndexedImage | None:
        """Return what the index keeps of an image."""
        return self.index.get([image_id]).get(image_id)

    def wait_listed(self, count: int, timeout_s: float = 15.0) -> None:
        """Until so many images can be found."""
        eventually(
            lambda: self.index.count(listed_only=True) == count,
            timeout_s=timeout_s,
            reason=f"{count} images listed",
        )

    def wait_outcome(self, image_id: str, outcome: Outcome) -> IndexedImage:
        """Until the image has come to that."""

        def there() -> IndexedImage | None:
            image = self.image(image_id)
            return image if image is not None and image.outcome is outcome else None

        found = eventually(there, reason=f"{image_id} {outcome}")
        assert found is not None
        return found

    def told(self) -> list[ImageIndexed | ImageRejected]:
        """Return everything on the topic of outcomes, decoded."""
        return [decode(m.value).data for m in read_topics(self.kafka, [IMAGES_INDEXED.name])]

    def dead_letters(self, lane: Lane = Lane.LIVE) -> list[Message]:
        """Return every record of a lane's dead-letter topic."""
        return list(read_topics(self.kafka, [dead_letters_of(LANE_TOPICS[lane]).name]))
