"""What is known of a model's retraining in, what is to be done next out; nothing else decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sightline.engine.settings import RetrainingSettings
from sightline.training.retraining.state import Attempt, AttemptOutcome

MOST_STARTS = 5
"""An attempt that so many processes took up and none ended is given up: it may kill them."""


class Step(StrEnum):
    """One thing to do; each may be done again after a kill."""

    WAIT = "wait"
    BEGIN = "begin"
    TAKE_UP = "take_up"
    """Count this process among those that work on the attempt."""
    TRAIN = "train"
    EVALUATE = "evaluate"
    RELEASE = "release"
    END = "end"
    """Note that the attempt came to no release, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Come:
    """What has come since the last attempt."""

    triples: int = 0
    anchors: int = 0
    """Distinct ones; counted only where there are enough triples."""
    waited_s: float = 0.0
    """How long the first of the triples has waited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """Everything that the decision on the next step follows from."""

    attempt: Attempt | None = None
    """The one under way."""
    taken_up: bool = False
    """Whether this process is counted among those that work on it."""
    trained: str | None = None
    """SHA-256 of the head in the attempt's folder on this machine; None: there is none yet."""
    come: Come = Come()
    """Counted only where no attempt is under way."""
    asked: bool = False
    """Whether a person wants an attempt now."""


def next_retraining_step(seen: Observed, settings: RetrainingSettings) -> Step:
    """What is to be done; the same for equal arguments, whoever asks."""
    if seen.attempt is None:
        return Step.BEGIN if _is_due(seen, settings) else Step.WAIT
    return _go_on(seen, seen.attempt)


def _is_due(seen: Observed, settings: RetrainingSettings) -> bool:
    come = seen.come
    if not come.triples:
        return seen.asked
    old = 0 < settings.age_s <= come.waited_s
    many = come.triples >= settings.triples and come.anchors >= settings.anchors
    return seen.asked or old or many


def _go_on(seen: Observed, attempt: Attempt) -> Step:
    if attempt.digest is not None:
        return Step.RELEASE
    if attempt.starts > MOST_STARTS:
        return Step.END
    if not seen.taken_up:
        return Step.TAKE_UP
    if seen.trained is None:
        return Step.TRAIN
    if attempt.judged is None or attempt.judged.head != seen.trained:
        return Step.EVALUATE
    return Step.RELEASE if attempt.judged.outcome is AttemptOutcome.RELEASED else Step.END
