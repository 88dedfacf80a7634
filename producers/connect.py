"""A platform service's way in: settings in, a publisher out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import (
    open_event_producer,
    open_object_store,
    reachable_kafka,
    signing_secret,
)
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.search_ids import SearchIds
from sightline.engine.settings import Settings, load_settings
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.interactions.publisher import InteractionPublisher


@contextmanager
def connect(
    settings: Settings | None = None, *, source: str = "/platform"
) -> Iterator[ImagePublisher]:
    """A publisher that is closed, everything acknowledged, when the block ends.

    Args:
        settings: none: those of `load_settings()`, from file and environment.
        source: CloudEvents `source` of what this service publishes.

    Raises:
        SettingsInvalid: the settings cannot be read.
        RefusedToStart: embedded mode, and nothing runs.
        PartUnavailable: broker or store did not answer.
    """
    settings = settings or load_settings()
    with (
        closing(open_object_store(settings)) as store,
        closing(open_event_producer(settings)) as producer,
    ):
        yield ImagePublisher(
            producer, store, bucket=settings.store.bucket, source=source, clock=SystemClock()
        )


@contextmanager
def connect_interactions(
    settings: Settings | None = None, *, source: str = "/platform"
) -> Iterator[InteractionPublisher]:
    """The same for what a front end shows and what people do with it.

    Args:
        settings: none: those of `load_settings()`; their `api.signing_secret`, else the one in the
            object store, must be the API's.
        source: CloudEvents `source` of what this service publishes.

    Raises:
        SettingsInvalid: the settings cannot be read.
        RefusedToStart: embedded mode, and nothing runs.
        PartUnavailable: broker or store did not answer.
    """
    settings = settings or load_settings()
    ids = signing_ids(settings)
    # Also in embedded mode straight to its broker: what people do is not journaled.
    with closing(KafkaEventProducer(reachable_kafka(settings))) as producer:
        yield InteractionPublisher(producer, ids, source=source, clock=SystemClock())


def signing_ids(settings: Settings) -> SearchIds:
    """Seals and pseudonymises as the deployment's API does. Raises `PartUnavailable`."""
    given = settings.api.signing_secret
    if given is not None:  # then without a store: a service may have none
        return SearchIds(given.get_secret_value().encode())
    with closing(open_object_store(settings)) as store:
        return SearchIds(signing_secret(settings, store))
