"""Canonical examples of the label loop's events: what people did, and what is made of it."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

from sightline.schemas.audit import AccessRecorded, Decision
from sightline.schemas.documents.examples_images import GENERATION, HASH, IMAGE, MODEL, NOON
from sightline.schemas.envelope import EventData
from sightline.schemas.interactions import (
    ClockTicked,
    Interaction,
    Kind,
    ResultsInteracted,
    UserErased,
)
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.labels import (
    EpochClosed,
    EpochDone,
    GradedImage,
    RetractionCause,
    SearchClosed,
    SearchesClosed,
    Stage,
    TripleMined,
    TripleMinedV1,
    TripleRetracted,
    Verdict,
)
from sightline.schemas.late import InteractionsOmitted, Omission, OmissionReason, OmittedKind
from sightline.schemas.search_metrics import SearchMetricsCounted
from sightline.schemas.searches import ImageQuery

_SEARCH = "example-search"
_ANCHOR, _OTHER, _ACTOR = "lamp-4700", "lamp-4712", "user-5d41402abc4b2a76"
_EPOCH = int(NOON.timestamp()) // 600
_QUERY = ImageQuery(image_id=_ANCHOR)
_TRIPLE_ID = sha256(f"2|{_SEARCH}|{_ANCHOR}|{IMAGE}|{_OTHER}".encode()).hexdigest()

_INTERACTED = ResultsInteracted(
    search_id=_SEARCH,
    issued_at=NOON,
    actor_id=_ACTOR,
    received_at=NOON + timedelta(seconds=9),
    items=(
        Interaction(
            event_id="click-1",
            kind=Kind.CLICKED,
            image_id=IMAGE,
            position=2,
            since_answer_ms=4_200,
            dwell_ms=12_500,
        ),
        Interaction(
            event_id="view-1",
            kind=Kind.VIEWED,
            image_id=_OTHER,
            position=1,
            since_answer_ms=900,
            in_view_ms=3_000,
        ),
    ),
)
_OMITTED = InteractionsOmitted(
    topic="interactions.v1",
    partition=4,
    offset=1_207,
    search_id=_SEARCH,
    issued_at=NOON,
    actor_id=_ACTOR,
    omitted=(
        Omission(
            index=0,
            event_id="click-1",
            kind=OmittedKind.CLICKED,
            image_id=IMAGE,
            reason=OmissionReason.DUPLICATE,
        ),
    ),
)
_JUDGED = RelevanceJudged(
    anchor_id=_ANCHOR,
    image_id=IMAGE,
    grade=5,
    judge_id="lab~u-0f343b0931126a20f133d67c2b018a3b",
    judged_at=NOON,
    query=_QUERY,
)
_CLOSED = SearchesClosed(
    source_partition=4,
    epoch=_EPOCH,
    searches=(
        SearchClosed(
            search_id=_SEARCH,
            issued_at=NOON,
            actor_id=_ACTOR,
            actor_pairs=1,
            anchor_id=_ANCHOR,
            anchor_perceptual_hash=HASH,
            query=_QUERY,
            model_digest=MODEL,
            generation=GENERATION,
            variant="default",
            verdict=Verdict.PERSON,
            examined=2,
            shown=(
                GradedImage(
                    image_id=_OTHER, position=1, score=0.93, perceptual_hash=HASH[::-1], grade=0
                ),
                GradedImage(
                    image_id=IMAGE,
                    position=2,
                    score=0.91,
                    perceptual_hash=HASH,
                    grade=3,
                    clicks=1,
                    dwell_ms=12_500,
                ),
            ),
        ),
    ),
)
_MINED = TripleMined(
    anchor_id=_ANCHOR,
    positive_id=IMAGE,
    negative_id=_OTHER,
    grade=3,
    positive_position=2,
    negative_position=1,
    positive_score=0.91,
    negative_score=0.93,
    sampling_weight=1,
    search_id=_SEARCH,
    issued_at=NOON,
    epoch=_EPOCH,
    actor_id=_ACTOR,
    query=_QUERY,
    anchor_perceptual_hash=HASH,
    positive_perceptual_hash=HASH,
    negative_perceptual_hash=HASH[::-1],
    model_digest=MODEL,
    generation=GENERATION,
    variant="default",
    rules_version="2",
)
_COUNTED = SearchMetricsCounted(
    variant="default",
    model_digest=MODEL,
    epoch=_EPOCH,
    source_topic="interactions.v1",
    source_partition=4,
    epoch_start=NOON,
    searches=1,
    bot_searches=0,
    empty_searches=0,
    images_shown=2,
    images_clicked=1,
    clicks=1,
    likes=0,
    shares=0,
    conversions=0,
    searches_converted=0,
    dwell_ms=12_500,
    dwells=1,
    actors=(sha256(_ACTOR.encode()).hexdigest()[:16],),
)

_REFUSED = AccessRecorded(
    decision=Decision.REFUSED,
    who="address 192.0.2.7",
    address="192.0.2.7",
    action="GET /v1/images/{image_id}",
    status=401,
    count=299,
    first_at=NOON,
    last_at=NOON,
)

LABEL_EXAMPLES: tuple[EventData, ...] = (
    _INTERACTED,
    _REFUSED,
    ClockTicked(ticker_id="label-join-1"),
    UserErased(user_pseudonym=_ACTOR, erased_at=NOON),
    _OMITTED,
    _JUDGED,
    _CLOSED,
    EpochClosed(source_partition=4, first_epoch=_EPOCH, epoch=_EPOCH),
    EpochDone(
        stage=Stage.JOIN,
        topic="interactions.v1",
        partition=4,
        first_epoch=_EPOCH,
        epoch=_EPOCH,
        closed_at_offset=2_048,
    ),
    _MINED,
    TripleMinedV1(**dict(_MINED) | {"rules_version": "1"}),
    TripleRetracted(
        triple_id=_TRIPLE_ID,
        anchor_id=_ANCHOR,
        cause=RetractionCause.USER_ERASED,
        cause_event_id="example-user-erased",
    ),
    _COUNTED,
)
