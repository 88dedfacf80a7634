"""Which offset may be committed: the lowest one whose effect is not yet durable."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sightline.engine.records import Message, TopicPartition


class PartitionLedger:
    """The offsets of one partition between poll and durability, for one assignment of it.

    Offsets have gaps (compaction), so what may be committed is counted from what was polled.
    """

    def __init__(self) -> None:
        self._open: dict[int, datetime] = {}
        self._next: int | None = None

    def start(self, offset: int, appended: datetime) -> None:
        """Notes that a record was polled; offsets come in ascending order."""
        self._open[offset] = appended
        self._next = max(offset + 1, self._next or 0)

    def finish(self, offset: int) -> None:
        """Durable, or of no effect. Repeats do nothing."""
        self._open.pop(offset, None)

    @property
    def oldest(self) -> datetime | None:
        """When the first record that is not durable was appended."""
        return next(iter(self._open.values()), None)

    @property
    def empty(self) -> bool:
        """Whether the effects of all polled records are durable."""
        return not self._open

    @property
    def committable(self) -> int | None:
        """The next offset to read after a crash; None: nothing was polled."""
        return next(iter(self._open)) if self._open else self._next


class LaneOffsets:
    """The ledgers of the partitions that a consumer holds; safe from several threads.

    A message's ledger is looked up when it is polled and kept with it, so what was polled under
    an earlier assignment of a partition cannot move the present one's offset.

    Args:
        awaited: set while somebody waits for what was polled to be durable.
    """

    def __init__(self, awaited: threading.Event) -> None:
        self._awaited = awaited
        self._ledgers: dict[TopicPartition, PartitionLedger] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._changed = threading.Condition()

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """These are ours from now on, with nothing in flight."""
        with self._changed:
            for partition in partitions:
                self._ledgers[partition] = PartitionLedger()

    def forget(self, partitions: Iterable[TopicPartition]) -> None:
        """These are gone; what is in flight for them no longer counts."""
        with self._changed:
            for partition in partitions:
                self._ledgers.pop(partition, None)
                self._committed.pop(partition, None)
            self._changed.notify_all()

    def oldest(self) -> datetime | None:
        """When the oldest record that is not durable was appended."""
        with self._changed:
            seen = [ledger.oldest for ledger in self._ledgers.values()]
        return min((moment for moment in seen if moment is not None), default=None)

    def held(self) -> tuple[TopicPartition, ...]:
        """Lists the partitions that the consumer holds at present."""
        with self._changed:
            return tuple(self._ledgers)

    def start(self, message: Message) -> PartitionLedger | None:
        """A message was polled; returns the ledger to finish it in.

        None: its partition was revoked within the same poll, its next owner will see it.
        """
        with self._changed:
            ledger = self._ledgers.get(message.topic_partition)
            if ledger is not None:
                self._committed.setdefault(message.topic_partition, message.offset)
                ledger.start(message.offset, message.timestamp)
            return ledger

    def finish(self, finished: Iterable[tuple[PartitionLedger, int]]) -> None:
        """Notes that the effects of these offsets are durable."""
        with self._changed:
            for ledger, offset in finished:
                ledger.finish(offset)
            self._changed.notify_all()

    def to_commit(
        self, partitions: Collection[TopicPartition] | None = None
    ) -> dict[TopicPartition, int]:
        """What may be committed and has not been, of these partitions or all."""
        with self._changed:
            return {
                partition: ledger.committable
                for partition, ledger in self._ledgers.items()
                if (partitions is None or partition in partitions)
                and ledger.committable is not None
                and self._committed.get(partition) != ledger.committable
            }

    def committed(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Notes the offsets that the broker has acknowledged as committed."""
        with self._changed:
            for partition, offset in offsets.items():
                if partition in self._ledgers:
                    self._committed[partition] = offset

    def wait_durable(self, partitions: Collection[TopicPartition], timeout_s: float) -> bool:
        """Ask that what was polled of these partitions be made durable now; whether it was."""
        with self._changed:
            if not self._durable(partitions):
                self._awaited.set()
            return self._changed.wait_for(lambda: self._durable(partitions), timeout_s)

    def _durable(self, partitions: Collection[TopicPartition]) -> bool:
        return all(
            ledger.empty for partition, ledger in self._ledgers.items() if partition in partitions
        )
