"""The shapes of answers about what is learnt: triples, statistics, the model that serves."""

from __future__ import annotations

from typing import Literal

from sightline.search_api.http.documents.document import Document
from sightline.search_api.http.documents.searches import Result


class TriplePicture(Document):
    """One image of a triple, and where a thumbnail of it is."""

    image_id: str
    """The image, or an upload's `q-…`."""
    thumbnail_url: str | None
    """A clean JPEG; null for an upload."""


class RecentTriple(Document):
    """For this anchor, somebody preferred one image to another."""

    triple_id: str
    """The id of the triple, 64 hex digits."""
    issued_at: str
    """When its search was answered, RFC 3339."""
    grade: int
    """How much the positive was liked, 2-5."""
    anchor: TriplePicture
    """What was asked by."""
    positive: TriplePicture
    """What was preferred."""
    negative: TriplePicture
    """What was seen and passed over."""


class TriplesAnswer(Document):
    """The triples that were mined last, the latest of them first."""

    triples: list[RecentTriple]
    """Those whose images everybody may still see."""


class StatsRow(Document):
    """The statistics of one period, one variant and one model."""

    start: str | None = None
    """When the period began, RFC 3339, UTC; null: since ever."""
    variant: str
    """The arm of an A/B test."""
    model: str
    """What ranked."""
    searches: int
    """Closed, by people."""
    bot_searches: int
    """Closed, by bots; in no other figure."""
    ctr: float | None
    """Distinct clicked images ÷ images shown."""
    clicks_per_search: float | None
    """All clicks ÷ searches."""
    conversion_rate: float | None
    """Searches with a conversion ÷ searches."""
    conversions: int
    """All of them."""
    empty_rate: float | None
    """Searches that showed nothing ÷ searches."""
    dwell_ms: int
    """Time spent, in sum."""
    dwell_mean_s: float | None
    """Per clicked image with a known dwell."""
    dwell_per_user_day_s: float | None
    """Sum ÷ distinct people per day."""
    user_days: int
    """Distinct people per day, added up."""


class StatsAnswer(Document):
    """How often results were shown and clicked, period by period."""

    period: Literal["all", "day", "week", "month"]
    """The period that was asked for."""
    rows: list[StatsRow]
    """By period, variant and model."""


class GateLineDocument(Document):
    """One rule of the gate that a model passed on its way into the registry."""

    rule: str
    """What is demanded."""
    outcome: str
    """`passed`, or `reported` where the rule decides nothing."""
    says: str
    """The measured difference, its bounds, and what they are held against."""


class LearnedDocument(Document):
    """How a model was learned, as far as the registry can tell."""

    release: int | None
    """Counts the releases of its name; null: not known."""
    released_at: str | None
    """When it was released, RFC 3339; null: not known."""
    gate: list[GateLineDocument]
    """Why it was released; empty where a person decided, or it is not known."""
    counts: dict[str, int]
    """What taught it: `triples`, `pairs`, `anchors`, `judgements`, those that are known."""
    strength: float | None
    """How far its head was moved, 0-1; null: not known."""
    metrics: dict[str, float]
    """What was measured of it before its release, by name."""
    before: dict[str, float]
    """The same of the model that it was compared with, measured before that one's release."""


class FillingDocument(Document):
    """A generation that is being filled, as its last note tells of it."""

    generation: str
    """Its name."""
    by: Literal["features", "bytes"]
    """What its vectors are made from."""
    step: str
    """`wait`, `seed`, `replay`, `catch up`, `optimise`, `prove` or `ready`."""
    done: int
    """So many images of the step are done."""
    total: int
    """All images of the step; 0: it counts none."""
    rate_per_s: float | None
    """Images a second, on average since the step began; null: not known yet."""
    remaining_s: float | None
    """How long the step takes yet at that rate; null: not known."""
    trouble: str
    """What it waits for, or why it was refused; empty: nothing."""


class RolloutDocument(Document):
    """A released model on its way into service by itself, or what became of it."""

    name: str
    """The model's name in the registry."""
    digest: str
    """Its digest there."""
    generation: str | None
    """Its index, while it is on its way; null: not yet."""
    stage: str | None
    """`indexed`, `compared`, `coming`, `watched` or `going`; null: it has ended."""
    outcome: str | None
    """`serves`, `refused`, `worse`, `rolled_back`, `left` or `failed`; null: it is on its way."""
    says: str
    """Why, or what its experiment came to; empty: nothing yet."""
    since: str
    """When it was begun, or ended, RFC 3339."""


class ServingModelAnswer(Document):
    """What answers searches in this process now."""

    name: str | None
    """The model's name in the registry; null: it is the one that the settings name."""
    digest: str | None
    """Its digest there."""
    model: str
    """The digest of the model that ranks; it made the vectors, too, unless `turned`."""
    generation: str
    """The generation of the index that is searched."""
    turned: bool
    """Whether the query goes through a matrix, so that an earlier model's vectors answer as the
    new model's would."""
    number: int
    """How often what serves has changed, from 1."""
    experiment: str | None
    """The experiment that some searches are part of; this is its control."""
    learned: LearnedDocument | None
    """How it was learned; null for a model that is in no registry."""
    filling: FillingDocument | None
    """How far the generation is that is being filled; null: none is, or it cannot be told."""
    rollouts: list[RolloutDocument]
    """The model that is on its way by itself, then the last one that ended."""


class RankingDocument(Document):
    """What one model of an experiment finds."""

    arm: Literal["control", "treatment"]
    """Whether it is what serves, or what is tried."""
    model: str | None
    """`NAME@DIGEST` in the registry; null: the one that the settings name."""
    generation: str
    """The generation of the index that was asked."""
    results: list[Result]
    """The nearest first; empty where the image asked by is not in that generation yet."""


class RankingsAnswer(Document):
    """One question, ranked by both models of an experiment."""

    experiment: str
    """The experiment that runs."""
    rankings: list[RankingDocument]
    """The control's, then the treatment's."""
