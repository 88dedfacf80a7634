"""Ends a label stage that would bury a topic: a misconfiguration must not fill the dead letters."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sightline.engine.errors import DeadLetterLimit

MS_PER_S = 1_000


@dataclass(frozen=True, slots=True)
class LetterRate:
    """So many dead letters of a partition in so many seconds are borne."""

    limit: int
    window_s: float


class LetterLimit:
    """Counts by the records' own timestamps: reading them again after a restart adds none."""

    def __init__(self, rate: LetterRate) -> None:
        self._rate = rate
        self._recent: deque[int] = deque()

    def count(self, timestamp_ms: int, latest: str) -> None:
        """Count one.

        Raises:
            DeadLetterLimit: one too many; it must not be sent, and nothing past it committed.
        """
        since_ms = timestamp_ms - self._rate.window_s * MS_PER_S
        while self._recent and self._recent[0] <= since_ms:
            self._recent.popleft()
        if len(self._recent) >= self._rate.limit:
            raise DeadLetterLimit(
                f"more than {self._rate.limit} dead letters within {self._rate.window_s:g} s of "
                f"one partition; nothing past this one was committed; latest: {latest[:300]}. Look "
                "with `sightline dlq list`, then start again, with a higher "
                "labels.dead_letter_limit if the data is really that bad"
            )
        self._recent.append(timestamp_ms)
