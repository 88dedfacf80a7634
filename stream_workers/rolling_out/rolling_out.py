"""Brings one released model after the other into service, step by step, alone among all who would.

What is next follows from what is stored (`plan`), never from what this process remembers: killed
anywhere, it or another goes on where it stopped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

from sightline.engine.errors import Conflict, PermanentError, SettingsInvalid
from sightline.engine.object_store.lease import Lease
from sightline.engine.ports import Clock
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Serves
from sightline.engine.settings import RolloutSettings
from sightline.schemas.models import RolloutNoted, reason_of
from sightline.stream_workers.rolling_out.plan import (
    RolloutNext,
    RolloutObserved,
    RolloutStep,
    next_rollout_step,
    serves,
)
from sightline.stream_workers.rolling_out.ports import RolloutSeen, RolloutWork
from sightline.stream_workers.rolling_out.state import (
    ExperimentFinding,
    RolloutOutcome,
    RolloutRecord,
    RolloutState,
    RolloutUnderWay,
    StoredRollout,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class RollingOut:
    """The roll-outs of one deployment, in one process.

    Args:
        record: how far they are.
        seen: what is looked at.
        work: does the steps.
        lease: one at a time.
        settings: when a model comes, and when it goes.
        clock: the time.
    """

    record: RolloutRecord
    seen: RolloutSeen
    work: RolloutWork
    _: KW_ONLY
    lease: Lease
    settings: RolloutSettings
    clock: Clock

    def look(self, stop: threading.Event) -> bool:
        """Do what is due, unless another process does; whether anything was.

        Raises:
            Conflict: another process, or a person, was faster; the next look sees what they did.
            PartUnavailable: a part did not answer; the next look goes on.
            Unreadable: a record is damaged.
        """
        if self._next()[1].step is RolloutStep.WAIT or not self.lease.take():
            return False
        with self.lease.kept() as lost:
            while not stop.is_set() and not lost.is_set():
                stored, following = self._next()
                if following.step is RolloutStep.WAIT:
                    break
                self._try(stored, following)
        return True

    def _next(self) -> tuple[StoredRollout, RolloutNext]:
        stored = self.record.read()
        seen = self._observed(stored.state)
        return stored, RolloutNext(RolloutStep.WAIT) if seen is None else next_rollout_step(
            seen, self.settings
        )

    def _observed(self, state: RolloutState) -> RolloutObserved | None:
        serving = self.seen.serving()
        if serving is None:
            return None
        now, model = self.clock.now(), state.under_way
        if model is None:
            newest, done_with = self.seen.newest(), state.done_with
            return RolloutObserved(now=now, serving=serving, newest=newest, done_with=done_with)
        return RolloutObserved(
            now=now,
            serving=serving,
            under_way=model,
            differs=self._differs(model, serving),
            finding=self._finding(model, serving),
            fallen=self._fallen(model, serving),
        )

    def _differs(self, model: RolloutUnderWay, serving: ServingState) -> str:
        """Why the generation being filled may not serve, even if it was proven once before."""
        filling = {one.name for one in serving.generations if not one.may_serve}
        name = model.generation
        return self.seen.differs(name) if name is not None and name in filling else ""

    def _finding(self, model: RolloutUnderWay, serving: ServingState) -> ExperimentFinding | None:
        if model.experiment is None or model.experiment != serving.experiment:
            return None
        return self.seen.finding(model.experiment)

    def _fallen(self, model: RolloutUnderWay, serving: ServingState) -> str:
        watched = model.switched_at is not None and not model.fallen
        if not watched or not serves(serving, model):
            return ""
        return self.seen.fallen(model, serving)

    def _try(self, stored: StoredRollout, following: RolloutNext) -> None:
        """Do a step; a model that can never serve ends, and says why."""
        try:
            self._do(stored, following)
        except Conflict:
            raise
        except (PermanentError, SettingsInvalid) as error:
            if stored.state.under_way is None:
                raise
            self._end(stored, stored.state.under_way.model, RolloutOutcome.FAILED, str(error))

    def _do(self, stored: StoredRollout, following: RolloutNext) -> None:
        model = stored.state.under_way
        _log.info("roll-out: %s", following.step)
        if model is None:
            self._begin_or_pass_over(stored, following)
            return
        if following.step is RolloutStep.END:
            assert following.outcome is not None  # noqa: S101 - the plan says so
            self._end(stored, model.model, following.outcome, following.says)
            return
        if following.to is not None:
            self._do_with(stored, model, following.step, following.to)
            return
        doing: dict[RolloutStep, Callable[[StoredRollout, RolloutUnderWay], None]] = {
            RolloutStep.INDEX: self._index,
            RolloutStep.PROVEN: self._proven,
            RolloutStep.CONCLUDE: self._conclude,
            RolloutStep.STOP: self._stop,
            RolloutStep.BEGIN_ANEW: self._begin_anew,
            RolloutStep.MEASURE: self._measure,
            RolloutStep.NOTE_SWITCH: self._note_switch,
            RolloutStep.CONDEMN: self._condemn,
            RolloutStep.ROLL_BACK: self._roll_back,
        }
        doing[following.step](stored, model)

    def _begin_or_pass_over(self, stored: StoredRollout, following: RolloutNext) -> None:
        newest = self.seen.newest()
        if newest is None:
            return
        if following.outcome is not None:
            self._end(stored, newest, following.outcome, following.says)
            return
        self._tell(newest, "begun", "it is the newest release, and serves not yet")
        self.record.replace(stored, stored.state.begun(newest, self.clock.now()))

    def _index(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        generation = self.work.index(model.model)
        self._keep(stored, model, generation=generation, at_once=self.work.matrix(model.model))

    def _proven(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        self._tell(model.model, "proven", f"generation {model.generation} may serve")
        self._keep(stored, model, proven=True)

    def _do_with(
        self, stored: StoredRollout, model: RolloutUnderWay, step: RolloutStep, to: Serves
    ) -> None:
        """Compare, or switch: of that, what serves says that it is done."""
        if step is RolloutStep.COMPARE:
            self._keep(stored, model, experiment=self.work.compare(model, to))
        else:
            self.work.switch(to)

    def _conclude(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        assert model.experiment is not None  # noqa: S101 - the plan says so
        finding = self.seen.finding(model.experiment)
        if finding is not None:
            self._keep(stored, model, finding=finding)

    def _stop(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        assert model.experiment is not None  # noqa: S101 - the plan says so
        assert model.finding is not None  # noqa: S101 - the plan says so
        self.work.stop(model.experiment, model.finding)
        self._keep(stored, model, stopped=True)

    def _begin_anew(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        attempt = model.attempt + 1
        self._keep(stored, model, experiment=None, finding=None, stopped=False, attempt=attempt)

    def _measure(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        self._keep(stored, model, before=self.work.measure())

    def _note_switch(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        self._keep(stored, model, switched_at=self.clock.now())

    def _condemn(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        serving = self.seen.serving()
        reason = "" if serving is None else self.seen.fallen(model, serving)
        if reason:
            self._keep(stored, model, fallen=reason_of(reason))

    def _roll_back(self, stored: StoredRollout, model: RolloutUnderWay) -> None:
        del stored  # what serves says that it is done
        self.work.roll_back(model, model.fallen)

    def _keep(self, stored: StoredRollout, model: RolloutUnderWay, **changes: object) -> None:
        changed = model.model_copy(update=changes)
        self.record.replace(stored, stored.state.model_copy(update={"under_way": changed}))

    def _end(self, stored: StoredRollout, model: str, outcome: RolloutOutcome, says: str) -> None:
        self._tell(model, outcome.value, says)
        self.record.replace(stored, stored.state.ended(model, outcome, says, self.clock.now()))
        level = logging.INFO if outcome is RolloutOutcome.SERVES else logging.WARNING
        _log.log(level, "roll-out of %s: %s: %s", model, outcome, says)

    def _tell(self, model: str, what: str, says: str) -> None:
        name, _, digest = model.partition("@")
        now = self.clock.now()
        noted = RolloutNoted(
            name=name, digest=digest, step=what, says=reason_of(says), noted_at=now
        )
        self.work.tell(noted)
