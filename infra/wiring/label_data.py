"""Sink, metrics and retraction, wired: what `sightline sink` runs and the commands call."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta

from sightline.engine.connecting.connections import signing_secret
from sightline.engine.health import Health
from sightline.engine.label_data.triple_manifest import LOG, TripleManifest
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, EventLog, EventProducer, LogFollower, ObjectStore
from sightline.engine.records import Message
from sightline.engine.settings import Settings
from sightline.infra.supervision.loops import Loop
from sightline.schemas.topics import (
    IMAGES,
    IMAGES_BACKFILL,
    IMAGES_MODERATION,
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    SEARCHES_CLOSED,
    SEARCHES_CLOSED_IMPORTED,
    TRAINING_TRIPLES,
    TRAINING_TRIPLES_V1,
    Topic,
)
from sightline.stream_workers.labels.groups import metrics_group
from sightline.stream_workers.labels.metrics.daily_actors import DailyActors
from sightline.stream_workers.labels.metrics.fold import MetricsFold
from sightline.stream_workers.labels.metrics.loop import SearchMetrics
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.sink.causes import Causes, causes_in
from sightline.stream_workers.labels.sink.last_retraction import (
    LastRetraction,
    RetractionReport,
    read_last,
    tell_last,
)
from sightline.stream_workers.labels.sink.loop import LabelSink
from sightline.stream_workers.labels.sink.retraction_rounds import RetractionRounds

PIPELINES = (
    (INTERACTIONS, SEARCHES_CLOSED),
    (INTERACTIONS_IMPORTED, SEARCHES_CLOSED_IMPORTED),
)
CAUSES = (
    *(IMAGES.name, IMAGES_BACKFILL.name, IMAGES_MODERATION.name),
    *(INTERACTIONS.name, INTERACTIONS_IMPORTED.name),
)


class LabelData:
    """Everything after the miner, around one broker and one store.

    Args:
        settings: groups, bounds, rules, bucket.
        log: read by all of it.
        store: ours.
        producer: of metrics, retractions and dead letters.
        clock: of their times.
        metrics: of the process.
        health: of the process; none: one of its own.
        run_id: embedded, where offsets begin at 0 again; else None.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        log: EventLog,
        store: ObjectStore,
        producer: EventProducer,
        clock: Clock,
        metrics: Metrics,
        health: Health | None = None,
        run_id: str | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._producer = producer
        self._clock = clock
        self._metrics = metrics
        self._health = health or Health(clock, changed=metrics.part)
        self._run_id = run_id
        bucket = settings.store.bucket
        self.manifest = TripleManifest(store, bucket, TRAINING_TRIPLES.name)
        # Nobody writes it any more, but who is erased is erased there, too.
        self._old_manifest = TripleManifest(store, bucket, TRAINING_TRIPLES_V1.name)

    def loops(self) -> dict[str, Loop]:
        """The sink, retraction and the folds of both pipelines; the topics exist."""
        loops = self.sink_loops()
        for interactions, closed in PIPELINES:
            loops[f"metrics of {closed.name}"] = self.search_metrics(interactions, closed).run
        return loops

    def sink_loops(self, partitions: Sequence[int] = ()) -> dict[str, Loop]:
        """The sink of these partitions, none given: of all; and retraction, unless it is off."""
        sink = self.sink(partitions).run
        rounds = self.rounds()
        if rounds is None:
            return {"sink": sink}
        if self._run_id is None:
            return {"sink": sink, "retraction": rounds.run}

        def sink_and_last_round(stop: threading.Event) -> None:
            sink(stop)
            rounds.round()  # the embedded log, with its erasures, ends with the process

        return {"sink": sink_and_last_round, "retraction": rounds.run}

    def rounds(self) -> RetractionRounds | None:
        """Retraction by itself; None: it is switched off."""
        every_s = self._settings.sink.retract_every_s
        if not every_s:
            return None
        return RetractionRounds(
            self.retract,
            self.last_retraction,
            every_s=every_s,
            clock=self._clock,
            metrics=self._metrics,
        )

    def last_retraction(self) -> LastRetraction | None:
        """When triples were last taken back.

        Raises:
            PartUnavailable: the store did not answer.
        """
        return read_last(self.manifest.store, self.manifest.bucket)

    def sink(self, partitions: Sequence[int] = ()) -> LabelSink:
        """The sink of these partitions; none given: of all."""
        topic = TRAINING_TRIPLES.name
        every = partitions or range(self._log.partition_count(topic))
        group = self._settings.sink.group
        return LabelSink(
            follow=lambda starts: self._log.follow(topic, starts, group=group),
            partitions=tuple(every),
            manifest=self.manifest,
            producer=self._producer,
            settings=self._settings.sink,
            clock=self._clock,
            metrics=self._metrics,
            health=self._health,
            log=self._run_id or LOG,
        )

    def search_metrics(self, interactions: Topic, closed: Topic) -> SearchMetrics:
        """The fold of one topic of closed searches."""
        group = metrics_group(self._settings.sink, closed.name)
        targets = self._log.partition_count(closed.name)
        rules = LabelRules.of(self._settings.labels)
        actors = DailyActors(signing_secret(self._settings, self.manifest.store))

        def follow() -> LogFollower:
            starts = self._log.start_offsets(group, closed.name, range(targets))
            return self._log.follow(closed.name, starts, group=group)

        return SearchMetrics(
            follow=follow,
            closed_topic=closed.name,
            fold=MetricsFold(
                interactions.name, targets=targets, epoch_ms=rules.epoch_ms, actors=actors
            ),
            producer=self._producer,
            clock=self._clock,
            metrics=self._metrics,
            health=self._health,
        )

    def causes(self) -> Causes:
        """Every erasure and every hidden image that the log still knows."""
        lateness = timedelta(seconds=self._settings.labels.lateness_s)
        return causes_in(self.read(CAUSES), lateness=lateness)

    def retract(self) -> RetractionReport:
        """One batch of retraction; the store then says that it was.

        Raises:
            PartUnavailable: broker or store did not answer; repeat it.
        """
        report = RetractionReport()
        written = [each for each in (self.manifest, self._old_manifest) if not each.is_empty()]
        if written:
            report = self._retract(written)
        last = LastRetraction.of(report, self._clock.now())
        tell_last(self.manifest.store, self.manifest.bucket, last)
        return report

    def _retract(self, manifests: Sequence[TripleManifest]) -> RetractionReport:
        from sightline.stream_workers.labels.sink.retraction import (  # noqa: PLC0415 - Arrow
            Retraction,
        )

        grace = timedelta(seconds=self._settings.sink.orphan_grace_s)
        causes = self.causes()
        report = RetractionReport()
        for manifest in manifests:
            one = Retraction(manifest, self._producer, clock=self._clock, orphan_grace=grace)
            report += one.run(causes)
        return report

    def read(self, topics: Sequence[str]) -> Iterable[Message]:
        """Reads topics from their first record to their present end."""
        return self._log.read(topics)
