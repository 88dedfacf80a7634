"""Which parts are up and which loops stopped: told by them, read by `/readyz` and the metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sightline.engine.errors import Part
from sightline.engine.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class PartHealth:
    """One part as it was last seen."""

    part: Part
    up: bool
    since: datetime
    """When it last went up or down."""
    reason: str = ""
    """Why it is down, without secrets; or what runs it, when up."""


class Health:
    """Up or down per part; safe to call from several threads.

    A part that nobody has reported on is not listed. Repeated reports of the same state keep
    `since`; `changed` is called, outside the lock, at each transition.
    """

    def __init__(
        self, clock: Clock, *, changed: Callable[[PartHealth], None] = lambda _: None
    ) -> None:
        self._clock = clock
        self._changed = changed
        self._parts: dict[Part, PartHealth] = {}
        self._notes: dict[Part, str] = {}
        self._stopped: dict[str, str] = {}
        self._lock = threading.Lock()

    def up(self, part: Part, note: str = "") -> None:
        """The part answered; an empty note keeps the last one."""
        self._report(part, up=True, reason=note)

    def down(self, part: Part, reason: str) -> None:
        """The part did not answer, or refused."""
        self._report(part, up=False, reason=reason)

    def of(self, part: Part) -> PartHealth | None:
        """The last report on a part; None: nobody has seen it yet."""
        with self._lock:
            return self._parts.get(part)

    def is_up(self, part: Part) -> bool:
        """Whether the part was up when last seen; unseen parts count as up."""
        seen = self.of(part)
        return seen is None or seen.up

    def parts(self) -> tuple[PartHealth, ...]:
        """Every part that was reported on, by name."""
        with self._lock:
            return tuple(self._parts[part] for part in sorted(self._parts))

    def stop(self, loop: str, reason: str) -> None:
        """A loop of this process has stopped; the rest of it goes on."""
        with self._lock:
            self._stopped[loop] = reason

    def resume(self, loop: str) -> None:
        """A loop that had stopped runs again."""
        with self._lock:
            self._stopped.pop(loop, None)

    def stopped(self) -> dict[str, str]:
        """The loops that have stopped, and why."""
        with self._lock:
            return dict(self._stopped)

    def _report(self, part: Part, *, up: bool, reason: str) -> None:
        with self._lock:
            if up:
                reason = self._notes[part] = reason or self._notes.get(part, "")
            before = self._parts.get(part)
            if before is not None and before.up == up and before.reason == reason:
                return
            turned = before is None or before.up != up
            since = self._clock.now() if before is None or turned else before.since
            after = PartHealth(part=part, up=up, since=since, reason=reason)
            self._parts[part] = after
        if turned:
            self._changed(after)
