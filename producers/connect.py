"""A platform service's way in: settings in, a publisher out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sightline.engine.clock import SystemClock
from sightline.engine.connections import open_event_producer, open_object_store
from sightline.engine.settings import Settings, load_settings
from sightline.producers.images import ImagePublisher


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
    with ExitStack() as opened:
        store = open_object_store(settings)
        opened.callback(store.close)
        producer = open_event_producer(settings)
        opened.callback(producer.close)
        yield ImagePublisher(
            producer, store, bucket=settings.store.bucket, source=source, clock=SystemClock()
        )
