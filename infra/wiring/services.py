"""The services stack: Kafka, an object store, and an index of this process's or a Qdrant server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from sightline.engine.connecting.connections import (
    ensure_topics,
    event_log_on,
    open_event_producer,
    open_object_store,
)
from sightline.engine.ports import Clock
from sightline.engine.serving.current_index import CurrentIndex
from sightline.engine.settings import Settings
from sightline.infra.wiring.node import Base, Events, Node
from sightline.infra.wiring.publishing import known_in, moderation_of, publishing, watch
from sightline.infra.wiring.serving import serving_of
from sightline.producers.images.catalogued import CataloguedImages
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL, IMAGES_MODERATION


@contextmanager
def services_base(settings: Settings, *, clock: Clock | None = None) -> Iterator[Base]:
    """Log and store, topics made where they are missing; closed, last first, when the block ends.

    Args:
        settings: of the services mode.
        clock: none: the system's.

    Raises:
        TopicDrift: topics are missing and must not be created here.
        PartUnavailable: broker or store did not answer.
    """
    ensure_topics(settings)
    seen, log = watch(clock), event_log_on(settings.kafka, settings)
    with ExitStack() as opened:
        store = open_object_store(settings)
        opened.callback(store.close)
        producer = open_event_producer(settings)
        opened.callback(producer.close)
        yield Base(
            settings=settings,
            watch=seen,
            events=Events(
                kafka=settings.kafka,
                log=log,
                producer=producer,
                worker_producer=producer,
                read_images=lambda: log.read([IMAGES.name, IMAGES_BACKFILL.name]),
                read_decisions=lambda: log.read([IMAGES_MODERATION.name]),
            ),
            store=store,
            publishing=publishing(settings, producer, store, seen.clock),
        )


@contextmanager
def services_node(settings: Settings) -> Iterator[Node]:
    """The base with model and index.

    Raises:
        TopicDrift, PartUnavailable: as `services_base`.
        GenerationMismatch: another model made the index.
        OriginMismatch: the index's directory was made from another log or bucket.
        IndexOwned: another process has the index's directory.
    """
    with ExitStack() as opened:
        base = opened.enter_context(services_base(settings))
        events, made = base.events, base.publishing
        serving = serving_of(
            settings, base.store, base.watch, lambda: _log_identity(events), opened
        )
        index = CurrentIndex(serving.pairs)
        moderation = moderation_of(made.decisions, events.producer, base.watch.clock, index)
        yield Node(
            settings=settings,
            watch=base.watch,
            events=events,
            store=base.store,
            publishing=replace(made, moderation=moderation),
            serving=serving,
            index=index,
            catalogued=CataloguedImages(made.catalogue, made.publisher, known=known_in(index)),
        )


def _log_identity(events: Events) -> str:
    answer = events.ask_broker(events.kafka.request_timeout_s)
    prefix = events.kafka.topic_prefix
    return f"Kafka cluster {answer.cluster_id or 'without id'}" + (
        f", topics {prefix}*" if prefix else ""
    )
