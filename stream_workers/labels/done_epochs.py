"""Which epochs a stage has finished in one partition, and at which offset each closed."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple


class DoneRange(NamedTuple):
    """A range of epochs that closed together, on the record at one offset."""

    first_epoch: int
    epoch: int
    closed_at_offset: int


class DoneEpochs:
    """Ranges of done epochs; repeats of a range change nothing."""

    def __init__(self, ranges: Iterable[DoneRange] = ()) -> None:
        self._ranges = sorted(set(ranges))
        self._last = max((done.epoch for done in self._ranges), default=None)

    def add(self, done: DoneRange) -> None:
        """Adds a range of epochs that are done; repeats do nothing."""
        at = bisect_left(self._ranges, done)
        if self._ranges[at : at + 1] != [done]:
            self._ranges.insert(at, done)
        self._last = done.epoch if self._last is None else max(self._last, done.epoch)

    @property
    def last(self) -> int | None:
        """The newest done epoch; epochs are done in order."""
        return self._last

    def closed_at(self, epoch: int) -> int | None:
        """The x of a done epoch; None where it is not known (too long ago, or not done)."""
        at = bisect_right(self._ranges, epoch, key=attrgetter("first_epoch"))
        if at == 0:
            return None
        done = self._ranges[at - 1]
        return done.closed_at_offset if done.epoch >= epoch else None
