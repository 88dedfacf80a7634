"""The one list of topics: name, event types, key, partitions, retention, compaction.

Partition counts are fixed for the life of a topic; a change is a new topic (docs/adr/0003).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sightline.schemas.audit import AccessRecorded
from sightline.schemas.envelope import EventData
from sightline.schemas.images import ImageChanged, ImageDeleted, ImageUploaded
from sightline.schemas.indexed import ImageIndexed, ImageRejected
from sightline.schemas.interactions import ClockTicked, ResultsInteracted, UserErased
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.labels import (
    EpochClosed,
    EpochDone,
    SearchesClosed,
    TripleMined,
    TripleMinedV1,
    TripleRetracted,
)
from sightline.schemas.late import InteractionsOmitted
from sightline.schemas.models import (
    ExperimentStarted,
    ExperimentStopped,
    GenerationNoted,
    ModelNotReleased,
    ModelPromoted,
    ModelReleased,
    ModelRolledBack,
    RolloutNoted,
)
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.search_metrics import SearchMetricsCounted
from sightline.schemas.searches import ResultsShown

DAY_MS = 86_400_000
MAX_MESSAGE_BYTES = 1_048_576
DEAD_LETTER_HEADROOM_BYTES = 1_048_576
"""A dead letter is the original value plus headers; the broker refuses an envelope round a nearly
full message whatever the client's limit, so dead-letter topics allow 1 MiB more (docs/adr/0003)."""
DEFAULT_PARTITIONS = 12
DELETE_RETENTION_MS = 30 * DAY_MS
"""How long a delete stays in the log: longer than dead letters, so that no replay outlives it."""
MAX_COMPACTION_LAG_MS = 7 * DAY_MS
"""How long a partition may keep what a later record of the same key replaced: past it the broker
rolls the segment with the partition's next record, and compacts. Kafka's own bound is never, and a
quiet topic would keep title and tags of a deleted image. Above `min.compaction.lag.ms`."""
DEAD_LETTER_RETENTION_MS = 14 * DAY_MS
FOREVER_MS = -1


class Cleanup(StrEnum):
    """What the broker does with old records: Kafka's `cleanup.policy`."""

    DELETE = "delete"
    COMPACT = "compact"
    COMPACT_DELETE = "compact,delete"


