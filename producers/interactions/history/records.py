"""Rows of a site's own log in, the records of an interaction topic out, in order of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic import ValidationError

from sightline.engine.search_ids import SearchIds
from sightline.producers.images.ids import event_id_of
from sightline.producers.interactions.history.rows import HistoryRow, Numbered, RowRefused, Said
from sightline.schemas.envelope import ContractError, Event, EventData
from sightline.schemas.interactions import (
    DAY_MS,
    ClockTicked,
    Interaction,
    Kind,
    ResultsInteracted,
)
from sightline.schemas.searches import (
    IMPORTED_GENERATION,
    ImageQuery,
    ResultsShown,
    ShownImage,
)

SOURCE = "/sightline/import"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEP = 1e-3
"""How much the score falls with each position where the log has none."""


class HistoryRecord(NamedTuple):
    """One record on its way; `key` None: a tick, which goes to every partition."""

    timestamp_ms: int
    key: str | None
    value: bytes


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the interactions with a page need of it."""

    issued_at: datetime
    actor_id: str


def records_of(
    rows: Sequence[Numbered], ids: SearchIds
) -> tuple[list[HistoryRecord], list[RowRefused]]:
    """The records of a log in order of time, a page before what was done with it.

    Rows `shown` of one search become one page, issued at the earliest of them. What was done with a
    search that is not in the log is told all the same: the join says `no_impression`.

    Args:
        ids: makes the pseudonyms, under the deployment's secret.
    """
    shown: dict[str, list[Numbered]] = defaultdict(list)
    done: list[Numbered] = []
    for one in rows:
        if one.row.event is Said.SHOWN:
            shown[one.row.search_id].append(one)
        else:
            done.append(one)
    found: list[tuple[int, int, int, HistoryRecord]] = []
    refused: list[RowRefused] = []
    pages: dict[str, _Asked] = {}
    for search_id, lines in shown.items():
        try:
            page = _page(search_id, [line.row for line in lines], ids)
        except ValueError as error:
            refused += [RowRefused(line.number, _reason(error)) for line in lines]
            continue
        pages[search_id] = _Asked(page.issued_at, page.actor_id)
        found.append(_placed(page, f"{search_id}.shown", page.issued_at, 0, lines[0].number))
    for one in done:
        try:
            beacon = _beacon(one.row, pages.get(one.row.search_id), ids)
        except ValueError as error:
            refused.append(RowRefused(one.number, _reason(error)))
            continue
        name = beacon.items[0].event_id
        found.append(_placed(beacon, name, beacon.received_at, 1, one.number))
    found.sort(key=lambda one: one[:3])
    return [record for *_, record in found], refused


def with_ticks(
    records: Iterable[HistoryRecord], *, epoch_ms: int, from_ms: int, closing_ms: int | None
) -> Iterator[HistoryRecord]:
    """The records with a tick at the start of each epoch that has any, and one that closes all.

    Args:
        epoch_ms: E.
        from_ms: no tick is earlier: the topic's last timestamp.
        closing_ms: so long after the last record comes the closing tick; None: none.
    """
    epoch, last = -1, from_ms
    for record in records:
        if record.timestamp_ms // epoch_ms > epoch:
            epoch = record.timestamp_ms // epoch_ms
            yield _tick(max(last, epoch * epoch_ms))
        yield record
        last = record.timestamp_ms
    if closing_ms is not None:
        yield _tick(last + closing_ms)


def moment_of(timestamp_ms: int) -> datetime:
    """Converts milliseconds since 1970 to an instant in UTC."""
    return _EPOCH + timedelta(milliseconds=timestamp_ms)


def _page(search_id: str, rows: Sequence[HistoryRow], ids: SearchIds) -> ResultsShown:
    first = rows[0]
    anchors = {row.anchor_id for row in rows}
    actors = {_actor(row, ids) for row in rows}
    if len(anchors) > 1 or len(actors) > 1:
        raise ValueError(f"search {search_id} has more than one anchor or visitor")
    anchor, actor = anchors.pop() or "", actors.pop() or ""
    pseudonym = None if first.user_id is None else ids.pseudonym(first.user_id)
    return ResultsShown(
        search_id=search_id,
        issued_at=min(row.time for row in rows),
        actor_id=actor,
        session_id=first.session_id or actor,
        user_pseudonym=pseudonym,
        anchor_id=anchor,
        query=ImageQuery(image_id=anchor),
        anchor_perceptual_hash=first.anchor_perceptual_hash or _like_no_other(anchor),
        shown=tuple(_shown([row for row in rows if row.image_id is not None])),
        model_digest=first.model or IMPORTED_GENERATION,
        generation=IMPORTED_GENERATION,
        variant=first.variant or "default",
    )


def _shown(rows: Iterable[HistoryRow]) -> Iterator[ShownImage]:
    placed = [(row.position or number, row) for number, row in enumerate(rows, start=1)]
    for position, row in sorted(placed, key=lambda one: one[0]):
        image_id = row.image_id or ""
        yield ShownImage(
            image_id=image_id,
            position=position,
            score=1 - position * _STEP if row.score is None else row.score,
            perceptual_hash=row.perceptual_hash or _like_no_other(image_id),
        )


def _beacon(row: HistoryRow, page: _Asked | None, ids: SearchIds) -> ResultsInteracted:
    actor = page.actor_id if page is not None else _actor(row, ids)
    if actor is None:
        raise ValueError("its search is not in the log, and it names no session_id or user_id")
    issued = page.issued_at if page is not None else row.time
    since_ms = _milliseconds(row.time) - _milliseconds(issued)
    said = row.model_dump_json(exclude={"user_id", "session_id"})
    item = Interaction(
        event_id=row.event_id or event_id_of(SOURCE, row.event, said),
        kind=Kind(row.event),
        image_id=row.image_id or "",
        position=row.position,
        since_answer_ms=since_ms if 0 <= since_ms <= DAY_MS else None,
        in_view_ms=row.in_view_ms,
        dwell_ms=row.dwell_ms,
    )
    return ResultsInteracted(
        search_id=row.search_id,
        issued_at=issued,
        actor_id=actor,
        received_at=row.time,
        items=(item,),
    )


def _actor(row: HistoryRow, ids: SearchIds) -> str | None:
    return row.session_id if row.user_id is None else ids.pseudonym(row.user_id)


def _like_no_other(image_id: str) -> str:
    """256 bits that are far from any other image's: the near-duplicate guard then sees nothing."""
    return sha256(image_id.encode()).hexdigest()


def _placed(
    data: ResultsShown | ResultsInteracted, name: str, at: datetime, rank: int, number: int
) -> tuple[int, int, int, HistoryRecord]:
    at_ms = _milliseconds(at)
    value = _written(data, event_id_of(SOURCE, data.TYPE, name), at)
    return at_ms, rank, number, HistoryRecord(at_ms, data.actor_id, value)


def _tick(at_ms: int) -> HistoryRecord:
    tick = ClockTicked(ticker_id="import")
    return HistoryRecord(at_ms, None, _written(tick, f"tick-{at_ms}", moment_of(at_ms)))


def _written(data: EventData, event_id: str, at: datetime) -> bytes:
    event: Event[Any] = Event.of(data, event_id=event_id, source=SOURCE, time=at)
    return event.encode()


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _reason(error: ValueError) -> str:
    return str(ContractError.of(error)) if isinstance(error, ValidationError) else str(error)
