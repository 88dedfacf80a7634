"""The values that the record of what serves is made of (docs/rollout.md)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from sightline.engine.object_store.json_record import StoredTime, StoredValue
from sightline.schemas.fields import MAX_VERSION, UnitInterval
from sightline.schemas.models import ModelName

Reference = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}@[0-9a-f]{64}$")]
"""`NAME@DIGEST`: a model of the registry."""
GenerationName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class GenerationStage(StrEnum):
    """How far a generation is; every one of them is fed with what happens."""

    FILLING = "filling"
    """It lacks images yet, or nobody has proven that it does not (any more)."""
    READY = "ready"
    """Proven equal: it may serve, or does."""
    RETIRED = "retired"
    """It served, and may again until it is dropped."""


class KnownGeneration(StoredValue):
    """One index that exists, and who fills it."""

    name: GenerationName
    model: Reference | None = None
    """Its model in the registry; None: the one that the settings name."""
    model_digest: str
    """The embedder's, as the index records it."""
    group: str
    """Begins the names of its consumer groups: `<group>-live`, `-backfill`, `-moderation`."""
    stage: GenerationStage
    made_at: StoredTime
    retired_at: StoredTime | None = None
    """Since when it serves no longer; None: it serves, or never did."""
    seeded_from: GenerationName | None = None
    """Whose features it was filled from at first."""
    by: Literal["features", "bytes"] | None = None
    """What it is filled from; None: it was the first."""

    @property
    def may_serve(self) -> bool:
        """Whether searches may be answered from it."""
        return self.stage is not GenerationStage.FILLING


class Serves(StoredValue):
    """What a search is answered by: an index, and whose queries it gets."""

    generation: GenerationName
    query_model: Reference | None = None
    """The model whose matrix the query goes through; None: the generation's own model."""

    def __str__(self) -> str:
        """What a person is told of it."""
        by = "" if self.query_model is None else f" with the queries of {self.query_model}"
        return f"{self.generation}{by}"


class Experiment(StoredValue):
    """Two that serve at once; what serves else is the control."""

    name: ModelName
    treatment: Serves
    share: UnitInterval
    """How many of the actors get the treatment."""
    salt: Annotated[str, Field(min_length=1, max_length=128)]
    """Goes into the hash that assigns actors, so that two experiments divide them differently."""
    interleave: bool = False
    """Whether each search mixes both rankings instead."""
    started_at: StoredTime


class EndedExperiment(StoredValue):
    """An experiment that ran, and what it came to; an embedded log forgets it with its process."""

    experiment: Experiment
    control: Serves
    """What served beside the treatment."""
    ended_at: StoredTime
    says: str = ""
    """What it had come to when it ended; empty: nobody could tell."""


class ServingStep(StoredValue):
    """A change of what serves, as others are told of it."""

    number: Annotated[int, Field(ge=1, le=MAX_VERSION)]
    """The state's number after it."""
    left: Serves
    """What served until then."""
    back: bool
    """Whether it was a way back."""
    at: StoredTime
    reason: str


class UntoldEvent(StoredValue):
    """What `models.v1` has still to be told, as it will be: stored with the step that it tells of.

    So no later step can take its place, and a repeat tells the same event.
    """

    id: str
    """The id that the event has, whoever tells it."""
    key: str
    """The key that its record in the log has."""
    at: StoredTime
    """When the step was made."""
    text: str
    """The event, encoded."""
