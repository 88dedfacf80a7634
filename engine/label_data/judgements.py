"""Records of `judgements.v1` in, the grades that hold out (docs/labels.md, rule 18)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sightline.engine.event_log.events import events_in
from sightline.engine.records import Message
from sightline.engine.search_ids import JUDGED_WITH
from sightline.schemas.envelope import ContractError
from sightline.schemas.interactions import UserErased
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.registry import decode

_BEGINNING = datetime.fromtimestamp(0, UTC)
CLOCKS_DIFFER = timedelta(minutes=5)
"""At most so much between those who erase and the broker."""
Pair = tuple[str, str]
"""An anchor and an image."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """One person's grade of an image for an anchor."""

    anchor: str
    image: str
    grade: int
    """0 unrelated … 5 the same thing."""
    judge: str
    judged_at_ms: int
    appended_ms: int
    """When the log took it, in milliseconds since 1970."""
    event_id: str
    """Settles which of two grades at one instant is the later."""

    @property
    def pair(self) -> Pair:
        """What was judged: the anchor, and the image for it."""
        return self.anchor, self.image

    @property
    def later(self) -> tuple[int, str]:
        """Orders grades of one judge and pair: the greatest holds."""
        return self.judged_at_ms, self.event_id


def judgements_of(messages: Iterable[Message]) -> tuple[Grade, ...]:
    """Read the grades of a topic, without those that an erased judge gave before the erasure.

    Args:
        messages: of `judgements.v1`; unreadable records are passed over.

    Returns:
        Grades in the log's order; of records said twice, each.
    """
    found: list[Grade] = []
    erased: dict[str, int] = {}
    for message, event in events_in(messages):
        if isinstance(event.data, RelevanceJudged):
            found.append(_judgement(event.data, event.id, message))
        elif isinstance(event.data, UserErased):
            who, at_ms = event.data.user_pseudonym, _erased_ms(event.data, message)
            erased[who] = max(at_ms, erased.get(who, at_ms))
    return tuple(j for j in found if j.judged_at_ms >= erased.get(_person(j.judge), 0))


def latest_of(judgements: Iterable[Grade]) -> dict[Pair, dict[str, Grade]]:
    """The grade of each judge that holds, by pair and judge, whatever the order of the records."""
    latest: dict[Pair, dict[str, Grade]] = {}
    for judgement in judgements:
        _keep_latest(latest, judgement)
    return latest


class HeldJudgements:
    """The grades that hold so far: one per judge and pair; safe across threads."""

    def __init__(self) -> None:
        self._held: dict[Pair, dict[str, Grade]] = {}
        self._erased: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, message: Message) -> None:
        """Take one record of the topic; repeats and unreadable ones change nothing."""
        try:
            event = decode(message.value)
        except ContractError as error:
            _log.warning("an unreadable judgement at %s: %s", message.offset, error)
            return
        with self._lock:
            if isinstance(event.data, RelevanceJudged):
                judgement = _judgement(event.data, event.id, message)
                if judgement.judged_at_ms >= self._erased.get(_person(judgement.judge), 0):
                    _keep_latest(self._held, judgement)
            elif isinstance(event.data, UserErased):
                self._erase(event.data.user_pseudonym, _erased_ms(event.data, message))

    def of(self, pairs: Iterable[Pair]) -> dict[Pair, dict[str, Grade]]:
        """What each judge says of some pairs; pairs that nobody judged are left out."""
        with self._lock:
            return {pair: dict(self._held[pair]) for pair in pairs if self._held.get(pair)}

    def _erase(self, person: str, erased_at_ms: int) -> None:
        self._erased[person] = max(erased_at_ms, self._erased.get(person, erased_at_ms))
        for pair, by_judge in list(self._held.items()):
            for judge, judgement in list(by_judge.items()):
                if _person(judge) == person and judgement.judged_at_ms < erased_at_ms:
                    del by_judge[judge]
            if not by_judge:
                del self._held[pair]


def _keep_latest(latest: dict[Pair, dict[str, Grade]], judgement: Grade) -> None:
    by_judge = latest.setdefault(judgement.pair, {})
    before = by_judge.get(judgement.judge)
    if before is None or judgement.later > before.later:
        by_judge[judgement.judge] = judgement


def _judgement(data: RelevanceJudged, event_id: str, message: Message) -> Grade:
    return Grade(
        anchor=data.anchor_id,
        image=data.image_id,
        grade=data.grade,
        judge=data.judge_id,
        judged_at_ms=milliseconds(data.judged_at),
        appended_ms=milliseconds(message.timestamp),
        event_id=event_id,
    )


def _erased_ms(erasure: UserErased, message: Message) -> int:
    """The erasure's time, at most `CLOCKS_DIFFER` after the log's: later would drop new grades."""
    latest = message.timestamp + CLOCKS_DIFFER
    return milliseconds(min(erasure.erased_at, latest))


def _person(judge: str) -> str:
    """Takes the pseudonym out of `<API key>~<pseudonym>`."""
    return judge.rpartition(JUDGED_WITH)[2]


def milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970, cut, as everywhere in label data."""
    return (instant - _BEGINNING) // timedelta(milliseconds=1)
