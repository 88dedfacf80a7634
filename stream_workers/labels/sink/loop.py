"""`training-triples.v2` to Parquet under `labels/`, exactly once: the loop around the partitions.

No group decides what is read or from where: the manifest does, so any number of sinks may run; of
two that write the same offsets one is told that it lost. Several sinks share the work by being
given different partitions.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import partial

from sightline.engine.errors import Part, TransientError
from sightline.engine.health import Health
from sightline.engine.label_data.triple_manifest import LOG, TripleManifest
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, EventProducer, LogFollower
from sightline.engine.records import Message, TopicPartition
from sightline.engine.settings import SinkSettings
from sightline.stream_workers.delivery.dead_letters import Cause, DeadLetters
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.delivery.outbox import Outbox
from sightline.stream_workers.delivery.retries import GaveUp, Patience, UsualDelays
from sightline.stream_workers.labels.sink.partition import Flushed, PartitionSink

POLL_MESSAGES, POLL_S = 2_000, 0.25
_log = logging.getLogger(__name__)


Follow = Callable[[Mapping[int, int]], LogFollower]
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
        health: of the process: told while broker or store are waited for.
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
        health: Health,
        log: str = LOG,
    ) -> None:
        self._follow = follow
        self._partitions = partitions
        self._manifest = manifest
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._patience = Patience(UsualDelays(), health, metrics)
        self._outbox = Outbox(producer, self._patience)
        rate = LetterRate.of(settings, "sink")
        self._letters = DeadLetters(self._outbox, LetterLimit(rate), metrics)
        self._run_log = log
        self._sinks: dict[int, PartitionSink] = {}

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop, then write what is held.

        Waits out a broker or store that is down, with backoff.

        Raises:
            RefusedToStart: the topic was made anew, or too much of it is unreadable.
        """
        self._patience.giving_up = stop
        try:
            self._run(stop)
        except GaveUp as error:
            _log.warning("the sink stops, the next one reads again what was held: %s", error)

    def _run(self, stop: threading.Event) -> None:
        self._sinks = {number: self._opened(number) for number in self._partitions}
        starts = {number: sink.start for number, sink in self._sinks.items()}
        follower = self._patience.until_it_works(Part.BROKER, partial(self._follow, starts))
        try:
            while not stop.is_set():
                self._take(follower)
                for number, sink in self._sinks.items():
                    if sink.due():
                        self._flush(number, follower)
            for number in self._sinks:
                self._flush(number, follower)
        finally:
            follower.close()

    def _opened(self, number: int) -> PartitionSink:
        return self._patience.until_it_works(
            Part.STORE,
            lambda: PartitionSink(
                self._manifest,
                number,
                limits=self._settings,
                clock=self._clock,
                bury=self._bury,
                log=self._run_log,
            ),
        )

    def _take(self, follower: LogFollower) -> None:
        for message in self._patience.polled(follower, POLL_MESSAGES, POLL_S):
            self._sinks[message.partition].take(message)

    def _flush(self, number: int, follower: LogFollower) -> None:
        flushed = self._patience.until_it_works(Part.STORE, self._sinks[number].flush)
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
        cause = Cause(stage="sink", error="ContractError", reason=reason)
        self._outbox.settle(self._letters.send(message, cause))
