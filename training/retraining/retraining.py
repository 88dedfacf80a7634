"""Makes a model of what has come, step by step, alone among all who would.

What is next follows from what is stored and what lies in the attempt's folder (`plan`), never from
what this process remembers: killed anywhere, it or another goes on where it stopped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from sightline.engine.errors import (
    Conflict,
    PermanentError,
    RefusedToStart,
    SettingsInvalid,
    SightlineError,
    TransientError,
)
from sightline.engine.object_store.lease import Lease
from sightline.engine.ports import Clock
from sightline.engine.settings import RetrainingSettings
from sightline.engine.stopping import EitherStop
from sightline.training.retraining.plan import Come, Observed, Step, next_retraining_step
from sightline.training.retraining.state import (
    Attempt,
    AttemptOutcome,
    Ended,
    JudgedHead,
    RetrainingRecord,
    RetrainingState,
    StoredState,
)

_log = logging.getLogger(__name__)


class Triples(Protocol):
    """Counts what the sink has written, for an attempt."""

    def come(self, state: RetrainingState, settings: RetrainingSettings) -> Come:
        """How much since the last attempt. Raises `PartUnavailable`."""

    def begun(self, state: RetrainingState) -> RetrainingState:
        """The state with a new attempt on all there is now. Raises `PartUnavailable`."""


class Work(Protocol):
    """What is done with an attempt; each may be repeated. All may raise `PartUnavailable`."""

    def trained(self, attempt: Attempt) -> str | None:
        """SHA-256 of the head in the attempt's folder; None: its training has not ended here."""

    def train(self, attempt: Attempt) -> None:
        """Train into the attempt's folder, going on where an earlier process stopped."""

    def evaluate(self, attempt: Attempt) -> JudgedHead:
        """Let the gate decide on the head in the folder."""

    def register(self, attempt: Attempt) -> str:
        """Put the judged model into the registry; its digest."""

    def release(self, attempt: Attempt) -> int:
        """Make the registered model the newest of its name, and tell the log; its number."""

    def tell(self, ended: Ended) -> None:
        """Tell the log of an attempt that came to no release."""


