"""The ground truth that a person chose in, opened queries to measure models on out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sightline.engine.errors import SettingsInvalid
from sightline.engine.regular_files import open_lines
from sightline.engine.settings import Settings
from sightline.infra.commands.learning.photo_set import PhotoSet
from sightline.infra.commands.learning.picture_set import PictureSet
from sightline.infra.commands.learning.query_set import QuerySet
from sightline.infra.commands.learning.truths import clicks_held_out, judged
from sightline.infra.commands.opened_store import opened_store
from sightline.training.evaluation.strength import BY_CLICKS, STRENGTHS, Groups
from sightline.training.models.candidates import Candidate


class GroundTruth(StrEnum):
    """What tells which pictures are relevant for a query."""

    LABELS = "labels"
    """Equal labels of photos in a folder."""
    CLICKS = "clicks"
    """Clicks that a training did not see."""
    JUDGEMENTS = "judgements"
    """Grades that people gave, and no training saw."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthWishes:
    """What is to be measured on.

    Raises:
        SettingsInvalid: what belongs to one truth is given with another, or is missing.
    """

    truth: GroundTruth = GroundTruth.LABELS
    photos: Path | None = None
    """A folder with a manifest: for labels."""
    clicked: Path | None = None
    """A file with the labels that training saw clicks of, or of how many: then the gate can decide
    by labels."""
    run: Path | None = None
    """The folder of a training; by judgements it may be missing, then there is no gate."""

    def __post_init__(self) -> None:
        """Refuse what does not go together, or is missing."""
        by_labels = self.truth is GroundTruth.LABELS
        if by_labels != (self.photos is not None):
            raise SettingsInvalid("labels are those of --photos, which no other truth has")
        if self.clicked is not None and not by_labels:
            raise SettingsInvalid("--clicked names labels; of other truths the training tells it")
        if self.truth is GroundTruth.CLICKS and self.run is None:
            raise SettingsInvalid("name the training whose held-out clicks are the truth: --run")


@dataclass(frozen=True, slots=True)
class Measured:
    """What models are measured on, and by what the gate would decide."""

    queries: QuerySet
    groups: Groups | None
    """None: nobody knows what was clicked in training, so the gate cannot decide."""
    strengths: Sequence[float] = STRENGTHS
    """What the gate may choose of, weakest first."""
    judged: QuerySet | None = None
    """What people graded, beside clicks that decide; None: nobody did, or another truth decides."""


@contextmanager
def measured_on(settings: Settings, wishes: TruthWishes, first: Candidate) -> Iterator[Measured]:
    """Open the ground truth.

    Args:
        settings: the process's.
        wishes: which truth.
        first: any of the models that are measured.

    Raises:
        SettingsInvalid: there is nothing to measure on.
        PartUnavailable: the log or the store did not answer.
        RefusedToStart: the store is a directory that no process has made yet.
    """
    if wishes.photos is not None:
        clicked = None if wishes.clicked is None else clicked_labels(wishes.clicked)
        photos = PhotoSet(wishes.photos, settings.embedder, clicked=clicked)
        yield Measured(photos, photos.groups)
        return
    with opened_store(settings) as store:
        if wishes.truth is GroundTruth.CLICKS and wishes.run is not None:
            found = clicks_held_out(settings, store, wishes.run, first)
        else:
            found = judged(settings, store, wishes.run, first)
        if not len(found):
            raise SettingsInvalid(f"{found.truth()}: there is nothing to measure on")
        groups = None if wishes.run is None else found.groups
        if wishes.truth is GroundTruth.CLICKS:
            yield measured_by_clicks(found, groups)
        else:
            yield Measured(found, groups)


def measured_by_clicks(clicks: PictureSet, groups: Groups | None) -> Measured:
    """What a training did not see of the clicks, and of the grades beside them."""
    return Measured(clicks, groups, strengths=BY_CLICKS, judged=clicks.judged)


def clicked_labels(file: Path) -> dict[str, int]:
    """The labels of a file, one a line, with the number after a tab, or 0.

    Raises:
        SettingsInvalid: it cannot be read, or what follows a tab is no number of clicks.
    """
    try:
        with open_lines(file) as lines:
            told = [line.strip().partition("\t") for line in lines if line.strip()]
        return {label.strip(): int(clicks or 0) for label, _, clicks in told}
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"cannot read the labels in {file}: {error}") from error
