"""The record of what serves as a process saw it last: one of its loops asks, all are answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sightline.engine.errors import SightlineError
from sightline.engine.ports import Clock
from sightline.engine.serving.record import ServingRecord, StoredServing

_Seen = TypeVar("_Seen")
_STOP_S = 1.0
"""Whoever waits looks so often whether it is to end."""


class RecordWatch:
    """Answers the loops of one process from what was seen last; safe from several threads.

    Whoever does something because of what it finds asks with `now`, or changes `record`, which
    reads afresh: others may have changed it since it was seen.

    Args:
        record: says what serves.
        every_s: what was seen so long ago is looked at again.
        clock: the time.
    """

    def __init__(self, record: ServingRecord, *, every_s: float, clock: Clock) -> None:
        self.record = record
        self._every_s = every_s
        self._clock = clock
        self._asking = threading.Lock()
        self._seen_at_s: float | None = None
        self._etag: str | None = None
        self._found: StoredServing | None = None
        self._failures = 0
        self._failure: SightlineError | None = None
        self._changed = threading.Condition()
        self.changes = 0
        """How often another state was seen, and who waits was woken."""

    def etag(self, *, now: bool = False) -> str | None:
        """What changes with the state; None: there is none yet.

        Args:
            now: ask the store, however fresh the answer is that is there.

        Raises:
            PartUnavailable: the store did not answer.
        """
        return self._in_turn(lambda: self._etag_seen(now=now))

    def find(self, *, now: bool = False) -> StoredServing | None:
        """The state, which is read and parsed once for each etag; None: nothing ever served.

        Args:
            now: ask the store whether it has changed, however fresh the answer is that is there.

        Raises:
            Unreadable, PartUnavailable: as `ServingRecord.find`.
        """
        return self._in_turn(lambda: self._state_seen(now=now))

    def wait(self, seen: int, seconds: float, stop: threading.Event) -> bool:
        """Return once there are more changes, after so many seconds, or within one of `stop`.

        Nobody asks the store for it: the loop that looks most often wakes the others.

        Args:
            seen: how many changes there were before the last look.
            seconds: to wait at most.
            stop: ends it; whether it is set is returned.
        """
        ends_s = time.monotonic() + seconds
        with self._changed:
            while self.changes == seen and not stop.is_set():
                left_s = min(_STOP_S, ends_s - time.monotonic())
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
        return stop.is_set()

    def wake(self) -> None:
        """Let all loops that wait for a change look again."""
        with self._changed:
            self.changes += 1
            self._changed.notify_all()

    def _etag_seen(self, *, now: bool) -> str | None:
        at_s = self._clock.monotonic()
        if now or self._seen_at_s is None or at_s - self._seen_at_s >= self._every_s:
            self._saw(self.record.etag())
            self._seen_at_s = at_s
        return self._etag

    def _saw(self, etag: str | None) -> None:
        is_new, self._etag = etag != self._etag, etag
        if is_new:
            self.wake()

    def _state_seen(self, *, now: bool) -> StoredServing | None:
        etag = self._etag_seen(now=now)
        if etag is None:
            return None
        if self._found is None or self._found.etag != etag:
            at_s = self._clock.monotonic()
            self._found = self.record.find()
            self._saw(None if self._found is None else self._found.etag)
            self._seen_at_s = at_s
        return self._found

    def _in_turn(self, ask: Callable[[], _Seen]) -> _Seen:
        """One asks at a time; a failure is for those who waited for it, and for nobody later.

        Else a store that answers nobody would keep each of them waiting for all before it.
        """
        failures = self._failures
        with self._asking:
            if self._failure is not None and self._failures != failures:
                raise self._failure
            try:
                seen = ask()
            except SightlineError as error:
                self._failures, self._failure = self._failures + 1, error
                raise
            self._failure = None
            return seen
