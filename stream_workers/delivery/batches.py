"""One topic read by a group: batch by batch, each committed once its work is done."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence

from sightline.engine.errors import Part
from sightline.engine.ports import EventConsumer
from sightline.engine.records import Message, TopicPartition
from sightline.stream_workers.delivery.retries import GaveUp, Patience

_log = logging.getLogger(__name__)
_AT_ONCE = 64
_POLL_S = 0.1


class BatchMember:
    """A member of a group that keeps nothing between two batches.

    Args:
        consumer: the member; `close` closes it.
        topic: unprefixed, read as a whole by the group.
    """

    def __init__(self, consumer: EventConsumer, topic: str, *, patience: Patience) -> None:
        self._consumer = consumer
        self._topic = topic
        self._patience = patience

    def run(self, work: Callable[[Sequence[Message]], None], stop: threading.Event) -> None:
        """Work until `stop` is set; what was not finished is delivered again. Runs once.

        Args:
            work: returns once the effect of a batch is durable; a repeat must change nothing.
            stop: ends the work, and any waiting for a part that is away.
        """
        self._patience.giving_up = stop
        try:
            self.subscribe()
            while not stop.is_set():
                messages = self._patience.polled(self._consumer, _AT_ONCE, _POLL_S)
                if messages:
                    work(messages)
                    self.commit(messages)
        except GaveUp:
            _log.info(
                "stopped before a batch of %s was finished; it will be delivered again", self._topic
            )

    def subscribe(self) -> None:
        """Join the group that shares the topic's partitions."""
        self._consumer.subscribe([self._topic], self)

    def commit(self, messages: Sequence[Message]) -> None:
        """Commit, per partition, the offset behind the last of these messages."""
        # Within a partition they come in order, so the last one stays.
        offsets = {message.topic_partition: message.offset + 1 for message in messages}
        self._patience.until_it_works(Part.BROKER, lambda: self._consumer.commit(offsets))

    def close(self) -> None:
        """Leave the group; repeated calls do nothing."""
        self._consumer.close()

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener.assigned`: nothing is kept between batches."""

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """The last batch is committed: revocation comes only between two polls."""

    def lost(self, partitions: Collection[TopicPartition]) -> None:
        """See `RebalanceListener.lost`: nothing is kept between batches."""
