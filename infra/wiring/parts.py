"""The one place where a process's parts are built: settings in, adapters out.

`Parts` builds each part at most once, on first use, and closes them all in reverse order. Nothing
else in the project connects, loads a model or opens a directory by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

from prometheus_client import start_http_server

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import (
    event_log_on,
    open_event_producer,
    open_object_store,
    signing_secret,
)
from sightline.engine.embedding.choice import open_embedder
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.kafka import KafkaEventConsumer
from sightline.engine.event_log.kafka.diagnosis import BrokerAnswer, ask_broker
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.pictures.prepare import prepare, preprocess_digest
from sightline.engine.records import GenerationSpec, Message
from sightline.engine.vector_index.edge.origin import IndexOrigin, check_origin, record_origin
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.label_parts import LabelParts
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.schemas.images import ImageState
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, TOPICS
from sightline.search_api.dependencies import ApiDependencies
from sightline.stream_workers.bucket_bridge.bridge import BucketBridge
from sightline.stream_workers.indexing.worker import IndexWorker

if TYPE_CHECKING:
    from sightline.engine.ports import (
        Clock,
        Embedder,
        EventConsumer,
        EventLog,
        EventProducer,
        ObjectStore,
        VectorIndex,
    )
    from sightline.engine.settings import KafkaSettings, Settings

_PROBE_S = 1.5
SOURCE = "/sightline"
"""CloudEvents `source` of what this deployment's own processes publish."""


