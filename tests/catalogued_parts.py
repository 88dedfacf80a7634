"""Images whose versions we count, and the log in memory that their states go to."""

from __future__ import annotations

from sightline.engine.clock import SystemClock
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.ports import ObjectStore
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.images import ImageState
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES
from tests.worker_parts import MemoryLog


class Log(MemoryLog):
    """A log that tells which states of images were published."""

    def states(self) -> list[ImageState]:
        """What was published, in order."""
        return [decode(message.value).data for message in self.records[IMAGES.name]]

    def event_ids(self) -> list[str]:
        """Ids of what was published, in order."""
        return [decode(message.value).id for message in self.records[IMAGES.name]]

    def kinds(self) -> list[str]:
        """What kind of events were published, in order."""
        return [state.TYPE.split(".")[2] for state in self.states()]


def authority(catalogue: Catalogue, place: tuple[ObjectStore, str], log: Log) -> CataloguedImages:
    """Another process's view of the same catalogue."""
    store, bucket = place
    publisher = ImagePublisher(log, store, bucket=bucket, source="/test", clock=SystemClock())
    return CataloguedImages(catalogue, publisher)
