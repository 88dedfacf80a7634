"""Reads the log in memory as a member of a group: cooperative, as Kafka's consumer is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.reader import MemoryReader
from sightline.engine.ports import RebalanceListener
from sightline.engine.records import Message, TopicPartition


class MemoryEventConsumer:
    """An `EventConsumer` on a broker in memory.

    Args:
        broker: holds the log and the group.
        group: whose committed offsets it goes on from.
    """

    def __init__(self, broker: MemoryBroker, *, group: str) -> None:
        self._broker = broker
        self._group = broker.group(group)
        self._reader = MemoryReader(broker)
        self._listener: RebalanceListener | None = None
        self._partitions: list[TopicPartition] = []
        self._expired: list[TopicPartition] = []

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """See `EventConsumer.subscribe`."""
        self._listener = listener
        self._partitions = [at for topic in topics for at in self._broker.partitions(topic)]
        self._join()

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """See `EventConsumer.poll`; the listener is told here, before and after the waiting."""
        self._rebalance()
        messages = self._reader.poll(max_messages, timeout_s, due=self._is_rebalance_due)
        if not messages:
            self._rebalance()
        return messages

    def ask(self) -> None:
        """See `EventConsumer.ask`."""
        self._broker.refuse_if_down()

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """See `EventConsumer.pause`."""
        self._reader.pause(partitions)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """See `EventConsumer.resume`."""
        self._reader.resume(partitions)

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See `EventConsumer.commit`."""
        self._broker.refuse_if_down()
        with self._broker.changed:
            self._group.committed |= offsets

    def lag(self) -> dict[TopicPartition, int]:
        """See `EventConsumer.lag`."""
        return self._reader.lag()

    def expire(self) -> None:
        """Take its partitions away, as a broker does that heard nothing of a member for too long.

        Its next poll tells the listener that they are lost, and joins again. A member that is never
        polled again was killed.
        """
        with self._broker.changed:
            self._expired = self._group.held(self)
            self._group.leave(self)
            self._reader.stop(self._expired)
            self._broker.changed.notify_all()

    def close(self) -> None:
        """See `EventConsumer.close`; the listener is told that all partitions go."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with self._broker.changed:
            held = self._group.held(self)
        if held:
            listener.revoked(held)
        with self._broker.changed:
            self._reader.stop(held)
            self._group.leave(self)
            self._broker.changed.notify_all()

    def _join(self) -> None:
        with self._broker.changed:
            self._group.join(self, self._partitions)
            self._broker.changed.notify_all()

    def _is_rebalance_due(self) -> bool:
        return bool(self._expired or self._group.to_release(self) or self._group.free(self))

    def _rebalance(self) -> None:
        if self._listener is None:
            return
        if self._expired:
            lost, self._expired = self._expired, []
            self._listener.lost(lost)
            self._join()
        self._let_go(self._listener)
        self._take_over(self._listener)

    def _let_go(self, listener: RebalanceListener) -> None:
        with self._broker.changed:
            going = self._group.to_release(self)
        if going:
            listener.revoked(going)
            with self._broker.changed:
                self._reader.stop(going)
                self._group.release(going)
                self._broker.changed.notify_all()

    def _take_over(self, listener: RebalanceListener) -> None:
        with self._broker.changed:
            taken = self._group.take(self)
            for at in taken:
                self._reader.start(at, self._group.committed.get(at, 0))
        if taken:
            listener.assigned(taken)
