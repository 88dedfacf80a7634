"""Polled records to moves: read, compared with the index, sent to the stage that they need."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.engine.errors import Part
from sightline.engine.ports import VectorIndex
from sightline.engine.records import IndexedImage
from sightline.schemas.envelope import ContractError
from sightline.stream_workers.delivery.retries import Patience
from sightline.stream_workers.image_log.events import read_image_event
from sightline.stream_workers.indexing.decisions import Next, facts_of, next_need, reuses_vector
from sightline.stream_workers.indexing.moves import (
    Embed,
    End,
    Expired,
    Fetch,
    Hide,
    Move,
    Unforeseen,
    Wait,
    Write,
)
from sightline.stream_workers.indexing.task import ImageTask, Judged, Planned, Polled, known_of
from sightline.stream_workers.indexing.turns import Turns

Stored = dict[str, IndexedImage]


class Planner:
    """Asks the index once for all that it is given; run it in one thread."""

    def __init__(self, index: VectorIndex, *, turns: Turns, patience: Patience) -> None:
        self._index = index
        self._turns = turns
        self._patience = patience

    def plan(self, items: Sequence[Polled | Planned]) -> list[Move]:
        """Return what each of them needs next, in their order; those that wait come first."""
        moves: list[Move] = []
        ready: list[Judged] = []
        for item in items:
            entered = self._enter(item)
            if isinstance(entered, Judged):
                ready.append(entered)
            else:
                moves.append(entered)
        if ready:
            stored = self._get({known.task.image_id for known in ready})
            for known in self._reuse(ready, stored):
                moves += _needs(known, stored.get(known.task.image_id))
        return moves

    def _enter(self, item: Polled | Planned) -> Judged | Move:
        """Return what is known of it if it may go on now."""
        if isinstance(item, Polled):
            if item.message.value is None:
                return End(item, Expired()) if self._turns.may_pass(item) else Wait(item)
            try:
                item = ImageTask(item, read_image_event(item.message))
            except ContractError as error:
                return End(item, Unforeseen("read", error))
        known = known_of(item)
        return known if self._turns.enter(known.task, item) else Wait(item)

    def _get(self, ids: set[str], *, whole: bool = False) -> Stored:
        return self._patience.until_it_works(
            Part.INDEX, lambda: self._index.get(ids, vectors=whole, features=whole)
        )

    def _reuse(self, ready: Sequence[Judged], stored: Stored) -> list[Judged]:
        """Give a verdict to those whose bytes the index has already looked at."""
        equal = {
            known.task
            for known in ready
            if next_need(known, stored.get(known.task.image_id)) is Next.BYTES
            and reuses_vector(known, stored.get(known.task.image_id))
        }
        if not equal:
            return list(ready)
        whole = self._get({task.image_id for task in equal}, whole=True)
        return [
            _reused(known, whole.get(known.task.image_id)) if known.task in equal else known
            for known in ready
        ]


def _reused(known: Judged, whole: IndexedImage | None) -> Judged:
    if whole is None or not reuses_vector(known, whole):
        return known
    return known._replace(verdict=facts_of(whole))


def _needs(known: Judged, stored: IndexedImage | None) -> list[Move]:
    match next_need(known, stored):
        case Next.NOTHING:
            return [Write(known, settled=True)]
        case Next.WRITE:
            return [Write(known)]
        case Next.BYTES:
            return _bytes(known)


def _bytes(known: Judged) -> list[Move]:
    """Return the moves that get the bytes looked at; what hides is hidden before the first look."""
    if known.fetched is None:
        hide: list[Move] = [Hide(known.task)] if known.task.hides else []
        return [*hide, Fetch(known.task)]
    held = known.fetched.held.data is not None
    return [Embed(known.fetched) if held else Fetch(known.task)]