class Parts:
    """The parts of one process of the services mode."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what was opened, last first; repeated calls do nothing."""
        self._open.close()

    @property
    def kafka(self) -> KafkaSettings:
        """How to reach the broker."""
        return self.settings.kafka

    @property
    def log(self) -> EventLog:
        """Reads the log outside of any group."""
        return event_log_on(self.kafka, self.settings.mode)

    @cached_property
    def producer(self) -> EventProducer:
        """Appends to the log."""
        producer = open_event_producer(self.settings)
        self._open.callback(producer.close)
        return producer

    @property
    def worker_producer(self) -> EventProducer:
        """What the worker answers through."""
        return self.producer

    def consumer(self, group: str) -> EventConsumer:
        """A new member of a group; its user closes it."""
        return KafkaEventConsumer(self.kafka, group=group)

    def ensure_topics(self) -> list[str]:
        """Create what is missing; the names that were created.

        Raises:
            TopicDrift: topics are missing and must not be created here.
        """
        return KafkaTopics(self.kafka).ensure(TOPICS)

    @cached_property
    def store(self) -> ObjectStore:
        """Keeps bytes; our bucket exists."""
        store = open_object_store(self.settings)
        self._open.callback(store.close)
        return store

    @cached_property
    def publisher(self) -> ImagePublisher:
        """Publishes image events."""
        return ImagePublisher(
            self.producer,
            self.store,
            bucket=self.settings.store.bucket,
            source=SOURCE,
            clock=self.clock,
        )

    @cached_property
    def catalogued(self) -> CataloguedImages:
        """Images whose versions we count ourselves."""
        return CataloguedImages(self.catalogue, self.publisher, known=self._known)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The versions that we count."""
        return Catalogue(self.store, self.settings.store.bucket)

    def _known(self, image_id: str) -> ImageState | None:
        """Backfilled images are in the index and not in the catalogue."""
        found = self.index.get([image_id]).get(image_id)
        return None if found is None else found.state

    @cached_property
    def metrics(self) -> Metrics:
        """This process's metrics."""
        return Metrics()

    @cached_property
    def health(self) -> Health:
        """Which parts are up, as this process sees them."""
        return Health(self.clock, changed=self.metrics.part)

    @cached_property
    def embedder(self) -> Embedder:
        """Turns crops into vectors."""
        embedder = open_embedder(self.settings.embedder)
        self.health.up(Part.EMBEDDER, embedder.runtime)
        return embedder

    @cached_property
    def generation(self) -> GenerationSpec:
        """What the index must have been made with."""
        digest = self.embedder.digest
        return GenerationSpec(
            name=f"g-{digest.removeprefix('sha256:')[:16]}",
            model_digest=digest,
            preprocess_digest=preprocess_digest(self.embedder.input_size),
            dimensions=self.embedder.dimensions,
            quantisation=self.settings.index.quantisation,
        )

    @cached_property
    def index(self) -> VectorIndex:
        """The generation that serves, made at first.

        Raises:
            GenerationMismatch: another model made it.
            OriginMismatch: the embedded directory was made from another log or bucket.
            IndexOwned: another process has the embedded directory.
        """
        index = self._index()
        self._open.callback(index.close)
        return index

    def _index(self) -> VectorIndex:
        if self.settings.index.url is None:
            from sightline.engine.vector_index.edge.index import EdgeVectorIndex  # noqa: PLC0415 - extra

            directory = self.settings.index_directory
            origin = IndexOrigin(log=self._log_identity(), bucket=self.settings.store.bucket)
            check_origin(directory, origin)
            index = EdgeVectorIndex.open(directory, self.generation, self.settings.index)
            record_origin(directory, origin)
            return index
        from sightline.engine.vector_index.qdrant.index import QdrantVectorIndex  # noqa: PLC0415 - extra

        return QdrantVectorIndex.open(self.settings.index, self.generation)

    def _log_identity(self) -> str:
        answer = self._ask_broker(self.kafka.request_timeout_s)
        prefix = self.kafka.topic_prefix
        return f"Kafka cluster {answer.cluster_id or 'without id'}" + (
            f", topics {prefix}*" if prefix else ""
        )

    def serve_metrics(self, port: int | None) -> None:
        """Serve this process's metrics to Prometheus on a port of their own, if there is one."""
        if port is None:
            return
        server, thread = start_http_server(port, registry=self.metrics.registry)
        self._open.callback(thread.join)
        self._open.callback(server.shutdown)

    def loops(self) -> dict[str, Loop]:
        """What else must run in a process that has these parts."""
        return {}

    def label_stage_loops(self) -> dict[str, Loop]:
        """Join, miner and sink, where they run beside this process."""
        return self.labels.stage_loops()

    @cached_property
    def labels(self) -> LabelParts:
        """What the loop of labels needs in this process."""
        return LabelParts(self)

    @property
    def run_id(self) -> str | None:
        """None: the offsets of the log go on over restarts."""
        return None

    def worker(self) -> IndexWorker:
        """An index worker around these parts."""
        settings = self.settings
        return IndexWorker(
            consumers=lambda lane: self.consumer(f"{settings.worker.group}-{lane}"),
            producer=self.worker_producer,
            store=self.store,
            index=self.index,
            embedder=self.embedder,
            decode=partial(prepare, limits=settings.decode, size=self.embedder.input_size),
            settings=settings.worker,
            max_bytes=settings.decode.max_bytes,
            embed_threads=settings.embedder.threads,
            clock=self.clock,
            metrics=self.metrics,
            health=self.health,
        )

    def api(self) -> ApiDependencies:
        """What the search API is made of."""
        settings = self.settings
        cores = os.cpu_count() or 1
        return ApiDependencies(
            index=self.index,
            store=self.store,
            bucket=settings.store.bucket,
            embedder=self.embedder,
            catalogue=self.catalogue,
            catalogued=self.catalogued,
            new_images=CataloguedImages(self.catalogue, self.publisher),
            publisher=AsyncImagePublisher(self.publisher),
            producer=self.producer,
            api=settings.api,
            decode=settings.decode,
            clock=self.clock,
            metrics=self.metrics,
            health=self.health,
            secret=signing_secret(self.settings, self.store),
            probes={Part.BROKER: self._ask_broker},
            source=SOURCE,
            stats=self.labels.search_stats.stats,
            triples=self.labels.recent_triples.triples,
            embed_threads=cores,
            decode_threads=cores,
        )

    def _ask_broker(self, timeout_s: float = _PROBE_S) -> BrokerAnswer:
        answer = ask_broker(self.kafka, timeout_s=timeout_s)
        if answer.trouble is not None:
            raise PartUnavailable(Part.BROKER, f"{answer.trouble}: {answer.message}")
        return answer

    def bridge(self) -> BucketBridge:
        """The bucket bridge around these parts."""
        settings = self.settings
        return BucketBridge(
            consumer=self.consumer(settings.bridge.group),
            producer=self.producer,
            store=self.store,
            images=self.catalogued,
            own_bucket=settings.store.bucket,
            settings=settings.bridge,
            limits=settings.worker,
            metrics=self.metrics,
            health=self.health,
        )

    def remembered_images(self) -> Iterable[Message]:
        """Image events that the log may have forgotten: none."""
        return ()

    def read_images(self) -> Iterable[Message]:
        """Every image event there is: both topics, up to now."""
        return self.log.read([IMAGES.name, IMAGES_BACKFILL.name])
