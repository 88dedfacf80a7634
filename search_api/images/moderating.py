"""The operator's decisions in and out of the API: decided, waited for, and told of an image."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import partial

from sightline.engine.errors import NotFound
from sightline.engine.ports import Clock
from sightline.engine.vector_index.visible import VisibleIndex
from sightline.producers.images.moderation import ImageModeration, OperatorVerdict
from sightline.schemas.moderation import ImageModerated
from sightline.search_api.http.if_match import ANY_VERSION, IfMatch
from sightline.search_api.images.looking import holds_within
from sightline.search_api.threads.pools import ApiThreads

MAX_PENDING = 10_000
"""Decisions on their way that this process remembers; the oldest are forgotten beyond."""


def _permit(wanted: IfMatch, present: ImageModerated | None) -> None:
    wanted.check(None if present is None else present.version, of="decision")


class Moderating:
    """Decides about images, and knows what is on its way to the index.

    Args:
        moderation: decides and publishes.
        visible: what the index holds as decided.
        clock: the time.
        threads: where store, broker and index are waited for.
    """

    def __init__(
        self,
        moderation: ImageModeration,
        visible: VisibleIndex,
        *,
        clock: Clock,
        threads: ApiThreads,
    ) -> None:
        self._moderation = moderation
        self._visible = visible
        self._clock = clock
        self._writers = threads.moderation
        self._readers = threads.image_reads
        self._pending: OrderedDict[str, ImageModerated] = OrderedDict()
        self._lock = threading.Lock()

    async def decide(
        self, image_id: str, verdict: OperatorVerdict, wanted: IfMatch = ANY_VERSION
    ) -> ImageModerated:
        """Decide and return once that is acknowledged.

        Args:
            image_id: known or not.
            verdict: what is decided.
            wanted: the version of the decision that this one is to follow.

        Raises:
            Problem: 412, another decision is there.
            As `ImageModeration.decide`.
        """
        permit = None if wanted == ANY_VERSION else partial(_permit, wanted)
        decided = await self._writers.run(self._moderation.decide, image_id, verdict, permit=permit)
        self._remember(decided.decision)
        return decided.decision

    async def newest(self, image_id: str) -> ImageModerated:
        """The newest decision that is known: on its way, else the index's.

        Raises:
            NotFound: nothing was decided about the image.
            PartUnavailable: the index is down.
        """
        found = self.newer_than(image_id, await self._applied(image_id))
        if found is None:
            raise NotFound(f"nothing was decided about image {image_id}")
        return found

    def newer_than(self, image_id: str, applied: ImageModerated | None) -> ImageModerated | None:
        """The newer of what is applied and what is on its way; forgets what has arrived."""
        with self._lock:
            waiting = self._pending.get(image_id)
            if waiting is None:
                return applied
            if applied is not None and applied.version >= waiting.version:
                del self._pending[image_id]
                return applied
            return waiting

    async def applied_within(self, decision: ImageModerated, timeout_s: float) -> bool:
        """Whether the index has the decision, or a higher one, before the time is over."""

        async def has() -> bool:
            applied = await self._applied(decision.image_id)
            return applied is not None and applied.version >= decision.version

        return await holds_within(has, timeout_s, self._clock)

    async def _applied(self, image_id: str) -> ImageModerated | None:
        return await self._readers.run(self._visible.decision, image_id)

    def _remember(self, decision: ImageModerated) -> None:
        """Keep the newer decision: of two that race, the later may be acknowledged first."""
        with self._lock:
            known = self._pending.get(decision.image_id)
            if known is not None and known.version > decision.version:
                return
            self._pending[decision.image_id] = decision
            self._pending.move_to_end(decision.image_id)
            if len(self._pending) > MAX_PENDING:
                self._pending.popitem(last=False)
