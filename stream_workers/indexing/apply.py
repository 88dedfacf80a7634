"""Decided events to the index, in batches; then what became of each is read back and told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from sightline.engine.errors import Part
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, VectorIndex
from sightline.engine.records import IndexedImage, Stage
from sightline.schemas.indexed import Outcome
from sightline.stream_workers.delivery.retries import Patience
from sightline.stream_workers.indexing.decisions import (
    Standing,
    final_outcome,
    may_write,
    standing,
)
from sightline.stream_workers.indexing.lane_queue import LaneQueue
from sightline.stream_workers.indexing.outcome_events import Applied, times_of_repeat
from sightline.stream_workers.indexing.task import ImageTask

_APPLY_AT_ONCE = 64


class Write(NamedTuple):
    """One write that waits: the provisional one that hides, or the final one."""

    task: ImageTask
    stage: Stage


class ApplyRoutes(NamedTuple):
    """Where applied events go."""

    applied: Callable[[Applied], None]
    plan_again: Callable[[ImageTask], None]
    """The index neither has it nor something higher."""


class Applier:
    """One turn writes what is queued, what hides first; run it in one thread."""

    def __init__(
        self,
        queue: LaneQueue[Write],
        index: VectorIndex,
        *,
        patience: Patience,
        clock: Clock,
        metrics: Metrics,
        routes: ApplyRoutes,
    ) -> None:
        self._queue = queue
        self._index = index
        self._patience = patience
        self._clock = clock
        self._metrics = metrics
        self._routes = routes

    def turn(self) -> None:
        """Apply up to 64 writes."""
        writes = self._queue.take(_APPLY_AT_ONCE, 0.1)
        if not writes:
            return
        self._write(writes)
        searchable = self._clock.now()
        final = []
        for task, stage in writes:
            if stage is Stage.PROVISIONAL:
                task.hidden = task.hidden or searchable
            else:
                final.append(task)
        self._settle(final, searchable)

    def _write(self, writes: list[Write]) -> None:
        now = self._clock.now()
        images = [_image(write, now) for write in writes if may_write(write.task, write.stage)]
        if not images:
            return
        started_s = self._clock.monotonic()
        self._patience.until_it_works(Part.INDEX, lambda: self._index.apply(images))
        self._metrics.apply_seconds.observe(self._clock.monotonic() - started_s)

    def _settle(self, tasks: list[ImageTask], searchable: datetime) -> None:
        if not tasks:
            return
        ids = {task.image_id for task in tasks}
        stored = self._patience.until_it_works(Part.INDEX, lambda: self._index.get(ids))
        for task in tasks:
            self._end(task, stored.get(task.image_id), searchable)

    def _end(self, task: ImageTask, stored: IndexedImage | None, searchable: datetime) -> None:
        stands = standing(task, stored)
        if stands is Standing.MISSING or stored is None:
            self._routes.plan_again(task)
            return
        if stands is Standing.LOST:
            self._routes.applied(Applied(task, Outcome.SUPERSEDED, stored, task.times()))
        elif task.settled:
            times = times_of_repeat(task, stored)
            self._routes.applied(Applied(task, stored.outcome, stored, times, repeated=True))
        else:
            task.searchable = _effective(task, stored.outcome, searchable)
            self._routes.applied(Applied(task, stored.outcome, stored, task.times()))


def _image(write: Write, now: datetime) -> IndexedImage:
    if write.stage is Stage.PROVISIONAL:
        return write.task.image(Outcome.HIDDEN, Stage.PROVISIONAL, now)
    return write.task.image(final_outcome(write.task), Stage.FINAL, now)


def _effective(task: ImageTask, outcome: Outcome, searchable: datetime) -> datetime:
    """From when on no query returns a hidden image: from the provisional write."""
    return task.hidden if outcome is Outcome.HIDDEN and task.hidden else searchable
