"""Stops a loop that would bury a topic: a misconfiguration must not fill the dead letters."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from sightline.engine.errors import DeadLetterLimit
from sightline.engine.records import Message, TopicPartition

EXIT_DEAD_LETTER_LIMIT = 71
"""The exit code of a worker's own process: starting it again would bury more of the same."""


class BuryingLimits(Protocol):
    """The settings of an area that makes dead letters."""

    @property
    def dead_letter_limit(self) -> int:
        """More dead letters of a partition than these, within the window, stop the loop."""

    @property
    def dead_letter_window_s(self) -> float:
        """The length of the window in seconds, by the timestamps of the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRate:
    """So many dead letters of a partition within so many seconds are borne."""

    limit: int
    window_s: float
    setting: str
    """What raises the limit; named in the error."""

    @classmethod
    def of(cls, settings: BuryingLimits, area: str) -> LetterRate:
        """Reads the limit from the settings of an area: `worker`, `labels` or `sink`."""
        return cls(
            limit=settings.dead_letter_limit,
            window_s=settings.dead_letter_window_s,
            setting=f"{area}.dead_letter_limit",
        )


class LetterLimit:
    """Counts each record once, by its own timestamp, so that reading it again adds nothing.

    Safe from several threads.

    Args:
        rate: what is borne.
    """

    def __init__(self, rate: LetterRate) -> None:
        self._rate = rate
        self._window = timedelta(seconds=rate.window_s)
        self._recent: defaultdict[TopicPartition, dict[int, datetime]] = defaultdict(dict)
        self._lock = threading.Lock()

    def count(self, message: Message, reason: str) -> None:
        """Count one record of a partition.

        Raises:
            DeadLetterLimit: one too many; it must not be sent, and nothing past it committed.
        """
        with self._lock:
            since = message.timestamp - self._window
            recent = self._recent[message.topic_partition]
            kept = {offset: at for offset, at in recent.items() if at > since}
            kept[message.offset] = message.timestamp
            if len(kept) > self._rate.limit:
                raise DeadLetterLimit(self._said(message, reason))
            self._recent[message.topic_partition] = kept

    def _said(self, message: Message, reason: str) -> str:
        return (
            f"more than {self._rate.limit} dead letters of {message.topic}/{message.partition} "
            f"within {self._rate.window_s:g} s, which looks like a misconfiguration; nothing past "
            f"this one was committed; latest: {message.offset}: {reason[:300]}. Look with "
            "`sightline dlq list`, then start again, with a higher "
            f"{self._rate.setting} if the data is really that bad"
        )
