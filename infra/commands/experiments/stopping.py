"""A reason in, an ended experiment out: in the record at once, in the log once that answers."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.engine.errors import Conflict, RefusedToStart, TransientError
from sightline.engine.serving.state import ServingState
from sightline.infra.commands.experiments.place import ExperimentPlace
from sightline.infra.commands.experiments.reporting import ToldExperiment, told_of
from sightline.infra.commands.experiments.running import running_of
from sightline.schemas.models import ExperimentStarted
from sightline.training.experiments.comparing import LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedExperiment:
    """An experiment that has been stopped, and what came of it as far as the log tells."""

    started: ExperimentStarted
    told: ToldExperiment | None
    """None: the log did not answer."""
    untold: str | None
    """Why `models.v1` does not know of it yet; None: it does."""


def stop(place: ExperimentPlace, reason: str) -> StoppedExperiment:
    """Let everybody be answered by what serves again, also while the log is away.

    Raises:
        Conflict: none runs.
        PartUnavailable: the store did not answer; `report` tells whether it runs still.
    """
    running = running_of(place.record.read().state)
    if running is None:
        raise Conflict("no experiment runs")
    now = place.clock.now()

    def step(state: ServingState) -> ServingState:
        if running_of(state) != running:
            raise Conflict(f"experiment {running.name} was stopped by somebody else")
        return state.experiment_stopped(now, reason)

    place.record.change(step)
    try:
        told = told_of(place, running, runs=False, least=LEAST)
        decided, salt = told.report.decided, running.salt
        place.record.change(
            lambda state: state.experiment_said(salt, decided.finding.value, decided.says)
        )
    except (RefusedToStart, TransientError) as error:
        return StoppedExperiment(started=running, told=None, untold=str(error))
    untold = place.tell(f"sightline experiment stop {running.name}")
    return StoppedExperiment(started=running, told=told, untold=untold)
