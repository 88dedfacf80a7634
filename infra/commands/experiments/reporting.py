"""The record and closed searches in, what came of an experiment out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sightline.engine.errors import NotFound
from sightline.engine.ports import EventLog
from sightline.engine.serving.events import started_of
from sightline.infra.commands.experiments.log import started_in
from sightline.infra.commands.experiments.place import ExperimentPlace
from sightline.infra.commands.experiments.running import running_of
from sightline.schemas.models import ExperimentStarted
from sightline.schemas.topics import SEARCHES_CLOSED
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.experiments.actors import sums_of
from sightline.training.experiments.comparing import LEAST, ExperimentReport, report_of, variants_of

_EPOCHS_BEFORE = 2
"""Read before the start, so that the marker of the epoch before it is among the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldExperiment:
    """An experiment, and what is known of it."""

    started: ExperimentStarted
    runs: bool
    report: ExperimentReport
    said: str = ""
    """What it had come to when it ended; empty: it runs, or nobody noted it."""


def report(
    place: ExperimentPlace, name: str | None = None, *, least: float = LEAST
) -> ToldExperiment:
    """What came of an experiment; none named: of the one that runs.

    Raises:
        NotFound: none runs, or the log knows none of that name.
        PartUnavailable: store or log did not answer.
    """
    state = place.record.read().state
    running = running_of(state)
    if running is not None and name in (None, running.name):
        return told_of(place, running, runs=True, least=least)
    if name is None:
        raise NotFound("no experiment runs: `sightline experiment start` starts one")
    for kept in state.ended:
        if kept.experiment.name == name:
            started = started_of(kept.experiment, kept.control)
            told = told_of(place, started, runs=False, least=least)
            return replace(told, said=kept.says)
    ended = next((each for each in started_in(place.log()) if each.name == name), None)
    if ended is None:
        raise NotFound(f"neither the record nor the log knows an experiment {name}")
    return told_of(place, ended, runs=False, least=least)


def told_of(
    place: ExperimentPlace, started: ExperimentStarted, *, runs: bool, least: float
) -> ToldExperiment:
    """What the log holds of an experiment that runs or has ended; raises as `read_report`."""
    epoch_ms = LabelRules.of(place.settings.labels).epoch_ms
    found = read_report(place.log(), started, epoch_ms=epoch_ms, least=least)
    return ToldExperiment(started=started, runs=runs, report=found)


def read_report(
    log: EventLog, started: ExperimentStarted, *, epoch_ms: int, least: float = LEAST
) -> ExperimentReport:
    """Add up what the log holds of an experiment, and hold its arms against each other.

    Raises:
        PartUnavailable: the log did not answer.
    """
    began: datetime = started.started_at
    sums = sums_of(
        log.read(
            [SEARCHES_CLOSED.name],
            since=began - _EPOCHS_BEFORE * timedelta(milliseconds=epoch_ms),
        ),
        variants_of(started),
        since=began,
        targets=log.partition_count(SEARCHES_CLOSED.name),
        epoch_ms=epoch_ms,
    )
    return report_of(started, sums, started_at=began, least=least)
