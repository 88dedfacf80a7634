"""What the commands on experiments do: change the record of what serves, and read what came of it.

The record is changed first: it is what searches follow. Then the log is told.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_event_log, open_log_producer
from sightline.engine.embedding.model_registry import ModelReference, ModelRegistry
from sightline.engine.embedding.query_matrix import NotLinear
from sightline.engine.errors import (
    Conflict,
    NotFound,
    RefusedToStart,
    SettingsInvalid,
    TransientError,
)
from sightline.engine.ports import Clock, EventLog, ObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.serving.kept_matrices import KeptMatrices
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Experiment, Serves
from sightline.engine.settings import Settings
from sightline.engine.vector_index.generations import check_name
from sightline.infra.commands.label_store import opened_store
from sightline.infra.commands.operator_act import operator_act
from sightline.infra.commands.running_experiment import running_of, started_of
from sightline.infra.wiring.models import OpenModels
from sightline.infra.wiring.serving import matrix_of
from sightline.schemas.envelope import ContractError, Event, EventData
from sightline.schemas.models import NAME_PATTERN, ExperimentStarted, ExperimentStopped, reason_of
from sightline.schemas.registry import decode
from sightline.schemas.topics import MODELS, SEARCHES_CLOSED
from sightline.stream_workers.labels.rules import LabelRules
from sightline.training.experiments.actors import sums_of
from sightline.training.experiments.comparing import LEAST, ExperimentReport, report_of, variants_of

SOURCE = "urn:sightline:experiment"
_SALT_BYTES = 8
_EPOCHS_BEFORE = 2
"""Read before the start, so that the marker of the epoch before it is among the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentWishes:
    """What somebody wants to compare with what serves."""

    name: str
    generation: str | None
    """None: the one that serves, under another query model."""
    query_model: str | None
    share: float
    interleave: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldExperiment:
    """An experiment, and what is known of it."""

    started: ExperimentStarted
    runs: bool
    report: ExperimentReport
    said: str = ""
    """What it had come to when it ended; empty: it runs, or nobody noted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoppedExperiment:
    """An experiment that has been stopped, and what came of it as far as the log tells."""

    started: ExperimentStarted
    told: ToldExperiment | None
    """None: the log did not answer."""
    untold: str | None
    """Why `models.v1` does not know that it was stopped; None: it does."""


class Experiments:
    """Carries out the commands on experiments, over one object store.

    Args:
        settings: where log and store are, and the rules by which epochs close.
        store: has the record of what serves.
        clock: of what is started and stopped.
    """

    def __init__(self, settings: Settings, store: ObjectStore, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._models = OpenModels(settings)
        self._matrices = KeptMatrices.of(settings, store)
        self._record = ServingRecord.of(settings, store)
        self._clock = clock

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """With the object store; the log is opened by what needs it.

        Raises:
            RefusedToStart: the store is a directory that no process has made yet.
        """
        with opened_store(settings) as store:
            yield cls(settings, store, SystemClock())

    def start(self, wishes: ExperimentWishes) -> ExperimentStarted:
        """Let a part of the actors be answered by something else.

        Raises:
            Conflict: one runs, there was one of that name, or the treatment may not serve.
            NotFound: there is no such generation, or no such model.
            SettingsInvalid: a name is none, or the model cannot be run here.
            PartUnavailable: store or log did not answer; `report` tells whether it runs.
        """
        _check(wishes)
        ran = {ended.experiment.name for ended in self._record.read().state.ended}
        if wishes.name in ran | {started.name for started in self._started()}:
            raise Conflict(
                f"there was an experiment {wishes.name}: figures are told apart by the name, so "
                "take another one"
            )
        query_model = self._model(wishes.query_model)
        salt = f"{wishes.name}.{secrets.token_hex(_SALT_BYTES)}"
        now = self._clock.now()

        def step(state: ServingState) -> ServingState:
            treatment = Serves(
                generation=wishes.generation or state.serves.generation,
                query_model=query_model,
            )
            self._must_rank(state, treatment)
            experiment = Experiment(
                name=wishes.name,
                treatment=treatment,
                share=wishes.share,
                salt=salt,
                interleave=wishes.interleave,
                started_at=now,
            )
            return state.experiment_started(experiment, now, f"experiment {wishes.name}")

        state = self._record.change(step)
        started = running_of(state)
        assert started is not None  # noqa: S101 - it has just been started
        self._tell(started, f"experiment-started-{salt}")
        return started

    def report(self, name: str | None = None, *, least: float = LEAST) -> ToldExperiment:
        """What came of an experiment; none named: of the one that runs.

        Raises:
            NotFound: none runs, or the log knows none of that name.
            PartUnavailable: store or log did not answer.
        """
        state = self._record.read().state
        running = running_of(state)
        if running is not None and name in (None, running.name):
            return self._told(running, runs=True, least=least)
        if name is None:
            raise NotFound("no experiment runs: `sightline experiment start` starts one")
        for kept in state.ended:
            if kept.experiment.name == name:
                told = self._told(
                    started_of(kept.experiment, kept.control), runs=False, least=least
                )
                return replace(told, said=kept.says)
        ended = next((each for each in self._started() if each.name == name), None)
        if ended is None:
            raise NotFound(f"neither the record nor the log knows an experiment {name}")
        return self._told(ended, runs=False, least=least)

    def stop(self, reason: str) -> StoppedExperiment:
        """Let everybody be answered by what serves again, also while the log is away.

        Raises:
            Conflict: none runs.
            PartUnavailable: the store did not answer; `report` tells whether it runs still.
        """
        running = running_of(self._record.read().state)
        if running is None:
            raise Conflict("no experiment runs")
        now = self._clock.now()

        def step(state: ServingState) -> ServingState:
            if running_of(state) != running:
                raise Conflict(f"experiment {running.name} was stopped by somebody else")
            return state.experiment_stopped(now, reason)

        self._record.change(step)
        try:
            told = self._told(running, runs=False, least=LEAST)
            decided = told.report.decided
            says = f"{decided.finding}: {decided.says}"
            self._record.change(lambda state: state.experiment_said(running.salt, says))
            self._tell(stopped_of(told, now), f"experiment-stopped-{running.salt}")
        except (RefusedToStart, TransientError) as error:
            return StoppedExperiment(started=running, told=None, untold=str(error))
        return StoppedExperiment(started=running, told=told, untold=None)

    def _model(self, text: str | None) -> str | None:
        """The model of the registry that is meant, `NAME@DIGEST`."""
        if text is None:
            return None
        wanted = ModelReference.parse(text)
        registry = ModelRegistry(self._store, self._settings.store.bucket)
        return str(ModelReference(wanted.name, registry.digest(wanted)))

    def _must_rank(self, state: ServingState, treatment: Serves) -> None:
        """Refuse what no process could serve: each would go on by what it has, and tell nobody."""
        if treatment.query_model is None:
            return
        known = state.generation(treatment.generation)
        found = matrix_of(self._matrices, self._models, known, treatment.query_model)
        if isinstance(found, NotLinear):
            raise Conflict(
                f"{treatment.query_model} cannot rank generation {treatment.generation} by its "
                f"queries alone: {found.reason}; fill a generation of it (`sightline reindex "
                f"{treatment.query_model}`) and try that"
            )

    def _told(self, started: ExperimentStarted, *, runs: bool, least: float) -> ToldExperiment:
        report = read_report(
            open_event_log(self._settings),
            started,
            epoch_ms=LabelRules.of(self._settings.labels).epoch_ms,
            least=least,
        )
        return ToldExperiment(started=started, runs=runs, report=report)

    def _started(self) -> list[ExperimentStarted]:
        return list(_started_in(open_event_log(self._settings)))

    def _tell(self, data: ExperimentStarted | ExperimentStopped, event_id: str) -> None:
        verb = "start" if isinstance(data, ExperimentStarted) else "stop"
        command = f"sightline experiment {verb} {data.name}"
        event = Event[EventData].of(data, event_id=event_id, source=SOURCE, time=self._clock.now())
        with closing(open_log_producer(self._settings)) as producer:
            producer.append(ProducerRecord(MODELS.name, data.name, event.encode()))
            producer.append(operator_act(command, self._clock.now()))
            producer.flush(self._settings.kafka.delivery_timeout_s)


def _check(wishes: ExperimentWishes) -> None:
    """Refuse names that the record would not take, in the words of who typed them."""
    if re.fullmatch(NAME_PATTERN, wishes.name) is None:
        raise SettingsInvalid(
            f"{wishes.name!r} is no name of an experiment: 1-64 of a-z 0-9 . _ -, "
            "a letter or digit first"
        )
    if wishes.generation is not None:
        check_name(wishes.generation)
    model = wishes.query_model
    if model is not None and ModelReference.parse(model).digest is None:
        raise SettingsInvalid(f"--query-model {model}: name its digest, too: NAME@DIGEST")


def stopped_of(told: ToldExperiment, now: datetime) -> ExperimentStopped:
    """What the log is told of an experiment that ends now."""
    decided = told.report.decided
    return ExperimentStopped(
        name=told.started.name,
        finding=decided.finding.value,
        says=reason_of(decided.says),
        stopped_at=now,
    )


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


def _started_in(log: EventLog) -> Iterable[ExperimentStarted]:
    for message in log.read([MODELS.name]):
        try:
            data = decode(message.value).data
        except ContractError:
            continue
        if isinstance(data, ExperimentStarted):
            yield data
