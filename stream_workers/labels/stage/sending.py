"""Records on their way to the broker: made and queued some at a time, awaited all together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, islice

from sightline.engine.errors import Overloaded
from sightline.engine.ports import EventBatch
from sightline.engine.records import ProducerRecord
from sightline.stream_workers.labels.effects import Destination, Outgoing

STEP_RECORDS = 1_000
"""Made and queued in a thread at a time: a hand-over costs what 20 records do, and a partition
that is dropped, or waits for room, is noticed after as many."""


class Sending:
    """What one finished range of epochs emits.

    Args:
        batch: empty.
        records: made as they are asked for.
        topics: by destination.
    """

    def __init__(
        self, batch: EventBatch, records: Iterator[Outgoing], topics: Mapping[Destination, str]
    ) -> None:
        self._batch = batch
        self._left = records
        self._topics = topics
        self._stopped = False
        self.ended = False
        """Whether all of it is queued."""

    def stop(self) -> None:
        """Queue nothing more, whatever another thread is at."""
        self._stopped = True

    def step(self) -> Mapping[str, int]:
        """Queue some more, how many by topic; none while the queue is full."""
        queued: Counter[str] = Counter()
        for record in islice(self._left, STEP_RECORDS):
            if self._stopped:
                return queued
            topic = self._topics[record.destination]
            try:
                self._batch.append(
                    ProducerRecord(topic, record.key, record.value, partition=record.partition)
                )
            except Overloaded:
                self._left = chain((record,), self._left)
                return queued
            queued[topic] += 1
        self.ended = queued.total() < STEP_RECORDS
        return queued
