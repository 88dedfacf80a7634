"""A reason in, an ended experiment out: in the record at once, in the log where that answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sightline.engine.errors import Conflict, RefusedToStart, TransientError
from sightline.engine.serving.state import ServingState
from sightline.infra.commands.experiments.log import tell
from sightline.infra.commands.experiments.place import ExperimentPlace
from sightline.infra.commands.experiments.reporting import ToldExperiment, told_of
from sightline.infra.commands.experiments.running import running_of
from sightline.schemas.models import ExperimentStarted, ExperimentStopped, reason_of
from sightline.training.experiments.comparing import LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedExperiment:
    """An experiment that has been stopped, and what came of it as far as the log tells."""

    started: ExperimentStarted
    told: ToldExperiment | None
    """None: the log did not answer."""
    untold: str | None
    """Why `models.v1` does not know that it was stopped; None: it does."""


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
        _note(place, told, now)
    except (RefusedToStart, TransientError) as error:
        return StoppedExperiment(started=running, told=None, untold=str(error))
    return StoppedExperiment(started=running, told=told, untold=None)


def _note(place: ExperimentPlace, told: ToldExperiment, now: datetime) -> None:
    """Keep what it had come to in the record, then tell the log."""
    decided, salt = told.report.decided, told.started.salt
    says = f"{decided.finding}: {decided.says}"
    place.record.change(lambda state: state.experiment_said(salt, says))
    event_id = f"experiment-stopped-{salt}"
    tell(place.settings, _stopped_of(told, now), event_id=event_id, now=place.clock.now())


def _stopped_of(told: ToldExperiment, now: datetime) -> ExperimentStopped:
    """What the log is told of an experiment that ends now."""
    decided = told.report.decided
    return ExperimentStopped(
        name=told.started.name,
        finding=decided.finding.value,
        says=reason_of(decided.says),
        stopped_at=now,
    )
