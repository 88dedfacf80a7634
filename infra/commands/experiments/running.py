"""The record of what serves in, which experiment runs out."""

from __future__ import annotations

from contextlib import closing

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import connect_object_store
from sightline.engine.errors import NotFound, TransientError, Unreadable
from sightline.engine.serving.events import started_of
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.settings import Settings
from sightline.schemas.models import AnsweredBy, ExperimentStarted


def running_of(state: ServingState) -> ExperimentStarted | None:
    """The experiment that a state says is running, as its event tells it."""
    experiment = state.experiment
    return None if experiment is None else started_of(experiment, state.serves)


def experiment_line(settings: Settings) -> str:
    """Which experiment runs, as the store tells it."""
    with closing(connect_object_store(settings)) as store:
        try:
            state = ServingRecord.of(settings, store).read().state
        except NotFound:
            return "none runs"
        except (TransientError, Unreadable) as error:
            return f"unknown: {error}"
    started = running_of(state)
    if started is None:
        return "none runs"
    ago_s = (SystemClock().now() - started.started_at).total_seconds()
    return f"{what(started)}; begun {ago_s:.0f} s ago (`sightline experiment report`)"


def what(started: ExperimentStarted) -> str:
    """What is compared, and who gets it."""
    gets = "pages of both" if started.interleave else "the treatment"
    return (
        f"{started.name}: {_by(started.treatment)} against {_by(started.control)}, "
        f"{started.share:.3g} of the actors get {gets}"
    )


def _by(answered: AnsweredBy) -> str:
    through = "" if answered.query_model is None else f" through {answered.query_model}"
    return f"generation {answered.generation}{through}"