class TimestampType(StrEnum):
    """Which time a record carries: Kafka's `message.timestamp.type`."""

    LOG_APPEND_TIME = "LogAppendTime"
    CREATE_TIME = "CreateTime"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic; `config` is what the broker is asked for."""

    name: str
    events: tuple[type[EventData], ...]
    key: str
    summary: str
    partitions: int = DEFAULT_PARTITIONS
    cleanup: Cleanup = Cleanup.DELETE
    retention_ms: int = 30 * DAY_MS
    min_compaction_lag_ms: int = 0
    delete_retention_ms: int = DAY_MS
    max_message_bytes: int = MAX_MESSAGE_BYTES
    timestamps: TimestampType = TimestampType.LOG_APPEND_TIME
    dead_letters_of: str | None = None
    producers: tuple[str, ...] = field(default=())
    consumers: tuple[str, ...] = field(default=())

    @property
    def config(self) -> dict[str, str]:
        """Broker-side topic configuration, every value explicit so that drift can be seen."""
        compacted = self.cleanup is not Cleanup.DELETE
        return {
            "cleanup.policy": self.cleanup.value,
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": self.timestamps.value,
            "retention.ms": str(-1 if self.cleanup is Cleanup.COMPACT else self.retention_ms),
        } | (
            {
                "min.compaction.lag.ms": str(self.min_compaction_lag_ms),
                "max.compaction.lag.ms": str(MAX_COMPACTION_LAG_MS),
                "delete.retention.ms": str(self.delete_retention_ms),
            }
            if compacted
            else {}
        )


IMAGE_EVENTS: tuple[type[EventData], ...] = (ImageUploaded, ImageChanged, ImageDeleted)


def _image_topic(name: str, summary: str) -> Topic:
    return Topic(
        name=name,
        events=IMAGE_EVENTS,
        key="image_id",
        summary=summary,
        cleanup=Cleanup.COMPACT,
        min_compaction_lag_ms=DAY_MS,
        delete_retention_ms=DELETE_RETENTION_MS,
        producers=("producers", "stream_workers (re-appended winners)"),
        consumers=("index worker", "reindex", "reconcile"),
    )


def _dead_letters(of: Topic) -> Topic:
    stem, _, version = of.name.rpartition(".")
    return Topic(
        name=f"{stem}.dlq.{version}",
        events=(),
        key="the original key",
        summary=f"What failed on `{of.name}`: the original bytes, facts in headers.",
        partitions=1,
        retention_ms=DEAD_LETTER_RETENTION_MS,
        max_message_bytes=of.max_message_bytes + DEAD_LETTER_HEADROOM_BYTES,
        dead_letters_of=of.name,
        producers=("stream_workers",),
        consumers=("sightline dlq",),
    )


IMAGES = _image_topic("images.v1", "The live lane: what happens to images now.")
IMAGES_BACKFILL = _image_topic(
    "images.backfill.v1", "The low-priority lane: catalogues that were there before."
)
IMAGES_MODERATION = Topic(
    name="images.moderation.v1",
    events=(ImageModerated,),
    key="image_id",
    summary="What the operator decided about images: blocked, or allowed again.",
    cleanup=Cleanup.COMPACT,
    min_compaction_lag_ms=DAY_MS,
    delete_retention_ms=DELETE_RETENTION_MS,
    producers=("search API (admins)", "sightline moderate", "classifiers", "re-appended winners"),
    consumers=("moderation loop", "reindex", "reconcile", "sink (retraction)"),
)
IMAGES_INDEXED = Topic(
    name="images.indexed.v1",
    events=(ImageIndexed, ImageRejected),
    key="image_id",
    summary="What became of each image version, with the time of every hop (freshness).",
    producers=("index worker",),
    consumers=("platform services", "sightline status"),
)
BUCKET_NOTIFICATIONS = Topic(
    name="bucket-notifications.v1",
    events=(),
    key="bucket/key",
    summary="The object store's own notifications, in its own format; the bridge reads them.",
    partitions=3,
    producers=("MinIO or S3",),
    consumers=("bucket bridge",),
)
INTERACTION_EVENTS: tuple[type[EventData], ...] = (
    ResultsShown,
    ResultsInteracted,
    ClockTicked,
    UserErased,
)
INTERACTIONS = Topic(
    name="interactions.v1",
    events=INTERACTION_EVENTS,
    key="actor_id",
    summary="What was shown, and what people did with it.",
    producers=("search API", "product front ends", "label join (ticks)"),
    consumers=("label join",),
)
INTERACTIONS_IMPORTED = Topic(
    name="interactions.imported.v1",
    events=INTERACTION_EVENTS,
    key="actor_id",
    summary="Logs that a site already had, with their own times as record timestamps.",
    # Kafka deletes by record timestamp: any finite retention would delete old logs at once.
    retention_ms=FOREVER_MS,
    timestamps=TimestampType.CREATE_TIME,
    producers=("sightline interactions import",),
    consumers=("label join",),
)
INTERACTIONS_LATE = Topic(
    name="interactions.late.v1",
    events=(InteractionsOmitted,),
    key="actor_id",
    summary="What of a record was not counted, and the first reason that fits.",
    producers=("label join",),
    consumers=("sightline triples why",),
)
JUDGEMENTS = Topic(
    name="judgements.v1",
    events=(RelevanceJudged, UserErased),
    key="anchor_id",
    summary="Grades that a person gave, at any time; of erased judges none that they gave before.",
    retention_ms=FOREVER_MS,
    producers=("search API", "sightline erase-user"),
    consumers=("training",),
)


def _closed_topic(name: str, summary: str) -> Topic:
    return Topic(
        name=name,
        events=(SearchesClosed, EpochClosed),
        key="source partition / epoch; the partition is that of anchor_id",
        summary=summary,
        producers=("label join",),
        consumers=("miner", "search metrics"),
    )


def _triples_topic(name: str, mined: type[EventData], summary: str) -> Topic:
    return Topic(
        name=name,
        events=(mined, TripleRetracted),
        key="anchor_id",
        summary=summary,
        producers=("miner", "sink (retraction)", "sightline retract"),
        consumers=("Parquet sink", "training"),
    )


def _done_topic(name: str, summary: str) -> Topic:
    return Topic(
        name=name,
        events=(EpochDone,),
        key="stage / topic / partition / epoch",
        summary=summary,
        partitions=1,
        cleanup=Cleanup.COMPACT_DELETE,
        producers=("label join", "miner"),
        consumers=("label join", "miner"),
    )


_CLOSED_SUMMARY = "Searches with all that counts, by epoch."
_IMPORTED_SUMMARY = "The same for imported logs, whose time is their own."
_TRIPLES_SUMMARY = "Training triples, and what is taken back."
_DONE_SUMMARY = "Which epochs a stage of the label join has finished, and at which offset."
_OLD = " Of label rules version 1: nothing writes it any more (docs/labels.md, 20)."

SEARCHES_CLOSED = _closed_topic("searches.closed.v2", _CLOSED_SUMMARY)
SEARCHES_CLOSED_IMPORTED = _closed_topic("searches.closed.imported.v2", _IMPORTED_SUMMARY)
TRAINING_TRIPLES = _triples_topic("training-triples.v2", TripleMined, _TRIPLES_SUMMARY)
EPOCHS_DONE = _done_topic("epochs.done.v2", _DONE_SUMMARY)
TRAINING_TRIPLES_V1 = _triples_topic("training-triples.v1", TripleMinedV1, _TRIPLES_SUMMARY + _OLD)
SEARCH_METRICS = Topic(
    name="search-metrics.v1",
    events=(SearchMetricsCounted,),
    key="variant / model / epoch / source topic / source partition",
    summary="What an epoch's searches came to, as absolute values that readers add up.",
    cleanup=Cleanup.COMPACT,
    producers=("search metrics",),
    consumers=("GET /v1/stats", "A/B reports"),
)
MODELS = Topic(
    name="models.v1",
    events=(
        *(ModelReleased, ModelNotReleased, ModelPromoted, ModelRolledBack),
        *(ExperimentStarted, ExperimentStopped, RolloutNoted, GenerationNoted),
    ),
    key="name",
    summary="Which models were released or not, are compared, serve, and no longer do.",
    partitions=1,
    retention_ms=FOREVER_MS,
    producers=("sightline models release", "sightline retrain", "sightline experiment", "roll-out"),
    consumers=("platform services",),
)
AUDIT = Topic(
    name="audit.v1",
    events=(AccessRecorded,),
    key="who: a key's name, a shell's user, else an address",
    summary="Who acted as an operator, and who was refused.",
    partitions=3,
    retention_ms=90 * DAY_MS,
    producers=("search API", "commands on what serves"),
    consumers=("operators",),
)

IMAGES_DLQ = _dead_letters(IMAGES)
IMAGES_BACKFILL_DLQ = _dead_letters(IMAGES_BACKFILL)
IMAGES_MODERATION_DLQ = _dead_letters(IMAGES_MODERATION)
BUCKET_NOTIFICATIONS_DLQ = _dead_letters(BUCKET_NOTIFICATIONS)
INTERACTIONS_DLQ = _dead_letters(INTERACTIONS)
INTERACTIONS_IMPORTED_DLQ = _dead_letters(INTERACTIONS_IMPORTED)
JUDGEMENTS_DLQ = _dead_letters(JUDGEMENTS)
SEARCHES_CLOSED_DLQ = _dead_letters(SEARCHES_CLOSED)
SEARCHES_CLOSED_IMPORTED_DLQ = _dead_letters(SEARCHES_CLOSED_IMPORTED)
TRAINING_TRIPLES_DLQ = _dead_letters(TRAINING_TRIPLES)

TOPICS: tuple[Topic, ...] = (
    IMAGES,
    IMAGES_BACKFILL,
    IMAGES_MODERATION,
    IMAGES_INDEXED,
    BUCKET_NOTIFICATIONS,
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    INTERACTIONS_LATE,
    JUDGEMENTS,
    SEARCHES_CLOSED,
    SEARCHES_CLOSED_IMPORTED,
    TRAINING_TRIPLES,
    EPOCHS_DONE,
    SEARCH_METRICS,
    MODELS,
    AUDIT,
    IMAGES_DLQ,
    IMAGES_BACKFILL_DLQ,
    IMAGES_MODERATION_DLQ,
    BUCKET_NOTIFICATIONS_DLQ,
    INTERACTIONS_DLQ,
    INTERACTIONS_IMPORTED_DLQ,
    JUDGEMENTS_DLQ,
    SEARCHES_CLOSED_DLQ,
    SEARCHES_CLOSED_IMPORTED_DLQ,
    TRAINING_TRIPLES_DLQ,
)

_V1 = (
    _closed_topic("searches.closed.v1", _CLOSED_SUMMARY + _OLD),
    _closed_topic("searches.closed.imported.v1", _IMPORTED_SUMMARY + _OLD),
    TRAINING_TRIPLES_V1,
)
SUPERSEDED_TOPICS: tuple[Topic, ...] = (
    *_V1,
    _done_topic("epochs.done.v1", _DONE_SUMMARY + _OLD),
    *(_dead_letters(old) for old in _V1),
)
"""Contracts of earlier releases, for who still reads them: not created, not read by us."""
ALL_TOPICS = (*TOPICS, *SUPERSEDED_TOPICS)


def topic(name: str) -> Topic:
    """The topic of that name, without any deployment prefix.

    Raises:
        KeyError: no such topic.
    """
    return _BY_NAME[name]


def dead_letters_of(name: str) -> Topic:
    """The dead-letter topic of a topic.

    Raises:
        KeyError: that topic has none.
    """
    return _LETTERS_OF[name]


_BY_NAME = {t.name: t for t in ALL_TOPICS}
_LETTERS_OF = {t.dead_letters_of: t for t in ALL_TOPICS if t.dead_letters_of is not None}
