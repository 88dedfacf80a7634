"""Records of `judgements.v1` in, one verdict per (anchor, image) out (docs/labels.md, rule 18)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError
from sightline.schemas.interactions import UserErased
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.registry import decode

_BEGINNING = datetime.fromtimestamp(0, UTC)
RELEVANT_FROM, IRRELEVANT_TO = 4, 1
Pair = tuple[str, str]
"""An anchor and an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One person's grade of an image for an anchor."""

    anchor: str
    image: str
    grade: int
    """0 unrelated … 5 the same thing."""
    judge: str
    judged_at_ms: int
    event_id: str
    """Settles which of two grades at one instant is the later."""


@dataclass(frozen=True, slots=True)
class Verdict:
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


def judgements_of(messages: Iterable[Message]) -> tuple[Judgement, ...]:
    """Read the grades of a topic, without those that an erased judge gave before the erasure.

    Args:
        messages: of `judgements.v1`; unreadable records are passed over.

    Returns:
        Grades in the log's order; of records said twice, each.
    """
    found: list[Judgement] = []
    erased: dict[str, int] = {}
    for message in messages:
        try:
            event = decode(message.value)
        except ContractError:
            continue
        if isinstance(event.data, RelevanceJudged):
            found.append(_judgement(event.data, event.id))
        elif isinstance(event.data, UserErased):
            who, at_ms = event.data.user_pseudonym, milliseconds(event.data.erased_at)
            erased[who] = max(at_ms, erased.get(who, at_ms))
    return tuple(j for j in found if j.judged_at_ms >= erased.get(_person(j.judge), 0))


def verdicts_of(judgements: Sequence[Judgement]) -> dict[Pair, Verdict]:
    """Each judge's latest grade of a pair counts once; the verdict is the judges' mean."""
    latest: defaultdict[Pair, dict[str, Judgement]] = defaultdict(dict)
    for judgement in sorted(judgements, key=lambda j: (j.judged_at_ms, j.event_id)):
        latest[judgement.anchor, judgement.image][judgement.judge] = judgement
    return {
        pair: Verdict(
            grade=sum(j.grade for j in by_judge.values()) / len(by_judge),
            judged_at_ms=max(j.judged_at_ms for j in by_judge.values()),
        )
        for pair, by_judge in latest.items()
    }


def _judgement(data: RelevanceJudged, event_id: str) -> Judgement:
    return Judgement(
        anchor=data.anchor_id,
        image=data.image_id,
        grade=data.grade,
        judge=data.judge_id,
        judged_at_ms=milliseconds(data.judged_at),
        event_id=event_id,
    )


def _person(judge: str) -> str:
    """Takes the pseudonym out of `<API key>~<pseudonym>`."""
    return judge.rpartition("~")[2]


def milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970, cut, as everywhere in label data."""
    return (instant - _BEGINNING) // timedelta(milliseconds=1)
