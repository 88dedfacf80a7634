"""`training-triples.v2` to Parquet under `labels/`, exactly once: the loop around the partitions.

No group decides what is read or from where: the manifest does, so any number of sinks may run; of
two that write the same offsets one is told that it lost. Several sinks share the work by being
given different partitions.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

from sightline.engine.backoff import Backoff, retry_transient
from sightline.engine.errors import TransientError
from sightline.engine.label_data.triple_manifest import LOG, TripleManifest
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.records import Message, TopicPartition
from sightline.engine.settings import SinkSettings
from sightline.schemas.dead_letters import MAX_FACT_CHARS, DeadLetterFacts
from sightline.schemas.topics import dead_letters_of
from sightline.stream_workers.labels.sink.partition import Flushed, PartitionSink

POLL_MESSAGES, POLL_S = 2_000, 0.25
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 10.0
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Follower(Protocol):
    """Reads fixed partitions of one topic (`engine.event_log.kafka.follower`)."""

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """Up to `max_messages` that are there within `timeout_s`. Raises `PartUnavailable`."""

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Tell others how far it is. Raises `PartUnavailable`."""

    def close(self) -> None:
        """Let go; repeated calls do nothing."""


Follow = Callable[[Mapping[int, int]], Follower]
"""Opens a follower at the first offset of each partition."""


class LabelSink:
    """Writes the partitions that it is given.

    Args:
        follow: opens the topic.
        partitions: to write.
        manifest: of the topic; says where each partition starts.
        producer: of dead letters.
        settings: how much is held, for how long.
        clock: monotonic.
        metrics: of the process.
        log: the run, where offsets begin at 0 again.
    """

    def __init__(
        self,
        *,
        follow: Follow,
        partitions: tuple[int, ...],
        manifest: TripleManifest,
        producer: EventProducer,
        settings: SinkSettings,
        clock: Clock,
        metrics: Metrics,
        log: str = LOG,
    ) -> None:
        self._follow = follow
        self._partitions = partitions
        self._manifest = manifest
        self._producer = producer
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._run_log = log
        self._sinks: dict[int, PartitionSink] = {}

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop, then write what is held.

        Waits out a broker or store that is down, with backoff.

        Raises:
            RefusedToStart: the topic was made anew, or too much of it is unreadable.
        """
        try:
            self._run(stop)
        except TransientError as error:
            # Raised only once told to stop: what was held is read again by the next sink.
            _log.warning("the sink stops while a part is down: %s", error)

    def _run(self, stop: threading.Event) -> None:
        self._sinks = {number: self._opened(number, stop) for number in self._partitions}
        follower = self._follow({number: sink.start for number, sink in self._sinks.items()})
        try:
            while not stop.is_set():
                self._take(follower, stop)
                for number, sink in self._sinks.items():
                    if sink.due():
                        self._flush(number, follower, stop)
            for number in self._sinks:
                self._flush(number, follower, stop)
        finally:
            follower.close()

    def _opened(self, number: int, stop: threading.Event) -> PartitionSink:
        return self._patiently(
            lambda: PartitionSink(
                self._manifest,
                number,
                limits=self._settings,
                clock=self._clock,
                bury=self._bury,
                log=self._run_log,
            ),
            stop,
        )

    def _take(self, follower: Follower, stop: threading.Event) -> None:
        for message in self._patiently(lambda: follower.poll(POLL_MESSAGES, POLL_S), stop):
            self._sinks[message.partition].take(message)

    def _flush(self, number: int, follower: Follower, stop: threading.Event) -> None:
        flushed = self._patiently(self._sinks[number].flush, stop)
        if flushed is None:
            return
        self._count(number, flushed)
        at = TopicPartition(self._manifest.topic, number)
        try:
            follower.commit({at: flushed.next_offset})
        except TransientError as error:
            # Only for those who look: the manifest is the commit.
            _log.info("the sink's progress was not told: %s", error)

    def _count(self, number: int, flushed: Flushed) -> None:
        metrics = self._metrics
        metrics.sink_entries.labels("created" if flushed.created else "lost").inc()
        metrics.sink_rows.labels("mined").inc(flushed.triples)
        metrics.sink_rows.labels("retracted").inc(flushed.retractions)
        metrics.sink_rows.labels("unreadable").inc(flushed.unreadable)
        metrics.sink_offset.labels(str(number)).set(flushed.next_offset)

    def _bury(self, message: Message, reason: str) -> None:
        facts = DeadLetterFacts(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            stage="sink",
            error="ContractError",
            message=reason[:MAX_FACT_CHARS],
        )
        key = (message.key or b"").decode(errors="replace")
        topic = dead_letters_of(message.topic).name
        headers = [*message.headers, *facts.headers()]
        self._producer.append(topic, key, message.value, headers=headers).result()
        self._metrics.dead_letters.labels(message.topic, "ContractError").inc()

    def _patiently(self, action: Callable[[], _T], stop: threading.Event) -> _T:
        backoff = Backoff(initial_s=FIRST_RETRY_S, maximum_s=LONGEST_RETRY_S)
        return retry_transient(action, backoff=backoff, stop=stop, failed=self._failed)

    def _failed(self, error: TransientError) -> None:
        _log.warning("the sink waits: %s", error)