class Retraining:
    """One model's retraining in one process.

    Args:
        record: what it has come to.
        triples: what there is to learn from.
        work: does the steps.
        lease: one at a time.
        settings: when a training begins.
        clock: the time.
    """

    def __init__(
        self,
        record: RetrainingRecord,
        triples: Triples,
        work: Work,
        *,
        lease: Lease,
        settings: RetrainingSettings,
        clock: Clock,
    ) -> None:
        self._record = record
        self._triples = triples
        self._work = work
        self._lease = lease
        self._settings = settings
        self._clock = clock
        self._taken_up: int | None = None

    def look(self, stop: threading.Event, *, asked: bool = False) -> bool:
        """Do what is due, unless another process does; whether anything was done.

        Args:
            stop: leaves what is not begun to the next process.
            asked: begin an attempt whatever has come.

        Raises:
            Conflict: another process took over meanwhile.
            PartUnavailable: broker or store did not answer; a repeat goes on.
            RefusedToStart: embedded mode, and nothing runs.
            Unreadable: the record is damaged.
        """
        if self._next(asked=asked)[1] is Step.WAIT or not self._lease.take():
            return False
        with self._lease.kept() as lost:
            try:
                self._work_on(EitherStop(stop, lost), asked=asked)
            except (TransientError, RefusedToStart):
                self._leave()
                raise
        return True

    def _work_on(self, stop: threading.Event, *, asked: bool) -> None:
        while not stop.is_set():
            stored, step = self._next(asked=asked)
            if step is Step.WAIT:
                return
            asked = asked and step is not Step.BEGIN
            self._try(stored, step)

    def _leave(self) -> None:
        """Be counted no longer: the attempt does no harm, something else is away."""
        with suppress(SightlineError):
            stored = self._record.read()
            attempt = stored.state.under_way
            if attempt is not None and attempt.number == self._taken_up:
                self._keep(stored, attempt.model_copy(update={"starts": attempt.starts - 1}))
        self._taken_up = None

    def _next(self, *, asked: bool) -> tuple[StoredState, Step]:
        stored = self._record.read()
        return stored, next_retraining_step(self._seen(stored.state, asked=asked), self._settings)

    def _seen(self, state: RetrainingState, *, asked: bool) -> Observed:
        attempt = state.under_way
        if attempt is None:
            return Observed(come=self._triples.come(state, self._settings), asked=asked)
        taken_up = self._taken_up == attempt.number
        return Observed(
            attempt=attempt, taken_up=taken_up, trained=self._work.trained(attempt), asked=asked
        )

    def _try(self, stored: StoredState, step: Step) -> None:
        """Do a step; an attempt that can come to nothing ends, and says why."""
        try:
            self._do(stored, step)
        except Conflict:
            raise
        except (PermanentError, SettingsInvalid) as error:
            if stored.state.under_way is None:
                raise
            self._end(stored, AttemptOutcome.FAILED, str(error))

    def _do(self, stored: StoredState, step: Step) -> None:
        if step is Step.BEGIN:
            self._begin(stored)
            return
        attempt = _under_way(stored.state)
        _log.info("retraining of attempt %s: %s", attempt.number, step)
        doing: dict[Step, Callable[[StoredState, Attempt], None]] = {
            Step.TAKE_UP: self._take_up,
            Step.TRAIN: self._train,
            Step.EVALUATE: self._evaluate,
            Step.RELEASE: self._release,
            Step.END: self._give_up,
        }
        doing[step](stored, attempt)

    def _begin(self, stored: StoredState) -> None:
        state = self._triples.begun(stored.state)
        self._record.replace(stored, state)
        self._taken_up = _under_way(state).number

    def _take_up(self, stored: StoredState, attempt: Attempt) -> None:
        self._keep(stored, attempt.model_copy(update={"starts": attempt.starts + 1}))
        self._taken_up = attempt.number

    def _train(self, stored: StoredState, attempt: Attempt) -> None:
        del stored
        self._work.train(attempt)

    def _evaluate(self, stored: StoredState, attempt: Attempt) -> None:
        judged = self._work.evaluate(attempt)
        self._keep(stored, attempt.model_copy(update={"judged": judged}))

    def _release(self, stored: StoredState, attempt: Attempt) -> None:
        if attempt.digest is None:
            # Whoever comes to this line first decides which of two equal attempts is released.
            digest = self._work.register(attempt)
            self._keep(stored, attempt.model_copy(update={"digest": digest}))
            return
        number = self._work.release(attempt)
        self._end(stored, AttemptOutcome.RELEASED, f"release {number}, {attempt.digest}")

    def _give_up(self, stored: StoredState, attempt: Attempt) -> None:
        judged = attempt.judged
        if judged is None or judged.outcome is AttemptOutcome.RELEASED:
            says = f"{attempt.starts - 1} processes took it up, and none of them ended it"
            self._end(stored, AttemptOutcome.FAILED, says)
            return
        self._end(stored, judged.outcome, _why(judged))

    def _keep(self, stored: StoredState, attempt: Attempt) -> None:
        state = stored.state.model_copy(update={"under_way": attempt})
        self._record.replace(stored, state)

    def _end(self, stored: StoredState, outcome: AttemptOutcome, says: str) -> None:
        state = stored.state.ended(outcome, says, self._clock.now())
        assert state.last is not None  # noqa: S101 - it has just ended
        if outcome is not AttemptOutcome.RELEASED:
            self._work.tell(state.last)
        self._record.replace(stored, state)
        level = logging.WARNING if outcome is AttemptOutcome.FAILED else logging.INFO
        _log.log(
            level, "retraining of attempt %s: %s: %s", state.last.attempt.number, outcome, says
        )


def _under_way(state: RetrainingState) -> Attempt:
    if state.under_way is None:
        raise SightlineError("no attempt is under way")
    return state.under_way


def _why(judged: JudgedHead) -> str:
    """The lines of the gate that stood in the way."""
    held = [line for line in judged.lines if line.outcome in {"failed", "too_little"}]
    told = "; ".join(f"{line.rule}: {line.outcome}: {line.says}" for line in held)
    needs = f"; {judged.needs} clusters more would decide" if judged.needs else ""
    return told + needs
