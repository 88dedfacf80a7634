"""A write that nothing stands against in, the acknowledged event out, remembered until it arrives.

`owner`: the caller counts the versions; the event goes straight to the log.
`sightline`: the catalogue counts them, by compare-and-set (docs/images.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from sightline.engine.errors import Part
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.vector_index.visible import Caller
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.originals import Original
from sightline.producers.images.published import Written
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.producers.images.states import ImageFacts
from sightline.schemas.images import ImageState
from sightline.search_api.http.limits.concurrency import Gate
from sightline.search_api.images.accepted import Accepted
from sightline.search_api.images.known_image import KnownImage
from sightline.search_api.images.pending import Pending, PendingImages
from sightline.search_api.images.status import ImageStatus
from sightline.search_api.threads.pools import MAX_WRITES, ApiPool

T = TypeVar("T")


class Acknowledging:
    """Carries writes of images to the catalogue or the log, one at a time for each image.

    Args:
        status: what is known of an image.
        pending: remembers what was published.
        catalogued: publishes what a failed write left in the catalogue.
        publisher: publishes what an owner counts.
        clock: the time.
        metrics: shows how many writes are under way.
        threads: where store and broker are waited for.
    """

    def __init__(
        self,
        *,
        status: ImageStatus,
        pending: PendingImages,
        catalogued: CataloguedImages,
        publisher: AsyncImagePublisher,
        clock: Clock,
        metrics: Metrics,
        threads: ApiPool,
    ) -> None:
        self._status = status
        self._pending = pending
        self._catalogued = catalogued
        self._publisher = publisher
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._gate = Gate(MAX_WRITES, metrics.writes_in_flight)
        self._threads = threads

    @asynccontextmanager
    async def turn(self, image_id: str) -> AsyncIterator[None]:
        """Hold the image while the body runs, and a place among the writes.

        Raises:
            Overloaded: too many writes wait.
        """
        # Of two racing writes in this process the second sees what the first did. A lock vanishes
        # when nobody holds or awaits it.
        lock = self._locks.setdefault(image_id, asyncio.Lock())
        async with self._gate.enter(Part.BROKER), lock:
            yield

    async def known(self, image_id: str, caller: Caller) -> KnownImage | None:
        """Asks `ImageStatus.known`, once what a failed write left in the catalogue is published.

        Else a repeated delete would find nothing to do, and a caller with the ETag that it read
        would be told to read again for ever.
        """
        known = await self._status.known(image_id, caller)
        if known is None or known.pending is None:
            return known
        if known.pending != self._pending.newer_than(image_id, None):  # the catalogue's
            written = await self._threads.run(self._catalogued.finish, image_id)
            if written is not None:
                self._remember(written)
        return known

    async def counted(self, write: Callable[[], Written]) -> Accepted:
        """A write through the catalogue, made in a thread; raises what it raises."""
        return self._remember(await self._threads.run(write))

    async def stored(
        self, image_id: str, original: Original, facts: ImageFacts, *, version: int
    ) -> Accepted:
        """Keep an upload's bytes, and publish it at the owner's version.

        Raises:
            PartUnavailable: store or broker; a repeat is safe.
        """
        state = await self._threads.run(
            self._publisher.stored, image_id, original, facts, version=version
        )
        return self._remember(await self._publisher.publish(state))

    async def published(self, state: ImageState) -> Accepted:
        """Publish the next state of an image that is known, at the owner's version.

        Raises:
            PartUnavailable: the broker; a repeat is safe.
        """
        return self._remember(await self._publisher.publish(state, known=True))

    def _remember(self, written: Written) -> Accepted:
        pending = Pending(
            state=written.state, event_id=written.event_id, published=self._clock.now()
        )
        self._pending.add(pending)
        return Accepted(written.image_id, written.version, pending)
