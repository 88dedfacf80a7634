"""Simulated records into a topic, at a chosen rate or as fast as the log takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta

from sightline.engine.errors import Overloaded
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.producers.click_simulator.simulated_log import SimulatedRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class TopicDriver:
    """Writes simulated records, their own times as record timestamps.

    Args:
        producer: of the event log.
        topic: one with CreateTime and without retention, else Kafka deletes or restamps.
        partitions: of that topic; a tick goes to each.
        clock: for the rate.
        wait: sleeps so many seconds.
    """

    producer: EventProducer
    _: KW_ONLY
    topic: str
    partitions: int
    clock: Clock
    wait: Callable[[float], None]

    def run(self, records: Iterable[SimulatedRecord], *, per_s: float | None = None) -> int:
        """Write them all; returns how many messages, ticks included, when all are acknowledged.

        Raises:
            PartUnavailable: the log did not acknowledge in time.
        """
        start = self.clock.monotonic()
        written = 0
        pending: list[Future[Message]] = []
        for record in records:
            if per_s is not None:
                self.wait(max(0.0, start + written / per_s - self.clock.monotonic()))
            futures = self._append(record)
            written += len(futures)
            pending = [future for future in pending if not future.done()] + futures
        self.producer.flush(60.0)
        for future in pending:
            future.result()
        return written

    def _append(self, record: SimulatedRecord) -> list[Future[Message]]:
        if record.key is not None:
            return [self._append_one(record, record.key, None)]
        return [self._append_one(record, "tick", partition) for partition in range(self.partitions)]

    def _append_one(
        self, record: SimulatedRecord, key: str, partition: int | None
    ) -> Future[Message]:
        moment = _EPOCH + timedelta(milliseconds=record.timestamp_ms)
        while True:
            try:
                return self.producer.append(
                    ProducerRecord(
                        self.topic, key, record.value, timestamp=moment, partition=partition
                    )
                )
            except Overloaded:
                self.producer.flush(60.0)
