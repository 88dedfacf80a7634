"""The publisher for asyncio: the same events, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import JsonValue

from sightline.producers.images.content_types import OCTETS
from sightline.producers.images.publisher import (
    ImagePublisher,
    Published,
    changed,
    deleted,
)
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import Authority, ImageState
from sightline.schemas.indexed import Lane


class AsyncImagePublisher:
    """As `ImagePublisher`, awaited; the store is written in a thread, the log without one.

    A cancelled call may still take effect: its event is on its way. One that was taken is answered
    or raises, also when the producer is closed meanwhile; what, `ImagePublisher.upload` says.

    Args:
        publisher: does the work.
    """

    def __init__(self, publisher: ImagePublisher) -> None:
        self._publisher = publisher

    async def upload(
        self,
        data: bytes,
        *,
        image_id: str,
        version: int,
        visibility: Visibility = Visibility.PRIVATE,
        moderation: Moderation = Moderation.ALLOWED,
        tags: Sequence[str] = (),
        owner_id: str | None = None,
        group_id: str | None = None,
        attributes: Mapping[str, JsonValue] | None = None,
        content_type: str = OCTETS,
        authority: Authority = Authority.OWNER,
        lane: Lane = Lane.LIVE,
    ) -> Published:
        """See `ImagePublisher.upload`."""
        # In a thread: to hash a large picture here would hold up every other task.
        state = await asyncio.to_thread(
            self._publisher.stored,
            data,
            image_id=image_id,
            version=version,
            visibility=visibility,
            moderation=moderation,
            tags=tags,
            owner_id=owner_id,
            group_id=group_id,
            attributes=attributes,
            content_type=content_type,
            authority=authority,
        )
        return await self.publish(state, lane=lane)

    async def change(self, state: ImageState, *, version: int, **changes: Any) -> Published:
        """See `ImagePublisher.change`."""
        return await self.publish(changed(state, version=version, **changes))

    async def delete(self, state: ImageState, *, version: int) -> Published:
        """See `ImagePublisher.delete`."""
        return await self.publish(deleted(state, version=version))

    async def publish(
        self,
        state: ImageState,
        *,
        lane: Lane = Lane.LIVE,
        event_id: str | None = None,
        occurred: datetime | None = None,
        traceparent: str | None = None,
    ) -> Published:
        """See `ImagePublisher.publish`; returns when the event is acknowledged."""
        return await asyncio.wrap_future(
            self._publisher.publish(
                state, lane=lane, event_id=event_id, occurred=occurred, traceparent=traceparent
            )
        )
