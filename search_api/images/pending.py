"""What this process published and the index has not applied yet: `pending`, per image."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from sightline.engine.records import IndexedImage
from sightline.schemas.images import Authority, ImageState, tie

MAX_PENDING = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One acknowledged event that is on its way."""

    state: ImageState
    event_id: str
    published: datetime

    def has_arrived(self, applied: IndexedImage) -> bool:
        """Whether what the index has is this event, or one that ends it: never an earlier one.

        Of two events of one version the index keeps the one of the higher tie. Where Sightline
        counts, a version is one event, and the state here only a copy of what was published.
        """
        if applied.version != self.state.version:
            return applied.version > self.state.version
        if applied.event_id == self.event_id or self.state.authority is Authority.SIGHTLINE:
            return True
        return applied.tie >= tie(self.state, self.event_id)


class PendingImages:
    """The newest published event per image, bounded, the oldest forgotten; safe across threads.

    An entry stays until the index has it or what supersedes it, or until it is forgotten.
    """

    def __init__(self) -> None:
        self._images: OrderedDict[str, Pending] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, pending: Pending) -> None:
        """Remember an event, unless a higher version is known already."""
        image_id = pending.state.image_id
        with self._lock:
            known = self._images.get(image_id)
            if known is not None and known.state.version > pending.state.version:
                return
            self._images[image_id] = pending
            self._images.move_to_end(image_id)
            if len(self._images) > MAX_PENDING:
                self._images.popitem(last=False)

    def newer_than(self, image_id: str, applied: IndexedImage | None) -> Pending | None:
        """What is on its way beyond what is applied; forgets what has arrived."""
        with self._lock:
            known = self._images.get(image_id)
            if known is None:
                return None
            if applied is not None and known.has_arrived(applied):
                del self._images[image_id]
                return None
            return known
