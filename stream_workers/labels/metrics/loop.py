"""Closed searches in, `search-metrics.v1` out: the loop around the fold.

Reads every partition of its topic: the searches of one source partition lie on all of them. A
second process writes the same values under the same keys, and is harmless.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Protocol, TypeVar

from sightline.engine.backoff import Backoff, retry_transient
from sightline.engine.errors import TransientError
from sightline.engine.label_data.search_stats import SUMS
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.records import Message, TopicPartition
from sightline.schemas.envelope import ContractError, Event
from sightline.schemas.labels import EpochClosed, SearchesClosed
from sightline.schemas.registry import decode
from sightline.schemas.search_metrics import SearchMetricsCounted
from sightline.schemas.topics import SEARCH_METRICS
from sightline.stream_workers.labels.metrics.fold import MetricsFold

SOURCE = "urn:sightline:search-metrics"
POLL_MESSAGES, POLL_S = 500, 0.25
COMMIT_S = 5.0
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 10.0
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Follower(Protocol):
    """Reads all partitions of the topic (`engine.event_log.kafka.follower`)."""

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """Up to `max_messages` that are there within `timeout_s`. Raises `PartUnavailable`."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Remember where to start. Raises `PartUnavailable`."""

    def close(self) -> None:
        """Let go; repeated calls do nothing."""


class SearchMetrics:
    """Follows one topic of closed searches.

    Args:
        follow: opens it at the group's committed offsets.
        closed_topic: its name, without prefix.
        fold: of its source topic.
        producer: acknowledges what is sent.
        clock: the time of the events.
        metrics: of the process.
    """

    def __init__(
        self,
        *,
        follow: Callable[[], Follower],
        closed_topic: str,
        fold: MetricsFold,
        producer: EventProducer,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._follow = follow
        self._topic = closed_topic
        self._fold = fold
        self._producer = producer
        self._clock = clock
        self._metrics = metrics
        self._committed: dict[int, int] = {}

    def run(self, stop: threading.Event) -> None:
        """Fold until told to stop; waits out a broker that is down."""
        try:
            self._run(stop)
        except TransientError as error:
            # Raised only once told to stop: what was not acknowledged is folded again.
            _log.warning("search metrics stop while the broker is down: %s", error)

    def _run(self, stop: threading.Event) -> None:
        follower = self._patiently(self._follow, stop)
        told_at = self._clock.monotonic()
        try:
            while not stop.is_set():
                messages = self._patiently(lambda: follower.poll(POLL_MESSAGES, POLL_S), stop)
                for message in messages:
                    self._take(message, stop)
                if self._clock.monotonic() - told_at >= COMMIT_S:
                    told_at = self._clock.monotonic()
                    self._commit(follower)
            self._commit(follower)
        finally:
            follower.close()

    def _take(self, message: Message, stop: threading.Event) -> None:
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
            self._patiently(lambda: self._publish(complete), stop)
            self._count(complete)
            self._fold.published(data.source_partition)

    def _publish(self, complete: Iterable[SearchMetricsCounted]) -> None:
        now = self._clock.now()
        sent = [
            self._producer.append(
                SEARCH_METRICS.name,
                data.subject,
                Event.of(data, event_id=_event_id(data), source=SOURCE, time=now).encode(),
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

    def _commit(self, follower: Follower) -> None:
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

    def _patiently(self, action: Callable[[], T], stop: threading.Event) -> T:
        backoff = Backoff(initial_s=FIRST_RETRY_S, maximum_s=LONGEST_RETRY_S)
        return retry_transient(
            action,
            backoff=backoff,
            stop=stop,
            failed=lambda error: _log.warning("search metrics wait: %s", error),
        )


def _event_id(data: SearchMetricsCounted) -> str:
    """The same for a repeat: a digest of the key, which may hold characters that no id has."""
    return sha256(data.subject.encode()).hexdigest()
