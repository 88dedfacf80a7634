"""Consumer groups in, how many records they are away from where the log ended when asked, out."""

from __future__ import annotations

from collections.abc import Mapping

from sightline.engine.ports import EventLog
from sightline.engine.records import PartitionLag, TopicPartition
from sightline.stream_workers.reindexing.offsets import lags


class CatchingUp:
    """Remembers where the topics ended at first, so that it ends though more keeps coming.

    Args:
        log: holds the topics.
        groups: the group that reads each topic.
    """

    def __init__(self, log: EventLog, groups: Mapping[str, str]) -> None:
        self._log = log
        self._groups = groups
        self._ends: dict[TopicPartition, int] | None = None

    def left(self) -> int:
        """Records that are not committed yet of those that there were at the first call.

        Raises:
            PartUnavailable: the broker did not answer.
        """
        found = lags(self._log, self._groups)
        if self._ends is None:
            self._ends = {_place(one): one.end for one in found}
        return sum(_left(one, self._ends.get(_place(one), one.end)) for one in found)


def _place(lag: PartitionLag) -> TopicPartition:
    return TopicPartition(lag.topic, lag.partition)


def _left(lag: PartitionLag, end: int) -> int:
    """Records below `end` that wait; 0 without a lag: a log's end may hold no readable record."""
    if not lag.lag:
        return 0
    return max(0, end - max(lag.start, lag.committed or 0))
