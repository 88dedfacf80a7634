"""The metrics that a label stage reports to Prometheus."""

from __future__ import annotations

from datetime import datetime

from sightline.engine.metrics import Metrics
from sightline.schemas.labels import Stage
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.done_epochs import DoneRange


class StageFigures:
    """The label metrics of one stage in one process."""

    def __init__(self, metrics: Metrics, stage: Stage) -> None:
        self._metrics = metrics
        self._stage = stage.value
        self._applied = metrics.label_records.labels(self._stage)

    def applied(self) -> None:
        """Counts one record that the core has applied."""
        self._applied.inc()

    def sent(self, topic: str, count: int = 1) -> None:
        """Counts records that were sent to a topic."""
        self._metrics.label_sent.labels(self._stage, topic).inc(count)

    def finished(self, done: DoneRange, closed_ms: int, now: datetime) -> None:
        """`EpochDone` of these epochs is acknowledged; the closing record is of that instant."""
        self._metrics.label_epochs.labels(self._stage).inc(done.epoch - done.first_epoch + 1)
        delay_s = (now - instants.moment(closed_ms)).total_seconds()
        self._metrics.label_epoch_delay.labels(self._stage).observe(max(0.0, delay_s))

    def holds(self, partition: int, searches: int, uncommitted: int) -> None:
        """What a partition holds in memory, and would read again after a restart."""
        self._metrics.label_held.labels(self._stage, str(partition)).set(searches)
        self._metrics.label_uncommitted.labels(self._stage, str(partition)).set(uncommitted)
