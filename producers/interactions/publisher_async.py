"""The interaction publisher for asyncio: the same events, awaited."""

from __future__ import annotations

from sightline.producers.images.awaited import awaited
from sightline.producers.interactions.publisher import InteractionPublisher


class AsyncInteractionPublisher:
    """`InteractionPublisher` for asyncio: each call returns when its event is acknowledged.

    A cancelled call may still take effect: its event is on its way. Besides what the synchronous
    calls raise: `PartUnavailable`, the log did not acknowledge in time; a repeat is safe.

    Args:
        publisher: does the work.
    """

    def __init__(self, publisher: InteractionPublisher) -> None:
        self.open_search = publisher.open_search
        self.authorised = publisher.authorised
        self.shown = awaited(publisher.shown)
        self.interacted = awaited(publisher.interacted)
        self.judged = awaited(publisher.judged)
