"""What a backfill publishes by, in tests: our bucket and a shop's in a folder, and a log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.engine.clock import SystemClock
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.ports import EventProducer
from sightline.producers.images.publisher import ImagePublisher

OURS = "sightline"


@contextmanager
def publishing(folder: Path, log: EventProducer) -> Iterator[ImagePublisher]:
    """A publisher into a directory store with the buckets `sightline` and `shop`."""
    store = DirectoryObjectStore(folder / "objects")
    store.ensure_bucket(OURS)
    store.ensure_bucket("shop")
    yield ImagePublisher(log, store, bucket=OURS, source="/test", clock=SystemClock())
    store.close()
