"""The shapes of answers, for OpenAPI: answers are built as plain JSON and not validated again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Document(BaseModel):
    """The base class of all shapes of answers: attribute docstrings become descriptions."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")


class ProblemDocument(Document):
    """What went wrong with a request, as RFC 9457 has it."""

    type: str
    """`urn:sightline:problem:<kind>`; the kinds are in `docs/api.md`."""
    title: str
    """What the kind of problem is called, always the same."""
    status: int
    """The HTTP status."""
    detail: str
    """What was wrong here, and what to do."""
    field: str | None = None
    """The field of the request that is wrong."""
    part: str | None = None
    """The part of the system that is down: broker, store, index, embedder."""
    reason: str | None = None
    """Why an image cannot be used, machine-readable."""


class Result(Document):
    """One image that a search found, with its place and score."""

    image_id: str
    """The image."""
    position: int = Field(ge=1)
    """From 1."""
    score: float
    """Cosine similarity to the query, as `model` of the answer sees both."""
    tags: list[str]
    """Its tags."""
    attributes: dict[str, Any]
    """Its attributes, as they were given."""
    group_id: str | None
    """Several photos of one thing share it."""
    image_url: str
    """A clean JPEG, at most 1600 pixels long."""
    thumbnail_url: str
    """A clean JPEG, at most 320 pixels long."""


class SearchAnswer(Document):
    """A page of results, with what is needed to report clicks on it."""

    search_id: str
    """Sealed; authorises interactions with these results for 24 h."""
    session_id: str
    """The caller's, or a new one to send with the next search."""
    actor: Literal["user", "session"]
    """Whom clicks count for: the user, where one was named by a key with the scope `users`."""
    model: str
    """Digest of the model whose ranking it is."""
    generation: str
    """The generation of the index that was searched."""
    indexed_by: str
    """Digest of the model that made the vectors of this generation: `model`, or while that answers
    by a matrix on the query, the one before it."""
    feedback: bool
    """Whether this search is recorded; false while the store or the broker is down."""
    removed: dict[str, int]
    """What re-ranking took out, by reason, among images that you may see."""
    results: list[Result]
    """Best first; ties by image id."""


class Freshness(Document):
    """When the newest version passed each stage, RFC 3339."""

    occurred: str
    """When it was published, by the publisher's clock."""
    appended: str | None = None
    """When the log had it."""
    searchable: str | None = None
    """From when a query returned it, or never again; not of a rejected image."""
    seconds: float | None = None
    """`searchable` less `appended`."""


class ImageDocument(Document):
    """What is known of an image: its state, and how far it is applied."""

    image_id: str
    """The image."""
    version: int
    """The newest known."""
    applied_version: int | None
    """That which the index has; null: none yet."""
    status: Literal["pending", "indexed", "hidden", "rejected", "deleted"]
    """What became of the newest version."""
    reason: str | None = None
    """Why it was rejected, machine-readable."""
    message: str | None = None
    """Why it was rejected, for a person."""
    authority: Literal["owner", "sightline", "backfill"]
    """Who counts its versions."""
    visibility: Literal["public", "private"]
    """Who may see it."""
    moderation: Literal["allowed", "blocked"]
    """Whether the operator, or an owner's own event, hides it whatever its visibility."""
    moderation_version: int
    """The version of the operator's newest decision; 0: none was made."""
    moderation_reason: str | None
    """Why the operator decided so, for a person; null but for its owner and admins."""
    tags: list[str]
    """Its tags."""
    owner_id: str | None
    """Whose it is; null for a key that may neither write nor administer."""
    group_id: str | None
    """Several photos of one thing share it."""
    attributes: dict[str, Any]
    """The attributes that the image was given."""
    freshness: Freshness
    """Stage times."""
    image_url: str
    """A clean JPEG, at most 1600 pixels long."""
    thumbnail_url: str
    """A clean JPEG, at most 320 pixels long."""


