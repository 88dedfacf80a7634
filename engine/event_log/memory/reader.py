"""Reads some partitions in memory from where it stands: what consumer and follower share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.records import Message, TopicPartition


class MemoryReader:
    """Positions in the log and the waiting for records; one thread polls.

    Args:
        broker: holds the log.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._told = False

    def start(self, at: TopicPartition, offset: int) -> None:
        """Begins to read a partition at `offset`, also if it was read before or paused."""
        with self._broker.changed:
            self._positions[at] = self._broker.partition(at).position(offset)
            self._paused.discard(at)

    def stop(self, partitions: Iterable[TopicPartition]) -> None:
        """Stops reading partitions and forgets the positions in them."""
        for at in partitions:
            self._positions.pop(at, None)
            self._paused.discard(at)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Let these wait; those that are not read are left out."""
        self._paused |= set(partitions) & set(self._positions)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Reads paused partitions again from where each stands."""
        self._paused -= set(partitions)

    def lag(self) -> dict[TopicPartition, int]:
        """Counts the records from the position to the end, for each partition."""
        with self._broker.changed:
            return {at: self._left(at, position) for at, position in self._positions.items()}

    def poll(
        self, max_messages: int, timeout_s: float, due: Callable[[], bool] = lambda: False
    ) -> list[Message]:
        """Records that are there in time; none as soon as something else is `due`.

        Raises:
            PartUnavailable: the broker is down; told once, polls are empty from then on.
        """
        deadline = time.monotonic() + timeout_s
        with self._broker.changed:
            while True:
                self._tell_if_down()
                taken = [] if self._broker.down else self._take(max_messages)
                left = deadline - time.monotonic()
                if taken or due() or left <= 0 or not self._broker.polls_wait:
                    return taken
                self._broker.changed.wait(left)

    def _left(self, at: TopicPartition, position: int) -> int:
        partition = self._broker.partition(at)
        return max(0, partition.end - max(position, partition.start))

    def _take(self, most: int) -> list[Message]:
        taken: list[Message] = []
        for at in [at for at in self._positions if at not in self._paused]:
            partition, position = self._broker.partition(at), self._positions[at]
            found = partition.after(max(position, partition.start), most - len(taken))
            taken += found
            if found:
                # To the back: a partition that never ends keeps no other from being read.
                del self._positions[at]
                self._positions[at] = found[-1].offset + 1
        return taken

    def _tell_if_down(self) -> None:
        down, told = self._broker.down, self._told
        self._told = down
        if down and not told:
            raise PartUnavailable(Part.BROKER, "switched off")
