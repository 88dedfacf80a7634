"""Settings of the loop of labels: join, miner, sink, retraining and evaluation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sightline.engine.settings.section import PositiveInt, PositiveSeconds, Seconds, Section


class LabelSettings(Section):
    """The label join (docs/labels.md); rules are fixed for the life of its topics."""

    join_group: str = "sightline-join"
    """Consumer group of the join."""
    mine_group: str = "sightline-mine"
    """Consumer group of the miner."""
    epoch_s: PositiveSeconds = 600.0
    """E: searches are decided together by the epoch in which they were issued."""
    attribution_window_s: Seconds = 1_800.0
    """W: how long after the answer an interaction still counts."""
    lateness_s: Seconds = 300.0
    """L: how much later than its own time it may reach the log."""
    history_epochs: Annotated[int, Field(ge=0)] = 6
    """H: an image that anybody clicked for an anchor so many epochs back is no negative for it."""
    negatives_per_positive: PositiveInt = 3
    """At most, by descending score."""
    near_duplicate_bits: Annotated[int, Field(ge=0, le=256)] = 40
    """Within this Hamming distance of anchor or positive an image is no negative."""
    actor_pairs: PositiveInt = 30
    """Whoever acts on more (anchor, image) pairs in an epoch weighs no more than with so many."""
    actor_anchor_triples: PositiveInt = 12
    """Most triples of one actor per anchor and epoch."""
    actor_barred_images: PositiveInt = 8
    """Whoever clicks more images of an anchor, in the epoch and `history_epochs` before, keeps none
    of them from being a negative for others."""
    min_actors: PositiveInt = 1
    """So many actors must have preferred an image for an anchor, in the epoch and
    `history_epochs` before, before the pair makes triples. 1: anybody's choice teaches."""
    hot_anchor_triples: PositiveInt = 200
    """Most triples per anchor and epoch."""
    popular_negative_triples: PositiveInt = 200
    """Most triples per negative, partition and epoch."""
    bot_acts: PositiveInt = 120
    """More clicks, likes, shares and conversions in an epoch are a bot's."""
    bot_coverage_percent: Annotated[int, Field(ge=0, le=100)] = 80
    """Clicking, liking, sharing or converting more of what was shown is a bot's …"""
    bot_coverage_shown: PositiveInt = 30
    """… where at least so many images were shown in the epoch."""
    long_dwell_s: Seconds = 10.0
    """A click with at least this dwell is grade 3."""
    examined_s: Seconds = 1.0
    """In view for at least this long is examined."""
    rules_version: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")] = "2"
    """Part of every triple id. Not `1`: that names rules of an earlier release."""
    tick_s: PositiveSeconds = 10.0
    """How often the join's workers tick every partition of a live topic."""
    stalled_s: PositiveSeconds = 30.0
    """A partition with lag where nothing was applied for so long ends the process."""
    dead_letter_limit: PositiveInt = 100
    """More dead letters of one partition within `dead_letter_window_s` stop the stage."""
    dead_letter_window_s: Seconds = 60.0
    """By the records' own timestamps."""
    supervised: bool = True
    """`sightline up` runs join and miner as children of its own, and the sink; off: start all three
    yourself."""
    join_metrics_port: int | None = 9465
    """Where the join serves its metrics, also as a child of `sightline up`; none: nowhere."""
    mine_metrics_port: int | None = 9466
    """Where the miner serves its metrics, also as a child of `sightline up`; none: nowhere."""
    driver_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "WARNING"
    """From which level on join and miner pass on what Faust and its Kafka client log."""

    @field_validator("rules_version")
    @classmethod
    def _is_not_of_an_earlier_release(cls, version: str) -> str:
        if version == "1":
            raise ValueError(
                "rules version 1 is of an earlier release: leave it out, or name one of your own"
            )
        return version


class SinkSettings(Section):
    """Labelled triples to Parquet, and online metrics (docs/labels-data.md)."""

    group: str = "sightline-sink"
    """Group under which the sink's progress can be seen; the manifest decides where it starts."""
    metrics_group: str = "sightline-search-metrics"
    """Consumer group of the fold of closed searches into metrics."""
    max_rows: PositiveInt = 50_000
    """A partition's records are written as a file when there are so many …"""
    max_age_s: Seconds = 60.0
    """… or when the first of them has waited for so long."""
    orphan_grace_s: Seconds = 3_600.0
    """Files that no manifest entry lists are removed when they are older than this."""
    retract_every_s: Seconds = 3_600.0
    """How often triples of erased users and hidden images are taken back, by whichever sink finds
    it due; 0: only by `sightline retract`."""
    dead_letter_limit: PositiveInt = 100
    """More unreadable records of one partition within `dead_letter_window_s` stop the sink."""
    dead_letter_window_s: Seconds = 60.0
    """By the records' own timestamps."""
    metrics_port: int | None = 9467
    """Prometheus port of a sink process of its own; none: no endpoint."""


class RetrainingSettings(Section):
    """When new triples become a new model by themselves (docs/training.md)."""

    supervised: bool = False
    """`sightline up` looks whether a retraining is due, and runs it as a child of its own; off:
    nobody does, or `sightline retrain` where you start it."""
    model: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] = "clicks"
    """The name under which the registry gets what passes the gate."""
    triples: PositiveInt = 10_000
    """A training begins when so many triples have come since the last one …"""
    anchors: PositiveInt = 500
    """… of so many different anchors …"""
    age_s: Seconds = 604_800.0
    """… or when the first of them has waited for so long; 0: however long it waits."""
    familiar: bool = False
    """Change familiar directions alone, as `sightline train --familiar` does."""
    familiarity_gate: bool = False
    """Leave pictures unlike all that was clicked where they were, as `sightline train
    --familiarity-gate` does."""
    look_every_s: PositiveSeconds = 60.0
    """Between two looks at what has come."""
    lease_s: PositiveSeconds = 60.0
    """A process that dies while it trains keeps others from going on for so long."""
    metrics_port: int | None = 9468
    """Prometheus port of `sightline retrain`; none: no endpoint."""


class EvaluationSettings(Section):
    """What models are measured by, where clicks or judgements tell (docs/evaluation.md)."""

    queries: PositiveInt = 4_000
    """So many queries are ranked at most; of more a part is drawn, by kinds. Each is compared with
    every picture: 6 ms among 100,000, for each of six models."""
