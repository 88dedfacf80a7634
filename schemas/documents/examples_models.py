"""Canonical examples of what becomes of models."""

from __future__ import annotations

from hashlib import sha256

from sightline.schemas.documents.examples_images import GENERATION, NOON
from sightline.schemas.envelope import EventData
from sightline.schemas.models import (
    AnsweredBy,
    ExperimentStarted,
    ExperimentStopped,
    GateLine,
    GenerationNoted,
    ModelNotReleased,
    ModelPromoted,
    ModelReleased,
    ModelRolledBack,
    RolloutNoted,
)

_NAME = "shop-clicks"
_DIGEST, _BEFORE = (sha256(f"example {which}".encode()).hexdigest() for which in ("two", "one"))

MODEL_EXAMPLES: tuple[EventData, ...] = (
    ModelReleased(
        name=_NAME,
        number=2,
        digest=_DIGEST,
        released_at=NOON,
        against=_BEFORE,
        gate=(
            GateLine(
                rule="better where clicked",
                outcome="passed",
                says="mAP +0.1062 [+0.0904, +0.1241] p 0.000 (737 queries in 42 clusters)",
            ),
        ),
    ),
    ModelNotReleased(
        name=_NAME,
        attempt=3,
        outcome="too_little",
        reason="not worse where not clicked: too_little; 31 clusters more would decide",
        needs=31,
        gate=(
            GateLine(
                rule="not worse where not clicked",
                outcome="too_little",
                says="mAP +0.0021 [-0.0104, +0.0148] p 0.710 (212 queries in 49 clusters)",
            ),
        ),
        ended_at=NOON,
    ),
    ModelPromoted(
        name=_NAME, digest=_DIGEST, generation=GENERATION, replaced=_BEFORE, promoted_at=NOON
    ),
    ModelRolledBack(
        name=_NAME,
        digest=_DIGEST,
        restored=_BEFORE,
        generation=GENERATION,
        reason="fewer clicks per search in the first hour",
        rolled_back_at=NOON,
    ),
    ExperimentStarted(
        name="clicks-in-may",
        control=AnsweredBy(generation=GENERATION),
        treatment=AnsweredBy(generation=GENERATION, query_model=f"{_NAME}@{_DIGEST}"),
        share=0.5,
        salt="clicks-in-may.5f1d7e84c0a9b263",
        interleave=False,
        started_at=NOON,
    ),
    ExperimentStopped(
        name="clicks-in-may",
        finding="better",
        says="ctr +6.1% [+1.2%, +11.3%]",
        stopped_at=NOON,
    ),
    RolloutNoted(
        name=_NAME,
        digest=_DIGEST,
        step="rolled_back",
        says="errors: 4.10% of 2310 searches fail, 0.02% did before",
        noted_at=NOON,
    ),
    GenerationNoted(
        name=_NAME,
        digest=_DIGEST,
        generation=GENERATION,
        step="proven",
        says="proven equal to g0: 123456 images compared",
        noted_at=NOON,
    ),
)
