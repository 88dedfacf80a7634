"""The router: every arrow of the index worker, from stage to stage, in one match statement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sightline.engine.ports import Clock
from sightline.schemas.indexed import Lane
from sightline.stream_workers.image_log.winners import Passed
from sightline.stream_workers.indexing.commit import Durability, Finished
from sightline.stream_workers.indexing.equal_bytes import SharedEmbeddings
from sightline.stream_workers.indexing.lane_queue import LaneQueue
from sightline.stream_workers.indexing.lane_room import LaneRoom
from sightline.stream_workers.indexing.moves import (
    Again,
    Applied,
    Embed,
    End,
    Fetch,
    FetchNow,
    Hide,
    Move,
    Plan,
    Share,
    Unforeseen,
    Wait,
    Write,
)
from sightline.stream_workers.indexing.outcomes import Outcomes
from sightline.stream_workers.indexing.task import (
    Fetched,
    ImageTask,
    Judged,
    Planned,
    Polled,
    known_of,
    passed_of,
)
from sightline.stream_workers.indexing.turns import Turns

T = TypeVar("T")


class Router:
    """Carries out the moves that stages return; safe from the threads of all stages.

    Args:
        embedders: threads among which what waits to be embedded is shared out.
        room: counts who is between poll and commit; one that waits is parked there.
        turns: gives back who waited for an event that has ended.
        outcomes: tells what became of an event.
        durability: takes what has ended, to commit its offset once it is durable.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        embedders: int,
        room: LaneRoom,
        turns: Turns,
        outcomes: Outcomes,
        durability: Durability,
    ) -> None:
        self.to_plan: LaneQueue[Polled | Planned] = LaneQueue(clock)
        self.to_fetch: LaneQueue[Fetch] = LaneQueue(clock)
        self.to_embed: LaneQueue[Fetched] = LaneQueue(clock, takers=embedders)
        self.to_write: LaneQueue[Hide | Write] = LaneQueue(clock)
        self._room = room
        self._turns = turns
        self._shared = SharedEmbeddings()
        self._outcomes = outcomes
        self._durability = durability

    @property
    def queues(self) -> dict[str, LaneQueue[Any]]:
        """The queue of each stage, by the stage's name."""
        return {
            "plan": self.to_plan,
            "fetch": self.to_fetch,
            "embed": self.to_embed,
            "apply": self.to_write,
        }

    def turn(
        self, take: Callable[[float], list[T]], work: Callable[[list[T]], Iterable[Move]]
    ) -> Callable[[float], bool]:
        """Return a stage's turn: wait so long for work, do it, route it; false if none came."""

        def turn(wait_s: float) -> bool:
            items = take(wait_s)
            if items:
                self.route(work(items))
            return bool(items)

        return turn

    def take_to_fetch(self, backfill_ahead: int, wait_s: float) -> list[Fetch]:
        """Take one object to read; of backfill, while fewer than so many wait to be embedded."""
        fetches = self.to_fetch.take(
            1,
            wait_s,
            backfill_most=lambda: int(self.to_embed.depth(Lane.BACKFILL) < backfill_ahead),
        )
        for fetch in fetches:
            if fetch.attempts:
                self._room.unpark(fetch.task.lane)
        return fetches

    def take_to_embed(
        self, most: int, backfill_most: Callable[[], int], wait_s: float
    ) -> list[Fetched]:
        """Take a batch to embed, which makes room for more backfill to be fetched."""
        batch = self.to_embed.take(most, wait_s, backfill_most=backfill_most)
        if batch:
            self.to_fetch.kick()
        return batch

    def route(self, moves: Iterable[Move]) -> None:
        """Carry out the moves that a stage returned, in their order."""
        for move in moves:
            self._carry_out(move)

    def _carry_out(self, move: Move) -> None:  # noqa: C901  every arrow on one screen
        match move:
            case Plan(lane, polled):
                self._room.enter(lane, len(polled))
                self.to_plan.put(lane, polled)
            case Hide(task):
                self.to_write.put(task.lane, [move], urgent=True)
            case Fetch(task):
                if move.attempts:
                    self._room.park(task.lane)  # until it is taken
                self.to_fetch.put(task.lane, [move], after_s=move.after_s)
            case FetchNow():
                self.to_fetch.hurry()
            case Embed(fetched):
                self._lead_or_follow(fetched)
            case Share(judged):
                self._carry_out(Write(judged))
                self._write_followers(judged)
            case Write(judged, settled):
                _let_go(judged)
                urgent = judged.task.hides and not settled
                self.to_write.put(judged.lane, [move], urgent=urgent)
            case Wait(item):
                _let_go(item)
                self._room.park(item.lane)
            case Again(item, after_s):
                self.to_plan.put(item.lane, [item], after_s=after_s)
            case End():
                self._end(move)

    def _lead_or_follow(self, fetched: Fetched) -> None:
        """Embed the bytes, unless equal ones are embedded or about to be."""
        joined = self._shared.join(fetched)
        if joined is True:
            self.to_embed.put(fetched.lane, [fetched])
        elif joined is False:
            self._carry_out(Wait(fetched))
        else:
            self._carry_out(Write(Judged(fetched.task, joined, fetched)))

    def _write_followers(self, judged: Judged) -> None:
        """Write all who waited for the verdict on equal bytes."""
        if judged.fetched is None or judged.verdict is None:
            raise AssertionError("only a verdict on bytes that were read is shared")
        followers = self._shared.resolve(judged.fetched.content_sha256, judged.verdict)
        for follower in followers:
            self._room.unpark(follower.lane)
            self._carry_out(Write(Judged(follower.task, judged.verdict, follower)))

    def _end(self, end: End) -> None:
        item = end.item
        letter = self._outcomes.tell(end)
        self._durability.add(
            Finished(item if isinstance(item, Polled) else item.polled, _passed(end), letter)
        )
        if isinstance(item, ImageTask):
            if isinstance(end.ending, Unforeseen):  # it may lead others, and came to no verdict
                self._resume(self._shared.abandon(item))
            self._resume(self._turns.leave(item))
        self._room.leave(item.lane)

    def _resume(self, waiting: Iterable[Polled | Planned]) -> None:
        """Plan again what waited for an event that has ended."""
        for item in waiting:
            self._room.unpark(item.lane)
            self.to_plan.put(item.lane, [item])


def _passed(end: End) -> Passed | None:
    """What compaction might lose by the record; None: nothing, as where it is the winner itself."""
    passed = passed_of(end.item)
    if passed is None or not isinstance(end.ending, Applied):
        return passed
    return None if end.ending.stored.winner == passed.location else passed


def _let_go(item: Polled | Planned) -> None:
    """Release the item's bytes from the budget, so that it keeps no other from being fetched."""
    fetched = None if isinstance(item, Polled) else known_of(item).fetched
    if fetched is not None:
        fetched.held.let_go()
