"""The interaction publisher for asyncio: the same events, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from sightline.engine.records import Message
from sightline.producers.interactions.publisher import InteractionPublisher, OpenedSearch
from sightline.schemas.interactions import Interaction
from sightline.schemas.searches import Location, Query, ShownImage


class AsyncInteractionPublisher:
    """`InteractionPublisher` for asyncio: each call returns when its event is acknowledged.

    A cancelled call may still take effect: its event is on its way. Besides what the synchronous
    calls raise: `PartUnavailable`, the log did not acknowledge in time; a repeat is safe.

    Args:
        publisher: does the work.
    """

    def __init__(self, publisher: InteractionPublisher) -> None:
        self._publisher = publisher
        self.open_search = publisher.open_search
        self.authorised = publisher.authorised

    async def shown(
        self,
        search: OpenedSearch,
        *,
        query: Query,
        anchor_perceptual_hash: str,
        shown: Sequence[ShownImage],
        model_digest: str,
        generation: str,
        location: Location | None = None,
        traceparent: str | None = None,
    ) -> Message:
        """See `InteractionPublisher.shown`."""
        return await asyncio.wrap_future(
            self._publisher.shown(
                search,
                query=query,
                anchor_perceptual_hash=anchor_perceptual_hash,
                shown=shown,
                model_digest=model_digest,
                generation=generation,
                location=location,
                traceparent=traceparent,
            )
        )

    async def interacted(
        self,
        search_id: str,
        items: Sequence[Interaction],
        *,
        received_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Message:
        """See `InteractionPublisher.interacted`."""
        return await asyncio.wrap_future(
            self._publisher.interacted(
                search_id, items, received_at=received_at, traceparent=traceparent
            )
        )

    async def judged(
        self,
        anchor_id: str,
        image_id: str,
        grade: int,
        *,
        key: str,
        judge: str,
        judged_at: datetime | None = None,
        query: Query | None = None,
        traceparent: str | None = None,
    ) -> Message:
        """See `InteractionPublisher.judged`."""
        return await asyncio.wrap_future(
            self._publisher.judged(
                anchor_id,
                image_id,
                grade,
                key=key,
                judge=judge,
                judged_at=judged_at,
                query=query,
                traceparent=traceparent,
            )
        )
