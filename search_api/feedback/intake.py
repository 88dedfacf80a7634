"""What people did and judged, from a request to the log: bounded, and answered when it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from sightline.engine.errors import Overloaded, Part, PartUnavailable, TransientError
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.records import Message
from sightline.engine.search_ids import SearchIdInvalid
from sightline.engine.settings import ApiSettings
from sightline.engine.trace_context import child_traceparent
from sightline.engine.vector_index.visible import ANYBODY, VisibleIndex
from sightline.producers.interactions.publisher import InteractionRefused
from sightline.producers.interactions.publisher_async import AsyncInteractionPublisher
from sightline.schemas.searches import UploadQuery
from sightline.search_api.feedback.anchors import Anchors
from sightline.search_api.http.limits.rate_limit import RateLimit
from sightline.search_api.http.problems import Problem, invalid, retry_after
from sightline.search_api.http.request_fields import Beacon, Judgement
from sightline.search_api.threads.pools import ApiPool

BURST_ITEMS = 1_000
"""One actor may send so many at once: a visitor who was offline sends everything together."""
MAX_UNDER_WAY = 1_000
ACKNOWLEDGED_IN_S = 5.0
"""Beyond, the sender is told to come again: it keeps what it has, and repeats are counted once."""


class Intake:
    """Takes beacons and judgements, on one event loop; `threads` wait for index and store."""

    def __init__(
        self,
        publisher: AsyncInteractionPublisher,
        visible: VisibleIndex,
        anchors: Anchors,
        *,
        settings: ApiSettings,
        clock: Clock,
        health: Health,
        metrics: Metrics,
        threads: ApiPool,
    ) -> None:
        self._publisher = publisher
        self._visible = visible
        self._anchors = anchors
        self._limit = RateLimit(settings.interactions_per_minute, clock, burst=BURST_ITEMS)
        self._clock = clock
        self._health = health
        self._metrics = metrics
        self._threads = threads
        self._under_way = 0

    async def interactions(self, beacon: Beacon, trace: str | None) -> int:
        """Publish one beacon; returns how many items, once they are acknowledged.

        Raises:
            Problem: 403 the search id authorises nothing; 422 an item of the future; 429 too many
                items of this actor.
            PartUnavailable: the broker did not acknowledge; a repeat is safe.
        """
        try:
            actor = self._publisher.authorised(beacon.search_id).actor_id
        except SearchIdInvalid as error:
            self._metrics.interactions.labels("refused").inc(len(beacon.items))
            raise Problem("bad-search-id", str(error), {"field": "search_id"}) from None
        self._refuse_flood(actor, len(beacon.items))
        try:
            await self._acknowledged(
                lambda: self._publisher.interacted(
                    beacon.search_id, beacon.items, traceparent=child_traceparent(trace)
                )
            )
        except InteractionRefused as error:
            self._metrics.interactions.labels("refused").inc(len(beacon.items))
            raise invalid(error.field, str(error)) from None
        for item in beacon.items:
            self._metrics.interactions.labels(item.kind.value).inc()
        return len(beacon.items)

    async def judgement(self, judgement: Judgement, key: str, trace: str | None) -> datetime:
        """Publish one grade; returns the instant it counts from, once it is acknowledged.

        Args:
            judgement: as it was sent.
            key: what the API key is called: it stands in the judge's pseudonym.
            trace: W3C trace context.

        Raises:
            NotFound: image or anchor is none that everybody may see: it must teach nothing.
            PartUnavailable: index, store or broker; a repeat is safe.
        """
        query = await self._threads.run(self._checked, judgement)
        now = self._clock.now()
        await self._acknowledged(
            lambda: self._publisher.judged(
                judgement.anchor_id,
                judgement.image_id,
                judgement.grade,
                key=key,
                judge=judgement.judge,
                judged_at=now,
                query=query,
                traceparent=child_traceparent(trace),
            )
        )
        self._metrics.judgements.inc()
        return now

    def _checked(self, judgement: Judgement) -> UploadQuery | None:
        self._visible.get(judgement.image_id, ANYBODY)
        return self._anchors.query_of(judgement)

    def _refuse_flood(self, actor: str, items: int) -> None:
        wait_s = self._limit.wait_s(actor, items)
        if wait_s > 0:
            self._metrics.interactions.labels("flood").inc(items)
            detail = "this visitor reports more than a person can do"
            raise Problem("too-many-requests", detail, headers=retry_after(wait_s))

    async def _acknowledged(self, publish: Callable[[], Awaitable[Message]]) -> None:
        if self._under_way >= MAX_UNDER_WAY:
            raise Overloaded(Part.BROKER, f"{self._under_way} beacons are under way")
        self._under_way += 1
        try:
            async with asyncio.timeout(ACKNOWLEDGED_IN_S):
                await publish()
        except TimeoutError:
            self._health.down(Part.BROKER, "it acknowledges nothing")
            raise PartUnavailable(Part.BROKER, "it acknowledges nothing") from None
        except TransientError as error:
            self._health.down(Part.BROKER, str(error))
            raise
        finally:
            self._under_way -= 1
        self._health.up(Part.BROKER)
