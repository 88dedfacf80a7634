"""The publisher for asyncio: the same events, awaited."""

from __future__ import annotations

import asyncio
from typing import Unpack

from sightline.producers.images.awaited import awaited
from sightline.producers.images.content_types import OCTETS
from sightline.producers.images.originals import Original
from sightline.producers.images.published import Written
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.states import ImageFacts
from sightline.schemas.images import ImageState, ImageUploaded
from sightline.schemas.indexed import Lane


class AsyncImagePublisher:
    """`ImagePublisher` for asyncio; the store is written in a thread, the log without one.

    A cancelled call may still take effect: its event is on its way. One that was taken is answered
    or raises, also when the producer is closed meanwhile; what, `ImagePublisher.upload` says.

    Args:
        publisher: does the work.
    """

    def __init__(self, publisher: ImagePublisher) -> None:
        self._publisher = publisher
        self.publish = awaited(publisher.publish)
        """See `ImagePublisher.publish`; returns when the event is acknowledged."""

    async def upload(
        self,
        data: bytes | Original,
        *,
        image_id: str,
        version: int,
        content_type: str = OCTETS,
        lane: Lane = Lane.LIVE,
        **facts: Unpack[ImageFacts],
    ) -> Written:
        """See `ImagePublisher.upload`."""
        # In a thread: to hash a large picture here would hold up every other task.
        state = await asyncio.to_thread(
            self.stored, image_id, data, facts, version=version, content_type=content_type
        )
        return await self.publish(state, lane=lane)

    def stored(
        self,
        image_id: str,
        data: bytes | Original,
        facts: ImageFacts,
        *,
        version: int,
        content_type: str = OCTETS,
    ) -> ImageUploaded:
        """Store the bytes, in the caller's thread; the state that is to be published then.

        For who has threads of their own to wait for the store in. Raises as `upload`.
        """
        original = self._publisher.original(image_id, data, content_type)
        return self._publisher.stored(image_id, original, facts, version=version)

    async def change(
        self, state: ImageState, *, version: int, **changes: Unpack[ImageFacts]
    ) -> Written:
        """See `ImagePublisher.change`."""
        return await asyncio.wrap_future(self._publisher.changing(state, changes, version=version))

    async def delete(self, state: ImageState, *, version: int) -> Written:
        """See `ImagePublisher.delete`."""
        return await asyncio.wrap_future(self._publisher.deleting(state, version=version))
