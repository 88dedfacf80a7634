"""What a process is made of: frozen values that the functions of this folder build and close."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.embedded.sealed import Seal, SealedConsumer
from sightline.engine.event_log.kafka import KafkaEventConsumer
from sightline.engine.event_log.kafka.diagnosis import BrokerAnswer, ask_broker

if TYPE_CHECKING:
    from sightline.engine.event_log.embedded.journal import Journal
    from sightline.engine.health import Health
    from sightline.engine.metrics import Metrics
    from sightline.engine.object_store.catalogue import Catalogue, Decisions
    from sightline.engine.ports import (
        Clock,
        EventConsumer,
        EventLog,
        EventProducer,
        ObjectStore,
        VectorIndex,
    )
    from sightline.engine.records import Message
    from sightline.engine.settings import KafkaSettings, Settings
    from sightline.infra.wiring.serving import Serving
    from sightline.producers.images.catalogued import CataloguedImages
    from sightline.producers.images.moderation import ImageModeration
    from sightline.producers.images.publisher import ImagePublisher
    from sightline.producers.images.unpublished import Unpublished

SOURCE = "/sightline"
"""CloudEvents `source` of what this deployment's own processes publish."""
PROBE_S = 1.5
"""For the broker to answer whether it is there."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How a process sees itself: its clock, its metrics, and which parts are up."""

    clock: Clock
    metrics: Metrics
    health: Health


@dataclass(frozen=True, kw_only=True)
class Publishing:
    """What publishes images and decisions on a log and a store."""

    publisher: ImagePublisher
    catalogue: Catalogue
    decisions: Decisions
    """What the operator decided of images."""
    moderation: ImageModeration
    """Decides what the operator hides; of a base, by what is kept of the decisions alone."""
    new_images: CataloguedImages
    """Writes of images under ids made just now, of which no index can know."""
    unpublished_decisions: Unpublished
    unpublished_images: Unpublished
    """Publishes what a crash kept from the log."""


@dataclass(frozen=True, kw_only=True)
class Events:
    """How a process reads the log and appends to it."""

    kafka: KafkaSettings
    """How to reach the log."""
    log: EventLog
    """Reads the log outside of any group."""
    producer: EventProducer
    """Appends to the log; embedded, journaled and bounded."""
    worker_producer: EventProducer
    """Appends what the worker answers: it must never wait for its own commits."""
    run_id: str | None = None
    """Names this run where the log's offsets begin at 0 with it; none: they go on over restarts."""
    read_images: Callable[[], Iterable[Message]]
    """Every image event there is, up to now."""
    read_decisions: Callable[[], Iterable[Message]]
    """Every decision of the operator about an image, up to now."""
    remembered_images: Callable[[], Iterable[Message]] = tuple
    """Image events and decisions that the log may have forgotten."""
    seal: Seal | None = None
    """Seals what this process appends; None: the broker knows who may append what."""
    journal: Journal | None = None
    """What the embedded log remembers; None: the log is not embedded."""

    def consumer(self, group: str) -> EventConsumer:
        """A new member of a group; its user closes it."""
        if self.seal is None:
            return KafkaEventConsumer(self.kafka, group=group)
        return SealedConsumer(self.kafka, group=group, seal=self.seal)

    def ask_broker(self, timeout_s: float = PROBE_S) -> BrokerAnswer:
        """Ask the broker who it is. Raises `PartUnavailable` where it does not answer."""
        answer = ask_broker(self.kafka, timeout_s=timeout_s)
        if answer.trouble is not None:
            raise PartUnavailable(Part.BROKER, f"{answer.trouble}: {answer.message}")
        return answer


@dataclass(frozen=True, kw_only=True)
class Base:
    """Log and store and what is made of them: enough to publish, without a model or an index."""

    settings: Settings
    watch: Watch
    events: Events
    store: ObjectStore
    """Keeps bytes; our bucket exists."""
    publishing: Publishing


@dataclass(frozen=True, kw_only=True)
class Node:
    """All that worker, API and bridge are made of."""

    settings: Settings
    watch: Watch
    events: Events
    store: ObjectStore
    """Keeps bytes; our bucket exists."""
    publishing: Publishing
    serving: Serving
    """What serves, and what may: indexes, models and their pairs."""
    index: VectorIndex
    """The generation that serves, whichever that is at each call."""
    catalogued: CataloguedImages
    """Writes of images whose versions we count; backfilled ones are known from the index."""
