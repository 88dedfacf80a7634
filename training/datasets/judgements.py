"""Grades of people in, one verdict per (anchor, image) out (docs/labels.md, rule 18)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.engine.label_data.judgements import Grade, Pair, latest_of

RELEVANT_FROM, IRRELEVANT_TO = 4, 1


@dataclass(frozen=True, slots=True)
class JudgesVerdict:
    """What all judges together say of an image for an anchor."""

    grade: float
    """The mean over judges of each one's latest grade."""
    judged_at_ms: int
    """When the last of them said so."""

    @property
    def relevant(self) -> bool:
        """Whether it is a positive, whatever was clicked."""
        return self.grade >= RELEVANT_FROM

    @property
    def irrelevant(self) -> bool:
        """Whether it is an explicit negative, whatever was clicked."""
        return self.grade <= IRRELEVANT_TO


def verdicts_of(judgements: Sequence[Grade]) -> dict[Pair, JudgesVerdict]:
    """Each judge's latest grade of a pair counts once; the verdict is the judges' mean."""
    return {
        pair: JudgesVerdict(
            grade=sum(j.grade for j in by_judge.values()) / len(by_judge),
            judged_at_ms=max(j.judged_at_ms for j in by_judge.values()),
        )
        for pair, by_judge in latest_of(judgements).items()
    }
