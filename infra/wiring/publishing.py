"""What both stacks open in the same way: how they see themselves, and what they publish with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sightline.engine.clock import SystemClock
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue, Decisions
from sightline.engine.ports import Clock, EventProducer, ObjectStore, VectorIndex
from sightline.engine.settings import Settings
from sightline.infra.wiring.node import SOURCE, Publishing, Watch
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.moderation import ImageModeration
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.unpublished import Unpublished
from sightline.schemas.images import ImageState
from sightline.schemas.moderation import ImageModerated


def watch(clock: Clock | None = None) -> Watch:
    """New metrics and health, on this clock; none: the system's."""
    metrics, turned = Metrics(), clock or SystemClock()
    return Watch(clock=turned, metrics=metrics, health=Health(turned, changed=metrics.part))


def publishing(
    settings: Settings,
    producer: EventProducer,
    store: ObjectStore,
    clock: Clock,
    index: VectorIndex | None = None,
) -> Publishing:
    """Publisher and catalogues of this deployment's own processes; decisions also by an index."""
    bucket = settings.store.bucket
    publisher = ImagePublisher(producer, store, bucket=bucket, source=SOURCE, clock=clock)
    catalogue = Catalogue(store, bucket)
    new_images = CataloguedImages(catalogue, publisher)
    decisions = Decisions(store, bucket)
    moderation = moderation_of(decisions, producer, clock, index)
    every_s = settings.api.publish_unpublished_every_s
    looks = partial(Unpublished, store=store, bucket=bucket, clock=clock, every_s=every_s)
    return Publishing(
        publisher=publisher,
        catalogue=catalogue,
        decisions=decisions,
        moderation=moderation,
        new_images=new_images,
        unpublished_decisions=looks(decisions, moderation),
        unpublished_images=looks(catalogue, new_images),
    )


def moderation_of(
    decisions: Decisions, producer: EventProducer, clock: Clock, index: VectorIndex | None
) -> ImageModeration:
    """What decides, above what is kept and, where there is an index, what it holds."""

    def known(image_id: str) -> ImageModerated | None:
        found = None if index is None else index.decisions([image_id]).get(image_id)
        return None if found is None else found.decision

    return ImageModeration(decisions, producer, source=SOURCE, clock=clock, known=known)


def known_in(index: VectorIndex) -> Callable[[str], ImageState | None]:
    """The states of backfilled images, which are in the index and not in the catalogue."""

    def known(image_id: str) -> ImageState | None:
        found = index.get([image_id]).get(image_id)
        return None if found is None else found.state

    return known
