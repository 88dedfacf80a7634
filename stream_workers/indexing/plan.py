"""Polled messages to decided events: read, compared with the index, sent to the stage they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sightline.engine.errors import Part
from sightline.engine.ports import VectorIndex
from sightline.engine.records import IndexedImage
from sightline.schemas.envelope import ContractError
from sightline.stream_workers.delivery.retries import Patience
from sightline.stream_workers.indexing.decisions import Next, decide, facts_of, hides, reuses_vector
from sightline.stream_workers.indexing.lane_queue import LaneQueue
from sightline.stream_workers.indexing.task import (
    ImageTask,
    PictureFacts,
    Polled,
    Rejection,
    read_image_event,
)
from sightline.stream_workers.indexing.turns import SharedEmbeddings, Turns

_PLAN_AT_ONCE = 64


class Routes(NamedTuple):
    """Where the planner sends events."""

    write: Callable[[ImageTask], None]
    """Apply what the task has a verdict for, or only learn how it stands."""
    hide: Callable[[ImageTask], None]
    """Apply its provisional state at once."""
    fetch: Callable[[ImageTask], None]
    embed: Callable[[ImageTask], None]
    wait: Callable[[Polled | ImageTask], None]
    """It waits for another event: `Turns` or `SharedEmbeddings` give it back."""
    malformed: Callable[[Polled, ContractError], None]
    ignore: Callable[[Polled], None]


class Planner:
    """One turn takes what is queued, asks the index once, and routes each event."""

    def __init__(
        self,
        queue: LaneQueue[Polled | ImageTask],
        index: VectorIndex,
        *,
        turns: Turns,
        shared: SharedEmbeddings,
        patience: Patience,
        routes: Routes,
    ) -> None:
        self._queue = queue
        self._index = index
        self._turns = turns
        self._shared = shared
        self._patience = patience
        self._routes = routes

    def turn(self) -> None:
        """Plan up to 64 events."""
        items = self._queue.take(_PLAN_AT_ONCE, 0.1)
        tasks = [task for item in items if (task := self._read(item)) and self._enter(task)]
        if not tasks:
            return
        stored = self._get({task.image_id for task in tasks})
        self._reuse(tasks, stored)
        for task in tasks:
            self._route(task, stored.get(task.image_id))

    def _enter(self, task: ImageTask) -> bool:
        entered = self._turns.enter(task)
        if not entered:
            self._routes.wait(task)
        return entered

    def _read(self, item: Polled | ImageTask) -> ImageTask | None:
        if isinstance(item, ImageTask):
            return item
        if item.message.value is None:
            passes = self._turns.may_pass(item)
            (self._routes.ignore if passes else self._routes.wait)(item)
            return None
        try:
            event = read_image_event(item.message)
        except ContractError as error:
            self._routes.malformed(item, error)
            return None
        return ImageTask(
            message=item.message,
            lane=item.lane,
            event=event,
            ledger=item.ledger,
            consumed=item.consumed,
        )

    def _get(self, ids: set[str], *, vectors: bool = False) -> dict[str, IndexedImage]:
        return self._patience.until_it_works(
            Part.INDEX, lambda: self._index.get(ids, vectors=vectors)
        )

    def _reuse(self, tasks: Iterable[ImageTask], stored: dict[str, IndexedImage]) -> None:
        """Give a verdict to those whose bytes the index has already looked at."""
        equal = [
            task
            for task in tasks
            if decide(task, stored.get(task.image_id)) is Next.WRITE
            and task.verdict is None
            and reuses_vector(task, stored.get(task.image_id))
        ]
        if not equal:
            return
        whole = self._get({task.image_id for task in equal}, vectors=True)
        for task in equal:
            image = whole.get(task.image_id)
            if image is not None and reuses_vector(task, image):
                task.verdict = facts_of(image)

    def _route(self, task: ImageTask, stored: IndexedImage | None) -> None:
        needs = decide(task, stored)
        task.settled = needs is Next.NOTHING
        if needs is Next.WRITE and task.verdict is None and task.state.object is not None:
            needs = Next.BYTES  # the equal bytes' vector was overwritten between the two reads
        if needs is Next.BYTES:
            self._bytes(task)
        else:
            self._routes.write(task)

    def _bytes(self, task: ImageTask) -> None:
        if hides(task) and not task.hide_sent:
            task.hide_sent = True
            self._routes.hide(task)
        if task.data is None:
            self._routes.fetch(task)
        else:
            self.share(task)

    def share(self, task: ImageTask) -> None:
        """Its bytes are here and are what was promised: embed them, unless equal ones are.

        Only bytes that were read count as equal: a digest that an event merely claims would let a
        publisher end up with the verdict, and the renditions, of pictures that it does not have.
        """
        if task.content_sha256 is None:
            raise AssertionError("only verified bytes are shared")
        joined = self._shared.join(task, task.content_sha256)
        if isinstance(joined, PictureFacts | Rejection):
            task.verdict = joined
            self._routes.write(task)
        elif joined:
            self._routes.embed(task)
        else:
            self._routes.wait(task)
