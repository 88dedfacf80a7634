"""The port to the time: what instant it is, and how long something took."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time, so that tests can turn it."""

    def now(self) -> datetime:
        """Tells the present instant, with its time zone UTC."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
