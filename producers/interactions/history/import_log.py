"""A site's own log into the topic of imported interactions, with its own times and ticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta

from sightline.engine.errors import Overloaded, PermanentError
from sightline.engine.event_log.partitions import partition_of
from sightline.engine.ports import EventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import LabelSettings
from sightline.producers.interactions.history.records import HistoryRecord, moment_of, with_ticks

FLUSH_S = 60.0
_TICK_KEY = "tick"
_BROKER_ALLOWS = timedelta(minutes=55)
"""Kafka refuses records that are more than an hour ahead of its own clock."""


class NotLater(PermanentError):
    """The log does not go on where the topic ends; the message says where that is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How much an import published, and which span of time it covers."""

    records: int
    ticks: int
    skipped: int
    """Records that the topic had already; only when resuming."""
    first: datetime
    last: datetime
    """When the last record happened; the closing tick is later."""


@dataclass(frozen=True, slots=True, eq=False)
class InteractionImporter:
    """Writes records of the past, non-decreasing in time within each partition.

    Args:
        producer: the event log.
        topic: with CreateTime, and without retention.
        ends: per partition the timestamp of its last record; None: it is empty.
        labels: E, W and L decide when the closing tick comes.
        now: the present instant.
    """

    producer: EventProducer
    _: KW_ONLY
    topic: str
    ends: Mapping[int, datetime | None]
    labels: LabelSettings
    now: datetime
    _pending: list[Future[Message]] = field(default_factory=list, init=False)

    def run(
        self, records: Sequence[HistoryRecord], *, resume: bool = False, more_follows: bool = False
    ) -> Imported:
        """Write them all; returns when everything is acknowledged.

        Args:
            records: in order of time, at least one.
            resume: an import of the same log was cut short: each partition goes on where it ends.
                What has the very time of its end may be written again, and counts once.
            more_follows: leave the last epochs open for the log that follows.

        Raises:
            NotLater: they begin before the topic ends, or end too lately to be closed.
            PartUnavailable: the log did not acknowledge; resume later.
        """
        end = max((at for at in self.ends.values() if at is not None), default=None)
        if end is not None and not resume:
            self._refuse_earlier(moment_of(records[0].timestamp_ms), end)
        closing = None if more_follows else self._closing(moment_of(records[-1].timestamp_ms))
        from_ms = 0 if end is None or resume else round(end.timestamp() * 1_000)
        written = ticks = skipped = 0
        for record in with_ticks(
            records,
            epoch_ms=round(self.labels.epoch_s * 1_000),
            from_ms=from_ms,
            closing_ms=closing,
        ):
            for partition in self._partitions(record):
                if resume and self._has(partition, record):
                    skipped += record.key is not None
                    continue
                self._append(record, partition)
                written += record.key is not None
                ticks += record.key is None
        self._settle()
        return Imported(
            records=written,
            ticks=ticks,
            skipped=skipped,
            first=moment_of(records[0].timestamp_ms),
            last=moment_of(records[-1].timestamp_ms),
        )

    def _refuse_earlier(self, first: datetime, end: datetime) -> None:
        if first < end:
            raise NotLater(
                f"the log begins at {first.isoformat()}, but {self.topic} has come to "
                f"{end.isoformat()}: its epochs before that are closed. Import logs in the order "
                "of their times (--more-follows for all but the last), or --resume this one"
            )

    def _closing(self, last: datetime) -> int:
        """Milliseconds after the last record at which its epoch is certainly closed."""
        labels = self.labels
        seconds = labels.epoch_s + labels.attribution_window_s + labels.lateness_s
        after = timedelta(seconds=seconds, milliseconds=1)
        ahead = last + after - self.now
        if ahead > _BROKER_ALLOWS:
            raise NotLater(
                f"the log ends at {last.isoformat()}, too lately to be closed: import it in "
                f"{ahead - _BROKER_ALLOWS}, or with --more-follows"
            )
        return after // timedelta(milliseconds=1)

    def _partitions(self, record: HistoryRecord) -> Iterable[int]:
        if record.key is None:
            return sorted(self.ends)
        return (partition_of(record.key, len(self.ends)),)

    def _has(self, partition: int, record: HistoryRecord) -> bool:
        end = self.ends[partition]
        return end is not None and moment_of(record.timestamp_ms) < end

    def _append(self, record: HistoryRecord, partition: int) -> None:
        while True:
            try:
                sent = self.producer.append(
                    ProducerRecord(
                        self.topic,
                        record.key or _TICK_KEY,
                        record.value,
                        timestamp=moment_of(record.timestamp_ms),
                        partition=partition,
                    )
                )
            except Overloaded:
                self._settle()
            else:
                self._pending.append(sent)
                return

    def _settle(self) -> None:
        """Everything so far is acknowledged: at an error nothing later is in the topic for long."""
        self.producer.flush(FLUSH_S)
        for sent in self._pending:
            sent.result()
        self._pending.clear()
