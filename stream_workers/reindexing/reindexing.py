"""Fills a generation and proves it, step by step, alone among all processes that would.

What is next follows from the record and the progress (`plan`), never from what this process did
alone: killed anywhere, it or another goes on. Only what must be done once a process, as replaying
what an embedded broker forgot, is remembered here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple, Protocol

from sightline.engine.errors import SightlineError
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.lease import Lease
from sightline.engine.pacing import Pace
from sightline.engine.ports import Clock
from sightline.engine.stopping import EitherStop
from sightline.schemas.models import readable
from sightline.stream_workers.reindexing.parity import Parity
from sightline.stream_workers.reindexing.plan import ObservedFilling, next_filling_step
from sightline.stream_workers.reindexing.progress import (
    FillingStep,
    ProgressRecord,
    ReindexProgress,
)

_log = logging.getLogger(__name__)
_NOTE_EVERY_S = 1.0


class Done(NamedTuple):
    """How far a step is, in images."""

    done: int
    total: int
    republished: int = 0


class FillingWork(Protocol):
    """What is done for one generation; each may be repeated. All may raise `PartUnavailable`.

    The steps say now and then how far they are, and end early once `stop` is set. `pace` is that of
    the images that they look at; it may change meanwhile.
    """

    def is_filling(self) -> bool:
        """Whether the record says that the generation may not serve yet."""

    def seed(self, pace: Pace, stop: threading.Event) -> Iterator[Done]:
        """Write what the old generation's features give; durable when it has ended."""

    def replay(self, pace: Pace, stop: threading.Event) -> Iterator[Done]:
        """Publish what the log may have forgotten and the generation is below."""

    def catch_up(self, stop: threading.Event) -> Iterator[Done]:
        """Wait until the generation's workers are past where the log ends now."""

    def optimise(self, stop: threading.Event) -> Iterator[Done]:
        """Wait until the search graph covers what the generation holds."""

    def prove(
        self, asked: ReindexProgress, pace: Pace, stop: threading.Event
    ) -> Generator[Done, None, Parity | None]:
        """Compare it with the generation that it is filled from; None: it was stopped."""

    def make_ready(self, parity: Parity) -> None:
        """Say in the record that it may serve, and tell the log."""

    def refuse(self, parity: Parity) -> None:
        """Tell the log that it may not serve."""


