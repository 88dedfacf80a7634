"""Follows the record: opens what it names beside what serves, then exchanges both at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from sightline.engine.errors import SightlineError
from sightline.engine.looking import Obstacle
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.serving.pairs import OpenedPair, ServingPairs
from sightline.engine.serving.record import StoredServing
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Serves
from sightline.engine.serving.watch import RecordWatch

OpenPair = Callable[[ServingState, Serves], OpenedPair]
"""Opens the index of what serves, its model and its matrix."""
_AGAIN_S = 2.0
"""After a failure, unless the record changes before."""

_log = logging.getLogger(__name__)


class PairFollower:
    """Lets the pairs of this process be those of the record.

    Args:
        watched: the record that says what serves; each look is at what it says by then, so that
            others who share the watch need not ask.
        open_pair: opens what it says.
        pairs: are exchanged.
        opened_for: what they were opened for; of an experiment that runs, its control alone.
        look_every_s: between two looks.
    """

    def __init__(
        self,
        watched: RecordWatch,
        open_pair: OpenPair,
        pairs: ServingPairs,
        *,
        opened_for: StoredServing,
        look_every_s: float,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._watched = watched
        self._open = open_pair
        self._pairs = pairs
        self._look_every_s = look_every_s
        self._clock = clock
        self._metrics = metrics
        # What serves was opened, not what an experiment that runs tries beside it: the first look
        # follows such a record as if it were new.
        is_all = opened_for.state.experiment is None
        self._etag: str | None = opened_for.etag if is_all else None
        self._number: int | None = opened_for.state.number if is_all else None
        self._failed: tuple[str | None, float] | None = None
        says = "cannot serve what the record says, and go on with what was"
        self._obstacle = Obstacle(_log, says, level=logging.ERROR)
        metrics.serving_number.set(opened_for.state.number)

    def follow(self, stop: threading.Event) -> None:
        """Look every so often until `stop`; what serves goes on whatever becomes of a look.

        Whoever waits for a change of the record is woken by a look, and at the end.
        """
        try:
            while not stop.wait(self._look_every_s):
                self.look()
        finally:
            self._watched.wake()

    def look(self) -> None:
        """Exchange the pairs if the record says so; a failure is told, and tried again."""
        self._pairs.sweep()
        etag: str | None = None
        try:
            etag = self._watched.etag(now=True)
            if etag is None or etag == self._etag or self._is_waiting(etag):
                return
            found = self._watched.find()
            if found is not None:
                self._follow(found)
        except SightlineError as error:
            self._failed = etag, self._clock.monotonic() + _AGAIN_S
            self._obstacle.met(error)
        else:
            self._failed = None
            self._obstacle.passed()

    def _follow(self, found: StoredServing) -> None:
        state = found.state
        if state.number != self._number:
            self._exchange(state)
            self._number = state.number
            self._metrics.serving_number.set(state.number)
            _log.info("generation %s serves from now on: %s", state.serves, state.reason)
        self._etag = found.etag

    def _exchange(self, state: ServingState) -> None:
        experiment = state.experiment
        with ExitStack() as undo:
            control = numbered(self._open(state, state.serves), state)
            undo.callback(control.close)
            treatment = None
            if experiment is not None:
                treatment = numbered(self._open(state, experiment.treatment), state)
            undo.pop_all()
        self._pairs.exchange(control, treatment, experiment)

    def _is_waiting(self, etag: str) -> bool:
        failed = self._failed
        return failed is not None and failed[0] == etag and self._clock.monotonic() < failed[1]


def numbered(opened: OpenedPair, state: ServingState) -> OpenedPair:
    """The same pair, which says for which state it was opened."""
    return replace(opened, pair=replace(opened.pair, number=state.number))