class ModerationDocument(Document):
    """What the operator decided about an image: allowed or blocked, and why."""

    image_id: str
    """The image, known or not."""
    version: int
    """Grows with every decision about it; not the image's version."""
    moderation: Literal["allowed", "blocked"]
    """What was decided."""
    decided_by: str
    """Who decided."""
    reason: str | None
    """Why, for people."""


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


class InteractionsAnswer(Document):
    """Says that the event log has acknowledged the interactions."""

    accepted: int
    """Items in it; which of them count, the label join decides."""


class JudgementAnswer(Document):
    """Says that the event log has acknowledged the grade."""

    judged_at: str
    """From when it holds, RFC 3339; a judge's latest grade of an image for an anchor counts."""


class PartDocument(Document):
    """Whether one part of the system answers, and if not, why."""

    up: bool
    """Whether it answered when last asked."""
    reason: str
    """Why it is down, in its own words for an `admin` key; or what runs it."""
    since: str | None = None
    """When that last changed."""


class ReadinessDocument(Document):
    """Whether searches and uploads are served, and by what."""

    ready: bool
    """Whether every part is up."""
    parts: dict[str, PartDocument]
    """By name: broker, store, index, embedder."""
    runtime: str
    """What runs the model."""
    learning: bool
    """Whether `/v1/stats` and `/v1/triples` are there."""
    stopped: dict[str, str] = {}
    """Loops beside the API, such as `worker`, `bridge` or `join`, that stopped alone, and why."""
    model: str
    """The model's digest."""
    generation: str
    """The generation of the index that is served."""
    released: str | None = None
    """`NAME@DIGEST` of the model in the registry; null: the one that the settings name."""
    number: int = 1
    """How often what serves has changed, from 1; equal in all processes that serve the same."""


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


class ServingModelAnswer(Document):
    """What answers searches in this process now."""

    name: str | None
    """The model's name in the registry; null: it is the one that the settings name."""
    digest: str | None
    """Its digest there."""
    model: str
    """The digest of the model that made the vectors."""
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


class PoolsAnswer(Document):
    """The pools that there are to grade."""

    pools: list[str]
    """Names, in order."""


class PooledPicture(Document):
    """A picture that is asked by, or to be graded."""

    image_id: str
    """The image."""
    image_url: str
    """A clean JPEG, at most 1600 pixels long."""
    thumbnail_url: str
    """A clean JPEG, at most 320 pixels long."""


class GradedPicture(PooledPicture):
    """A picture to be graded, in the judge's own order."""

    grade: int | None = None
    """What this judge said of it; null: nothing yet."""


class PooledSearch(PooledPicture):
    """What is asked by, and what was found for it by any of several models."""

    images: list[GradedPicture]
    """Those that everybody may see; which model found one is not told."""


class SheetAnswer(Document):
    """The next of a pool that one judge has not graded."""

    pool: str
    """The pool's name."""
    images: int
    """How many (anchor, image) pairs the pool has."""
    graded: int
    """How many of them this judge graded."""
    anchors: list[PooledSearch]
    """In the pool's order; empty: nothing is left behind `after`."""


class AgreementAnswer(Document):
    """How far the judges of a pool agree."""

    judges: int
    """Who graded anything of it."""
    graded: int
    """(anchor, image) pairs with a grade."""
    shared: int
    """Those with grades of at least two judges."""
    kappa: float | None = None
    """Cohen's kappa with quadratic weights, the mean over pairs of judges who share at least 10:
    1 is perfect, 0 is chance; null: too little."""


ANSWERS: tuple[type[Document], ...] = (
    ProblemDocument,
    SearchAnswer,
    ImageDocument,
    ModerationDocument,
    InteractionsAnswer,
    TriplesAnswer,
    JudgementAnswer,
    PoolsAnswer,
    SheetAnswer,
    AgreementAnswer,
    ReadinessDocument,
    StatsAnswer,
    ServingModelAnswer,
    RankingsAnswer,
)
