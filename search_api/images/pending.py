"""What this process published and the index has not applied yet: `pending`, per image."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from sightline.engine.ports import Clock
from sightline.engine.records import IndexedImage
from sightline.engine.vector_index.visible import EVERYTHING, Caller
from sightline.schemas.images import Authority, ImageState, tie

MAX_PENDING = 100_000
MAX_BYTES = 64 * 1024 * 1024
"""Bytes of all entries: some 80,000 of an ordinary image, 5,000 with everything at its bound."""
ENTRY_BYTES = 350
"""Bytes of an entry beside its state: the record, its key, its place in the order (measured)."""
MAX_AGE = timedelta(hours=24)
"""What has not arrived by then, as a dead letter never does, is told as unknown or as it was."""


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


@dataclass(frozen=True, slots=True)
class _Held:
    """A pending event as it is kept: a parsed state of many tags takes eight times its JSON."""

    kind: type[ImageState]
    state: bytes
    version: int
    owner_id: str | None
    event_id: str
    published: datetime

    @classmethod
    def of(cls, pending: Pending) -> Self:
        """Packs an event to be held, its state as JSON to save memory."""
        state = pending.state
        encoded = state.model_dump_json().encode()
        owner = None if state.owner_id is None else sys.intern(state.owner_id)  # owners are few
        return cls(type(state), encoded, state.version, owner, pending.event_id, pending.published)

    def pending(self) -> Pending:
        """Unpacks the event again, equal to the one that was packed."""
        state = self.kind.model_validate_json(self.state)
        return Pending(state=state, event_id=self.event_id, published=self.published)

    def has_arrived(self, applied: IndexedImage) -> bool:
        """See `Pending.has_arrived`; the state is unpacked only where it decides."""
        if applied.version != self.version:
            return applied.version > self.version
        return applied.event_id == self.event_id or self.pending().has_arrived(applied)

    @property
    def size_bytes(self) -> int:
        """Memory that it takes, within a tenth."""
        return len(self.state) + len(self.event_id) + ENTRY_BYTES


class PendingImages:
    """The newest published event per image; safe across threads.

    An entry stays until the index has it or what supersedes it. The oldest are forgotten before
    that when they are `MAX_AGE` old, or when there are more than `MAX_PENDING` or `MAX_BYTES`.

    Args:
        clock: the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._images: OrderedDict[str, _Held] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def add(self, pending: Pending) -> None:
        """Remember an event, unless a higher version is known already."""
        image_id, held = pending.state.image_id, _Held.of(pending)
        with self._lock:
            known = self._images.get(image_id)
            if known is not None and known.version > held.version:
                return
            self._forget(image_id)
            self._images[image_id] = held
            self._bytes += held.size_bytes
            self._keep_bounds()

    def newer_than(
        self, image_id: str, applied: IndexedImage | None, caller: Caller = EVERYTHING
    ) -> Pending | None:
        """What is on its way beyond what is applied; forgets what has arrived.

        Nothing that the caller may not change is told, or unpacked: the time would tell of it.
        """
        with self._lock:
            held = self._images.get(image_id)
        if held is None:
            return None
        if applied is None or not held.has_arrived(applied):
            return held.pending() if caller.may_change(held.owner_id) else None
        with self._lock:
            if self._images.get(image_id) is held:
                self._forget(image_id)
        return None

    def holds(self, image_id: str) -> bool:
        """Whether something of the image is remembered, arrived or not."""
        with self._lock:
            return image_id in self._images

    def chunks(self, size: int) -> Iterator[Sequence[str]]:
        """The images of all entries that are there now, so many at a time."""
        with self._lock:
            image_ids = list(self._images)
        for start in range(0, len(image_ids), size):
            yield image_ids[start : start + size]

    def _keep_bounds(self) -> None:
        oldest_kept = self._clock.now() - MAX_AGE
        while self._images:
            image_id, oldest = next(iter(self._images.items()))
            many = len(self._images) > MAX_PENDING or self._bytes > MAX_BYTES
            if not many and oldest.published >= oldest_kept:
                return
            self._forget(image_id)

    def _forget(self, image_id: str) -> None:
        held = self._images.pop(image_id, None)
        if held is not None:
            self._bytes -= held.size_bytes
