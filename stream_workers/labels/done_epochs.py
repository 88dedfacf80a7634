"""Which epochs a stage has finished in one partition, and at which offset each closed."""

from __future__ import annotations

from bisect import bisect_right, insort
from typing import NamedTuple


class DoneRange(NamedTuple):
    """Epochs that closed on one record."""

    first_epoch: int
    epoch: int
    closed_at_offset: int


class DoneEpochs:
    """Ranges of done epochs; repeats of a range change nothing."""

    def __init__(self, ranges: list[DoneRange] | None = None) -> None:
        self._ranges: list[DoneRange] = []
        for done in ranges or []:
            self.add(done)

    def add(self, done: DoneRange) -> None:
        """Remember a range."""
        if done not in self._ranges:
            insort(self._ranges, done)

    @property
    def last(self) -> int | None:
        """The newest done epoch; epochs are done in order."""
        return max((done.epoch for done in self._ranges), default=None)

    def closed_at(self, epoch: int) -> int | None:
        """x of a done epoch; None where it is not known (too long ago, or not done)."""
        at = bisect_right(self._ranges, epoch, key=lambda done: done.first_epoch)
        if at == 0:
            return None
        done = self._ranges[at - 1]
        return done.closed_at_offset if done.epoch >= epoch else None
