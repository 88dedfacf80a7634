"""What becomes of models: released or not, compared, in service, out (docs/models/registry.md)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from sightline.schemas.envelope import EventData
from sightline.schemas.fields import Contract, Id, Sha256, Time, UnitInterval

MAX_LINES = 100
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
ModelName = Annotated[str, Field(pattern=NAME_PATTERN)]
"""A model's name: lower case, so that no file system takes two names for one."""
MAX_REASON = 512
Reason = Annotated[str, Field(min_length=1, max_length=MAX_REASON)]


def reason_of(text: str) -> str:
    """A reason that every event takes, of whatever somebody said: one line, not empty, cut off."""
    return readable(text)[:MAX_REASON].strip() or "no reason was given"


def readable(text: str) -> str:
    """The same words in one line that any encoding takes and no terminal obeys."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


class GateLine(Contract):
    """One rule of the gate, and what it found."""

    rule: Annotated[str, Field(min_length=1, max_length=128)]
    """The rule."""
    outcome: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    """`passed`, or `reported` where the rule decides nothing; of a model that was not released also
    `failed` and `too_little`."""
    says: Reason
    """The measured difference, its bounds, and what they are held against."""


class ModelReleased(EventData):
    """A model passed the gate and is in the registry; nothing serves it yet."""

    TYPE: ClassVar[str] = "sightline.model.released.v1"
    SUBJECT: ClassVar[str] = "name"

    name: ModelName
    """The model; the Kafka key."""
    number: Annotated[int, Field(strict=True, ge=1)]
    """Counts the releases of this name from 1; the highest is the newest."""
    digest: Sha256
    """What the registry stores it under: SHA-256 of its `config.json`."""
    released_at: Time
    """When it was released."""
    against: Sha256 | None = None
    """The digest of the model that it was compared with; null: none of the registry."""
    gate: Annotated[tuple[GateLine, ...], Field(max_length=MAX_LINES)] = ()
    """Why it was released; empty where a person released it without a comparison."""


class ModelNotReleased(EventData):
    """A model was trained from new clicks, or was to be, and is not released."""

    TYPE: ClassVar[str] = "sightline.model.not_released.v1"
    SUBJECT: ClassVar[str] = "name"

    name: ModelName
    """The model; the Kafka key."""
    attempt: Annotated[int, Field(strict=True, ge=1)]
    """Counts the attempts of the retraining of this name from 1."""
    outcome: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    """`refused` or `too_little` by the gate; `failed` where there was nothing to decide on."""
    reason: Reason
    """Why, for a person."""
    needs: Annotated[int, Field(strict=True, ge=0)] = 0
    """How many clusters of queries more would let the gate decide; 0: it has, or none would."""
    gate: Annotated[tuple[GateLine, ...], Field(max_length=MAX_LINES)] = ()
    """What the gate said; empty where it was not asked."""
    ended_at: Time
    """When that was clear."""


class ModelPromoted(EventData):
    """A released model answers searches from now on."""

    TYPE: ClassVar[str] = "sightline.model.promoted.v1"
    SUBJECT: ClassVar[str] = "name"

    name: ModelName
    """The model; the Kafka key."""
    digest: Sha256
    """What the registry stores it under."""
    generation: Id
    """The index generation that was made with it, and is searched now."""
    replaced: Sha256 | None = None
    """The digest that served before; null: a model that is in no registry."""
    promoted_at: Time
    """When the switch was made."""


class ModelRolledBack(EventData):
    """A promoted model serves no longer; the one before it does again."""

    TYPE: ClassVar[str] = "sightline.model.rolled_back.v1"
    SUBJECT: ClassVar[str] = "name"

    name: ModelName
    """The model that serves no longer; the Kafka key."""
    digest: Sha256
    """What the registry stores it under."""
    restored: Sha256 | None = None
    """The digest that serves again; null: a model that is in no registry."""
    generation: Id
    """The index generation that is searched again."""
    reason: Reason
    """Why, for a person."""
    rolled_back_at: Time
    """When the switch was made."""


class RolloutNoted(EventData):
    """A released model is brought into service by itself, and came so far (docs/rollout.md)."""

    TYPE: ClassVar[str] = "sightline.rollout.noted.v1"
    SUBJECT: ClassVar[str] = "name"

    name: ModelName
    """The model; the Kafka key."""
    digest: Sha256
    """What the registry stores it under."""
    step: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    """`begun`; `proven`: its index may serve; or what became of it: `serves`, `refused`, `worse`,
    `rolled_back`, `left`, `failed`."""
    says: Reason
    """Why, for a person."""
    noted_at: Time
    """When that was clear."""


class GenerationNoted(EventData):
    """An index generation of a model came so far (docs/rollout.md); nothing serves by that."""

    TYPE: ClassVar[str] = "sightline.generation.noted.v1"
    SUBJECT: ClassVar[str] = "name"

    name: ModelName
    """The model; the Kafka key."""
    digest: Sha256
    """What the registry stores it under."""
    generation: Id
    """The index generation."""
    step: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    """`made`: it is being filled; `proven`: it may serve; `refused`: it was compared with what
    serves and differs; `unread`: the log forgot what it had still to read, so that it is filled
    again before it may serve; `dropped`: it is being removed."""
    says: Reason
    """Why, for a person."""
    noted_at: Time
    """When that was clear."""


class AnsweredBy(Contract):
    """What a search of one arm is answered by."""

    generation: Id
    """The index generation that is searched."""
    query_model: Annotated[str, Field(max_length=160)] | None = None
    """`NAME@DIGEST` of the model whose matrix the query goes through; null: the generation's own
    model."""


class ExperimentStarted(EventData):
    """From now on a part of the actors is answered by something else (docs/experiments.md)."""

    TYPE: ClassVar[str] = "sightline.experiment.started.v1"
    SUBJECT: ClassVar[str] = "name"

    name: ModelName
    """The experiment; the Kafka key."""
    control: AnsweredBy
    """What serves."""
    treatment: AnsweredBy
    """What it is compared with."""
    share: UnitInterval
    """How many of the actors get the treatment, or pages of both rankings, 0 to 1."""
    salt: Annotated[str, Field(min_length=1, max_length=128)]
    """Says, with an actor's id, in which arm the actor is."""
    interleave: bool
    """Whether that share gets pages of both rankings, not the treatment alone."""
    started_at: Time
    """When the first of them may have searched."""


class ExperimentStopped(EventData):
    """Everybody is answered by what serves again."""

    TYPE: ClassVar[str] = "sightline.experiment.stopped.v1"
    SUBJECT: ClassVar[str] = "name"

    name: ModelName
    """The experiment; the Kafka key."""
    finding: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    """`better`, `worse` or `equal` of the treatment; `too_little`, `void`, or `incomplete` where it
    came to nothing."""
    says: Reason
    """The deciding figure, its interval, or why there is none."""
    stopped_at: Time
    """When the last of the actors may have been answered by it."""
