"""One partition of a topic in memory: records in order of offset, with the gaps that logs have."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter

from sightline.engine.records import Message

_OFFSET = attrgetter("offset")


class MemoryPartition:
    """What was appended and is still kept; its broker's lock guards it."""

    def __init__(self) -> None:
        self.records: list[Message] = []
        self.start = 0
        """Below it everything was deleted."""
        self.end = 0
        """The offset of the next record."""

    def append(self, message: Message) -> None:
        """Keep a record that was given this partition's `end` as its offset."""
        self.records.append(message)
        self.end = message.offset + 1

    def after(self, offset: int, most: int) -> list[Message]:
        """Up to `most` records from an offset on."""
        first = bisect_left(self.records, offset, key=_OFFSET)
        return self.records[first : first + most]

    def position(self, asked: int) -> int:
        """Where a reader starts: what lies outside the log is answered with its beginning."""
        return asked if self.start <= asked <= self.end else self.start

    def skip(self, offsets: int) -> None:
        """Use up offsets without records, as the end of a transaction does."""
        self.end += offsets

    def delete_below(self, offset: int) -> None:
        """Forget what is older, as retention does."""
        self.start = max(self.start, min(offset, self.end))
        self.records = [message for message in self.records if message.offset >= self.start]

    def compact(self) -> None:
        """Keep the last record of each key."""
        last = {message.key: message.offset for message in self.records}
        self.records = [m for m in self.records if last[m.key] == m.offset]
