"""Closed searches in, `search-metrics.v1` out: the loop around the fold.

Reads every partition of its topic: the searches of one source partition lie on all of them. A
second process writes the same values under the same keys, and is harmless.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256

from sightline.engine.errors import Part, TransientError
from sightline.engine.health import Health
from sightline.engine.label_data.search_stats import SUMS
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, EventProducer, LogFollower
from sightline.engine.records import Message, ProducerRecord, TopicPartition
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.labels import EpochClosed, SearchesClosed
from sightline.schemas.registry import decode
from sightline.schemas.search_metrics import SearchMetricsCounted
from sightline.schemas.topics import SEARCH_METRICS
from sightline.stream_workers.delivery.retries import GaveUp, Patience, UsualDelays
from sightline.stream_workers.labels.metrics.fold import MetricsFold

SOURCE = "urn:sightline:search-metrics"
POLL_MESSAGES, POLL_S = 500, 0.25
COMMIT_S = 5.0
_log = logging.getLogger(__name__)


class SearchMetrics:
    """Follows one topic of closed searches.

    Args:
        follow: opens it at the group's committed offsets.
        closed_topic: its name, without prefix.
        fold: of its source topic.
        producer: acknowledges what is sent.
        clock: the time of the events.
        metrics: of the process.
        health: of the process: told while the broker is waited for.
    """

    def __init__(
        self,
        *,
        follow: Callable[[], LogFollower],
        closed_topic: str,
        fold: MetricsFold,
        producer: EventProducer,
        clock: Clock,
        metrics: Metrics,
        health: Health,
    ) -> None:
        self._follow = follow
        self._topic = closed_topic
        self._fold = fold
        self._producer = producer
        self._clock = clock
        self._metrics = metrics
        self._patience = Patience(UsualDelays(), health, metrics)
        self._committed: dict[int, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Fold until told to stop; waits out a broker that is down."""
        self._patience.giving_up = stop
        try:
            self._run(stop)
        except GaveUp as error:
            _log.warning("search metrics stop; the rest is folded again: %s", error)

    def _run(self, stop: threading.Event) -> None:
        follower = self._patience.until_it_works(Part.BROKER, self._follow)
        told_at = self._clock.monotonic()
        try:
            while not stop.is_set():
                for message in self._patience.polled(follower, POLL_MESSAGES, POLL_S):
                    self._take(message)
                if self._clock.monotonic() - told_at >= COMMIT_S:
                    told_at = self._clock.monotonic()
                    self._commit(follower)
            self._commit(follower)
        finally:
            follower.close()

    def _take(self, message: Message) -> None:
        try:
            data = decode(message.value).data
        except ContractError as error:
            # The miner dead-letters the records of this topic.
            _log.warning("an unreadable record at %s: %s", message.offset, error)
            return
        if isinstance(data, SearchesClosed):
            self._fold.take_searches(message.partition, data)
        elif isinstance(data, EpochClosed):
            complete = self._fold.take_marker(message.partition, message.offset, data)
            self._patience.until_it_works(Part.BROKER, partial(self._publish, complete))
            self._count(complete)
            self._fold.published(data.source_partition)

    def _publish(self, complete: Iterable[SearchMetricsCounted]) -> None:
        now = self._clock.now()
        sent = [
            self._producer.append(
                ProducerRecord(
                    SEARCH_METRICS.name,
                    data.subject,
                    Event.of(data, event_id=_event_id(data), source=SOURCE, time=now).encode(),
                )
            )
            for data in complete
        ]
        for future in sent:
            future.result()

    def _count(self, complete: Iterable[SearchMetricsCounted]) -> None:
        for data in complete:
            for name in SUMS:
                counter = self._metrics.online.labels(data.variant, data.model_digest, name)
                counter.inc(getattr(data, name))

    def _commit(self, follower: LogFollower) -> None:
        safe = self._fold.safe_offsets()
        moved = {p: offset for p, offset in safe.items() if offset > self._committed.get(p, -1)}
        if not moved:
            return
        try:
            follower.commit({TopicPartition(self._topic, p): o for p, o in moved.items()})
        except TransientError as error:
            _log.warning("offsets were not committed: %s", error)
            return
        self._committed |= moved


def _event_id(data: SearchMetricsCounted) -> str:
    """The same for a repeat: a digest of the key, which may hold characters that no id has."""
    return sha256(data.subject.encode()).hexdigest()
