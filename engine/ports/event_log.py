"""The ports to the event log: appending to it, and reading it inside and outside of a group."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Protocol

from sightline.engine.records import Message, PartitionLag, ProducerRecord, TopicPartition


class EventProducer(Protocol):
    """Appends messages to topics: idempotent, acknowledged by all replicas, murmur2-partitioned."""

    def append(self, record: ProducerRecord) -> Future[Message]:
        """Queue one message; the future ends when the broker has acknowledged it.

        The future raises `PartUnavailable` (not acknowledged in time, or refused: it may yet
        arrive, and a repeat is safe since consumers count each event id once) or `TooLarge`.

        Raises:
            Overloaded: the local queue is full.
            PartUnavailable: the producer is closed.
        """

    def flush(self, timeout_s: float) -> None:
        """Return when nothing is queued any more.

        Raises:
            PartUnavailable: something was still unacknowledged after `timeout_s`.
        """

    def close(self) -> None:
        """Flush and let go; repeated calls do nothing."""


class EventBatch(Protocol):
    """Messages that are awaited together; one thread appends."""

    def append(self, record: ProducerRecord) -> None:
        """Queue one message, as `EventProducer.append` does.

        Raises:
            Overloaded: the local queue is full; the message is not part of the batch.
        """

    def seal(self) -> Future[int]:
        """Nothing follows: how many there were, once the brokers have acknowledged all of them.

        The future raises what the first that failed would have raised, as soon as it failed.
        """


class BatchEventProducer(EventProducer, Protocol):
    """An `EventProducer` for who sends much and asks only whether all of it arrived."""

    def batch(self) -> EventBatch:
        """Opens a new, empty batch for events that are acknowledged together."""


class RebalanceListener(Protocol):
    """Told by the consumer, on the polling thread, when partitions come and go."""

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """These partitions are ours from now on."""

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """These go after this call: drain and commit what is finished now."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """These are gone already: forget their state, commit nothing."""


class EventConsumer(Protocol):
    """Reads topics as a member of a group; commits only what it is told to, names unprefixed."""

    def subscribe(self, topics: Sequence[str], listener: RebalanceListener) -> None:
        """Joins the group with cooperative rebalancing: partitions that stay are read on."""

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """Up to `max_messages` that are there within `timeout_s`; keeps the membership alive.

        Raises:
            PartUnavailable: the broker is gone; polling again resumes. It is told once, and may be
                told late: from then on, and before, polls are merely empty.
        """

    def ask(self) -> None:
        """Ask the broker for anything, briefly. Raises `PartUnavailable`: it does not answer."""

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        """Stop fetching these; polling keeps the assignment. Repeats do nothing.

        What goes in a rebalance is paused no longer, should it come back.
        """

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        """Fetch these again from where they were paused. Repeats do nothing."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, synchronously, the next offset to read per partition.

        Raises:
            PartUnavailable: not acknowledged; nothing is lost, a repeat is safe.
        """

    def lag(self) -> dict[TopicPartition, int]:
        """Messages between position and end, per assigned partition, without a network call."""

    def close(self) -> None:
        """Leave the group; repeated calls do nothing."""


class LogFollower(Protocol):
    """Reads fixed partitions of one topic; no group decides what is read, or from where."""

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """Up to `max_messages` that are there within `timeout_s`. Raises `PartUnavailable`."""

    def ask(self) -> None:
        """Ask the broker for anything, briefly. Raises `PartUnavailable`: it does not answer."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell others how far it is: the next offset per partition. Raises `PartUnavailable`."""

    def close(self) -> None:
        """Closes the connection to the log; repeated calls do nothing."""


class EventLog(Protocol):
    """Reads the log outside of any group. Only what was committed to the log is ever read.

    Topics are named unprefixed. Every call raises `PartUnavailable` when the broker does not
    answer in time.
    """

    def read(
        self, topics: Sequence[str], *, key: str | None = None, since: datetime | None = None
    ) -> Iterator[Message]:
        """Every message that the topics hold now, in order within each partition, then stop.

        Topics that do not exist are empty.

        Args:
            topics: to read, all of them at once.
            key: only the one partition of each topic that this key falls on; all of it.
            since: leave out records that were appended before.
        """

    def follow(self, topic: str, starts: Mapping[int, int], *, group: str) -> LogFollower:
        """Read partitions from these offsets on, and what is appended later.

        A start outside of the log begins at the log's beginning: compare the first offset that
        comes with the one that was asked for.

        Args:
            topic: to read.
            starts: the first offset to read, per partition; 0 is the log's beginning.
            group: under which the follower's offsets are committed; it must have no members.
        """

    def partition_count(self, topic: str) -> int:
        """How many partitions the topic has. Raises `RefusedToStart`: there is no such topic."""

    def start_offsets(self, group: str, topic: str, partitions: Collection[int]) -> dict[int, int]:
        """Per partition the offset that the group committed, else the log's start.

        One below that start was deleted; one past the log's end is of a topic that was made anew.
        """

    def offsets_since(self, topic: str, since: datetime | None) -> dict[int, int]:
        """Per partition an offset from which everything since a moment is read; None: 0."""

    def last_records(self, topic: str) -> dict[int, Message | None]:
        """Per partition of a topic that is not compacted, its last record; None: it is empty.

        No partition at all: there is no such topic.
        """

    def next_record(self, at: TopicPartition, offset: int) -> int:
        """Where the first record lies that can be read at `offset` or after; the end: none yet.

        Offsets between them hold nothing that could be lost: ends of transactions, aborted records,
        what compaction removed, what was deleted below the log's start.
        """

    def lag(self, group: str, topics: Sequence[str], *, ages: bool = True) -> list[PartitionLag]:
        """How far a group is, per partition; topics that do not exist are left out.

        Args:
            group: looked at from outside, without joining it.
            topics: that it reads.
            ages: also look up how long the first uncommitted message waits (one fetch each).
        """

    def forget_groups(self, groups: Collection[str]) -> None:
        """Delete what the broker keeps of groups that nobody is in; unknown ones are fine.

        Raises:
            PartUnavailable: somebody is in one of them still.
            PermanentError: this broker deletes no groups, or not for us.
        """