class Reindexing:
    """The filling of one generation in one process.

    Args:
        progress: how far it is, for all.
        work: does the steps.
        lease: one process at a time.
        clock: the time.
        metrics: tell how far it is.
    """

    def __init__(
        self,
        progress: ProgressRecord,
        work: FillingWork,
        *,
        lease: Lease,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._progress = progress
        self._work = work
        self._lease = lease
        self._clock = clock
        self._metrics = metrics
        self._asked_at: datetime | None = None
        self._over: set[FillingStep] = set()
        """Steps that this process has been through since it was asked."""
        self._noted_s = clock.monotonic()
        self._pace = Pace(None, clock=clock, stop=threading.Event())
        """The pace of the step that is under way."""

    def look(self, stop: threading.Event) -> bool:
        """Do what is due until it is done, unless another process does; whether anything was.

        Raises:
            NotFound: the generation, or the one that it is filled from, was dropped.
            PartUnavailable: a part did not answer; the next look goes on.
            Unreadable: record or progress is damaged.
        """
        if self._next()[1] is FillingStep.WAIT or not self._lease.take():
            return False
        try:
            with self._lease.kept() as lost:
                self._work_on(EitherStop(stop, lost))
        finally:
            self._metrics.reindex_images.clear()
            self._metrics.reindex_step.clear()
        return True

    def _work_on(self, stop: threading.Event) -> None:
        while not stop.is_set():
            asked, step = self._next()
            if asked is None or step is FillingStep.WAIT:
                return
            self._try(asked, step, stop)

    def _next(self) -> tuple[ReindexProgress | None, FillingStep]:
        asked = self._progress.find()
        if asked is not None and asked.asked_at != self._asked_at:
            self._asked_at = asked.asked_at
            self._over.clear()
        seen = ObservedFilling(
            filling=asked is not None and self._work.is_filling(),
            progress=asked,
            replayed=FillingStep.REPLAY in self._over,
            caught_up=FillingStep.CATCH_UP in self._over,
            optimised=FillingStep.OPTIMISE in self._over,
        )
        return asked, next_filling_step(seen)

    def _try(self, asked: ReindexProgress, step: FillingStep, stop: threading.Event) -> None:
        """Do a step; what it failed for is told to all who look."""
        self._note(lambda p: _begun(p, step, self._clock.now()))
        _log.info("generation %s: %s", asked.generation, step)
        try:
            self._do(asked, step, stop)
        except SightlineError as error:
            with suppress(SightlineError):
                said = readable(str(error))
                self._note(lambda p: p.model_copy(update={"trouble": said}))
            raise

    def _do(self, asked: ReindexProgress, step: FillingStep, stop: threading.Event) -> None:
        pace = self._pace = Pace(asked.rate_per_s, clock=self._clock, stop=stop)
        match step:
            case FillingStep.SEED:
                self._through(self._work.seed(pace, stop), stop)
                if not stop.is_set():
                    now = self._clock.now()
                    self._note(lambda p: p.model_copy(update={"seeded_at": now}))
            case FillingStep.REPLAY:
                self._go_through(step, self._work.replay(pace, stop), stop)
            case FillingStep.CATCH_UP:
                self._go_through(step, self._work.catch_up(stop), stop)
            case FillingStep.OPTIMISE:
                self._go_through(step, self._work.optimise(stop), stop)
            case FillingStep.PROVE:
                self._through(self._prove(asked, pace, stop), stop)
            case FillingStep.READY:
                assert asked.parity is not None  # noqa: S101 - the plan says so
                self._work.make_ready(asked.parity)
                self._metrics.reindexes.labels("ready").inc()

    def _go_through(self, step: FillingStep, steps: Iterator[Done], stop: threading.Event) -> None:
        self._through(steps, stop)
        if not stop.is_set():
            self._over.add(step)

    def _through(self, steps: Iterator[Done], stop: threading.Event) -> None:
        """Note how far it is, once a second and at the end."""
        last: Done | None = None
        for last in steps:
            if stop.is_set():
                return
            if self._clock.monotonic() - self._noted_s >= _NOTE_EVERY_S:
                self._tell(last)
        if last is not None:
            self._tell(last)

    def _tell(self, done: Done) -> None:
        now = self._clock.now()
        self._note(lambda p: p.model_copy(update={**done._asdict(), "noted_at": now}))

    def _prove(self, asked: ReindexProgress, pace: Pace, stop: threading.Event) -> Iterator[Done]:
        """Says how far the comparison is, and notes at its end what it came to."""
        proven = yield from self._work.prove(asked, pace, stop)
        if proven is None or stop.is_set():
            return
        parity = proven.model_copy(update={"without_missing": asked.without_missing})
        if not parity.passed:
            self._work.refuse(parity)
            self._metrics.reindexes.labels("refused").inc()
        self._note(lambda p: p.model_copy(update={"parity": parity}))
        for line in parity.failures():
            _log.warning("generation %s may not serve: %s", parity.new, line)

    def _note(self, step: Callable[[ReindexProgress], ReindexProgress]) -> None:
        """Change the progress; of what was asked for since, nothing is overwritten.

        A step that is under way goes on at the rate that is wished by now.
        """
        self._noted_s = self._clock.monotonic()
        noted = self._progress.note(lambda p: step(p) if p.asked_at == self._asked_at else p)
        self._pace.per_s = noted.rate_per_s
        self._show(noted)

    def _show(self, progress: ReindexProgress) -> None:
        name, images = progress.generation, self._metrics.reindex_images
        images.labels(name, "done").set(progress.done)
        images.labels(name, "total").set(progress.total)
        for step in FillingStep:
            if step is not FillingStep.WAIT:
                is_done = step is progress.step
                self._metrics.reindex_step.labels(name, step.value).set(is_done)


def _begun(progress: ReindexProgress, step: FillingStep, now: datetime) -> ReindexProgress:
    return progress.model_copy(
        update={
            "step": step,
            "step_began_at": now,
            "noted_at": now,
            "done": 0,
            "total": 0,
            "trouble": "",
        }
    )
