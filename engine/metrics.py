"""Every metric of every process, in one place: Prometheus objects in the registry passed in.

`docs/metrics.md` lists them; a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sightline.engine.errors import Part
from sightline.engine.health import PartHealth
from sightline.schemas.indexed import Lane, Outcome, StageTimes

FRESHNESS_BUCKETS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)
LATENCY_BUCKETS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
SIMILARITY_BUCKETS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
RECALL_BUCKETS = (0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
BATCH_BUCKETS = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFacts:
    """What the documentation says of one metric."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str


class Metrics:
    """The metrics; one object per process and registry, safe to use from several threads."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._facts: list[MetricFacts] = []
        self._freshness_metrics()
        self._worker_metrics()
        self._log_metrics()
        self._api_metrics()
        self._label_metrics()
        self._label_data_metrics()
        self._drift_metrics()

    def _freshness_metrics(self) -> None:
        self.freshness = self._histogram(
            "freshness_seconds",
            "Record appended to the log until a query returns the image (headline).",
            ("lane",),
            FRESHNESS_BUCKETS,
        )
        self.hiding = self._histogram(
            "hiding_seconds",
            "Private, blocked or deleted, appended to the log until no query returns the image.",
            ("lane",),
            FRESHNESS_BUCKETS,
        )
        self.hops = self._histogram(
            "hop_seconds",
            "Time of one hop of the way to the index.",
            ("lane", "hop"),
            FRESHNESS_BUCKETS,
        )

    def _worker_metrics(self) -> None:
        self.outcomes = self._counter(
            "outcomes_total", "Image versions by what became of them.", ("lane", "outcome")
        )
        self.rejections = self._counter(
            "rejections_total", "Image versions whose bytes were refused, by reason.", ("reason",)
        )
        self.pictures = self._counter(
            "pictures_total",
            "Pictures decoded, by what was done with their colour profile: none, srgb, converted, "
            "ignored.",
            ("profile",),
        )
        self.embeddings = self._counter(
            "embeddings_total", "Embeddings made, and those saved by unchanged bytes.", ("result",)
        )
        self.batch_size = self._histogram(
            "embed_batch_size", "Images in one forward pass.", (), BATCH_BUCKETS
        )
        self.embed_seconds = self._histogram(
            "embed_seconds", "One batch by step: decode, forward.", ("step",), LATENCY_BUCKETS
        )
        self.fetch_seconds = self._histogram(
            "fetch_seconds", "One read of the object store.", (), LATENCY_BUCKETS
        )
        self.apply_seconds = self._histogram(
            "apply_seconds", "One batch written to the index.", (), LATENCY_BUCKETS
        )
        self.flush_seconds = self._histogram(
            "flush_seconds", "One flush of the index to disk.", (), LATENCY_BUCKETS
        )
        self.in_flight = self._gauge(
            "in_flight", "Events between poll and commit, by lane.", ("lane",)
        )
        self.queue_depth = self._gauge(
            "queue_depth", "Events that wait for a stage.", ("lane", "stage")
        )
        self.paused = self._gauge(
            "paused_partitions", "Partitions paused by back-pressure.", ("lane",)
        )
        self.retries = self._counter(
            "retries_total", "Attempts repeated after a transient error.", ("part",)
        )
        self.generation_versions = self._counter(
            "generation_versions_total",
            "Image versions by generation, whether it serves or not, and what became of them.",
            ("generation", "outcome"),
        )
        self.part_up = self._gauge("part_up", "1: the part answers; 0: it is down.", ("part",))

    def _log_metrics(self) -> None:
        self.lag = self._gauge(
            "lag_messages", "Messages between position and end.", ("lane", "topic", "partition")
        )
        self.oldest_waiting = self._gauge(
            "oldest_waiting_seconds", "Age of the oldest event in the pipe.", ("lane",)
        )
        self.commits = self._counter(
            "commits_total", "Offset commits, by result.", ("lane", "result")
        )
        self.rebalances = self._counter(
            "rebalances_total", "Partitions gained, revoked and lost.", ("lane", "kind")
        )
        self.dead_letters = self._counter(
            "dead_letters_total", "Messages dead-lettered.", ("topic", "error")
        )
        self.loops_stopped = self._gauge(
            "loop_stopped",
            "1: a loop of this process met too many dead letters, or failed and begins anew.",
            ("loop",),
        )
        self.reappended = self._counter(
            "winners_reappended_total",
            "Winners appended again after a lower version, so that compaction keeps them.",
            ("topic",),
        )
        self.swept = self._counter(
            "swept_total",
            "Removed for good: objects that no image needs, and tombstones past their retention.",
            ("what",),
        )
        self.decisions = self._counter(
            "moderation_decisions_total",
            "The operator's decisions by result: applied, superseded, dead_lettered.",
            ("result",),
        )
        self.notifications = self._counter(
            "bucket_notifications_total", "Bucket notifications by result.", ("result",)
        )

    def _api_metrics(self) -> None:
        self.requests = self._counter(
            "api_requests_total", "Requests by route and status.", ("method", "route", "status")
        )
        self.request_seconds = self._histogram(
            "api_request_seconds", "Requests by route.", ("method", "route"), LATENCY_BUCKETS
        )
        self.search_stage_seconds = self._histogram(
            "search_stage_seconds", "Stages of a search.", ("stage",), LATENCY_BUCKETS
        )
        self.searches = self._counter(
            "searches_total", "Searches by kind of query and result.", ("by", "result")
        )
        self.removed = self._counter(
            "search_removed_total", "Results that re-ranking took out, by reason.", ("reason",)
        )
        self.searches_in_flight = self._gauge(
            "searches_in_flight", "Searches being answered, and waiting.", ("state",)
        )
        self.writes_in_flight = self._gauge(
            "writes_in_flight", "Writes of images being carried out, and waiting.", ("state",)
        )
        self.renditions_in_flight = self._gauge(
            "renditions_in_flight", "Pictures being fetched or made, and waiting.", ("state",)
        )
        self.feedback = self._counter(
            "feedback_total", "Impressions published, and those that were not.", ("result",)
        )
        self.interactions = self._counter(
            "interactions_total",
            "Items of beacons by kind, and those refused or over an actor's rate.",
            ("kind",),
        )
        self.refused = self._counter(
            "api_refused_total",
            "Requests without a valid key, without the scope, or too often.",
            ("status",),
        )
        self.audit_records = self._counter(
            "audit_records_total",
            "Records of the audit log, by whether the topic took them.",
            ("result",),
        )
        self.key_last_used = self._gauge(
            "api_key_last_used_timestamp_seconds",
            "When an API key was last used here, by name and first digits of its hash; Unix time.",
            ("key", "sha256"),
        )
        self.judgements = self._counter("judgements_total", "Grades taken.", ())
        self.serving_number = self._gauge(
            "serving_number",
            "How often what serves has changed; equal in all processes that serve the same.",
            (),
        )

    def _label_metrics(self) -> None:
        self.label_records = self._counter(
            "label_records_total",
            "Records that join or miner applied; those read again after a restart count again.",
            ("stage",),
        )
        self.label_sent = self._counter(
            "label_sent_total", "Records that join or miner sent.", ("stage", "topic")
        )
        self.label_epochs = self._counter(
            "label_epochs_done_total", "Epochs of a partition that are done.", ("stage",)
        )
        self.label_epoch_delay = self._histogram(
            "label_epoch_delay_seconds",
            "Record that closed an epoch appended to the log until the epoch is done.",
            ("stage",),
            FRESHNESS_BUCKETS,
        )
        self.label_held = self._gauge(
            "label_held_searches", "Searches in memory.", ("stage", "partition")
        )
        self.label_uncommitted = self._gauge(
            "label_uncommitted_records",
            "Records from the safe offset to the position: read again after a restart.",
            ("stage", "partition"),
        )

    def _label_data_metrics(self) -> None:
        self.sink_rows = self._counter(
            "sink_rows_total",
            "Records of the labelled topic that are in the manifest, and unreadable ones.",
            ("kind",),
        )
        self.sink_entries = self._counter(
            "sink_entries_total",
            "Manifest entries created, and those lost to another sink.",
            ("result",),
        )
        self.sink_offset = self._gauge(
            "sink_next_offset", "Where the last manifest entry ends.", ("partition",)
        )
        self.retractions = self._counter(
            "retractions_total", "Rounds of taking triples back, by result.", ("result",)
        )
        self.retraction_last = self._gauge(
            "retraction_last_timestamp_seconds",
            "When triples were last taken back, by whatever process, as this one knows; Unix time.",
            (),
        )
        self.retracted = self._counter(
            "retracted_triples_total", "Triples taken back by this process's rounds.", ("cause",)
        )
        self.retraining_ended = self._counter(
            "retraining_attempts_total",
            "Attempts to make a better model that ended: released, refused, too_little, failed.",
            ("outcome",),
        )
        self.retraining_last = self._gauge(
            "retraining_last_timestamp_seconds",
            "When this process last ended an attempt to make a better model; Unix time.",
            (),
        )
        self.retraining_waiting = self._gauge(
            "retraining_waiting_triples", "Triples that came since the last attempt began.", ()
        )
        self.rollouts_ended = self._counter(
            "rollouts_total",
            "Models that came by themselves: serves, refused, worse, rolled_back, left, failed.",
            ("outcome",),
        )
        self.rollout_stage = self._gauge(
            "rollout_stage",
            "1 where the model is that comes by itself: indexed, compared, coming, watched, going.",
            ("stage",),
        )
        self.generations = self._gauge(
            "generations",
            "Generations of the index, by stage: filling, ready (serves, or may), retired.",
            ("stage",),
        )
        self.reindexes = self._counter(
            "reindexes_total",
            "Generations that were filled and compared: ready, refused.",
            ("outcome",),
        )
        self.reindex_step = self._gauge(
            "reindex_step",
            "1 for the step of the re-index that this process is at.",
            ("generation", "step"),
        )
        self.reindex_images = self._gauge(
            "reindex_images", "Images of that step: total, and done so far.", ("generation", "what")
        )
        self.online = self._counter(
            "online_total",
            "What closed searches came to (searches, images_shown, clicks, ...), by model.",
            ("variant", "model", "what"),
        )
        self.online_day = self._gauge(
            "online_day",
            "Figures of the last 24 h of closed searches: ctr, clicks_per_search, ...",
            ("variant", "model", "figure"),
        )

    def _drift_metrics(self) -> None:
        self.nearest_similarity = self._histogram(
            "nearest_similarity",
            "Cosine of an image, of a sample, to the nearest one listed before it was embedded.",
            ("lane", "model"),
            SIMILARITY_BUCKETS,
        )
        self.search_scores = self._histogram(
            "search_score",
            "Score of the first and of the last result of a page that shows any.",
            ("by", "place", "model"),
            SIMILARITY_BUCKETS,
        )
        self.recall = self._histogram(
            "search_recall",
            "Part of an exact scan's results that the index finds, of a sample of searches.",
            ("filtered", "model"),
            RECALL_BUCKETS,
        )
        self.recall_checks = self._counter(
            "search_recall_checks_total",
            "Searches sampled for their recall, by result: checked, empty, failed.",
            ("result",),
        )

    def stage_times(self, lane: Lane, outcome: Outcome, times: StageTimes) -> None:
        """Count one applied event's outcome, its hops and the headline."""
        self.outcomes.labels(lane, outcome).inc()
        for hop, start, end in _hops(times):
            self.hops.labels(lane, hop).observe(max(0.0, (end - start).total_seconds()))
        if times.searchable is None:
            return
        whole = max(0.0, (times.searchable - times.appended).total_seconds())
        if outcome is Outcome.INDEXED:
            self.freshness.labels(lane).observe(whole)
        elif outcome in (Outcome.HIDDEN, Outcome.DELETED):
            self.hiding.labels(lane).observe(whole)

    def part(self, health: PartHealth) -> None:
        """Mirror a part's health; pass as `changed` of `Health`."""
        self.part_up.labels(health.part).set(1 if health.up else 0)

    def retried(self, part: Part) -> None:
        """One attempt is repeated because of a part."""
        self.retries.labels(part).inc()

    def facts(self) -> tuple[MetricFacts, ...]:
        """Every metric, for the documentation, in the order of definition."""
        return tuple(self._facts)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Histogram:
        self._fact(name, "histogram", labels, text)
        return Histogram(f"sightline_{name}", text, labels, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        self._fact(name, "counter", labels, text)
        return Counter(f"sightline_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...]) -> Gauge:
        self._fact(name, "gauge", labels, text)
        return Gauge(f"sightline_{name}", text, labels, registry=self.registry)

    def _fact(self, name: str, kind: str, labels: tuple[str, ...], text: str) -> None:
        fact = MetricFacts(name=f"sightline_{name}", kind=kind, labels=labels, help=text)
        self._facts.append(fact)


def _hops(times: StageTimes) -> list[tuple[str, datetime, datetime]]:
    """Consecutive stages that the event passed, as (hop, start, end)."""
    passed = [
        (name, getattr(times, name))
        for name in ("occurred", "appended", "consumed", "fetched", "embedded", "searchable")
        if getattr(times, name) is not None
    ]
    return [
        (f"{before}_to_{after}", start, end) for (before, start), (after, end) in pairwise(passed)
    ]
