"""`sightline experiment`: the record changes, the log is told, and what came of it is said."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import open_object_store
from sightline.engine.errors import Conflict, NotFound, Part, PartUnavailable, SightlineError
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.records import ProducerRecord
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.telling import tell
from sightline.engine.serving.values import GenerationStage, KnownGeneration, Serves
from sightline.engine.serving.variants import arm_of, variant_of
from sightline.engine.settings import Settings, load_settings
from sightline.infra.cli.experiment import app
from sightline.infra.commands import rollout
from sightline.infra.commands.experiments import place, starting
from sightline.infra.commands.experiments.running import experiment_line, running_of
from sightline.schemas.labels import EpochClosed, SearchesClosed
from sightline.schemas.models import ExperimentStarted, ExperimentStopped
from sightline.schemas.registry import decode
from sightline.schemas.topics import AUDIT, MODELS, SEARCHES_CLOSED
from tests.conftest import ROOT
from tests.label_rows import closed, encoded, graded, marker, search
from tests.unit.test_promote import ANEW, LINEAR

PAGE = (ROOT / "docs/experiments.md").read_text()
COMMANDS = re.findall(r"^sightline (experiment .+)$", PAGE, re.MULTILINE)
EPOCH_S = 600.0


def known(name: str, stage: GenerationStage) -> KnownGeneration:
    """A generation of the record."""
    now = SystemClock().now()
    return KnownGeneration(
        name=name, model_digest=f"model-{name}", group=name, stage=stage, made_at=now
    )


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServingRecord:
    """A deployment in a folder: `g1` serves, `g2` is ready, `g3` is being filled."""
    monkeypatch.setenv("SIGHTLINE_DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = load_settings()
    found = ServingRecord.of(settings, open_object_store(settings))
    now = SystemClock().now()
    stages = {
        "g1": GenerationStage.READY,
        "g2": GenerationStage.READY,
        "g3": GenerationStage.FILLING,
    }
    generations = tuple(known(name, stage) for name, stage in stages.items())
    found.begin(
        ServingState(
            number=1,
            generations=generations,
            serves=Serves(generation="g1"),
            changed_at=now,
            reason="a test",
        )
    )
    return found


@pytest.fixture
def broker(record: ServingRecord, monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """The log that the commands read and append to."""
    del record
    made = MemoryBroker([AUDIT, MODELS, SEARCHES_CLOSED], 2)
    monkeypatch.setattr(rollout, "open_log_producer", lambda _: MemoryEventProducer(made))
    monkeypatch.setattr(place, "open_event_log", lambda _: MemoryEventLog(made))
    return made


def said(*arguments: str) -> str:
    """What a command that succeeds prints."""
    ended = CliRunner().invoke(app, ["experiment", *arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def told(broker: MemoryBroker) -> list[ExperimentStarted | ExperimentStopped]:
    """The events of the log."""
    return [decode(message.value).data for message in broker.records(MODELS.name)]


def epoch_of(moment: datetime) -> int:
    """The default rules' epoch."""
    return int(moment.timestamp() // EPOCH_S)


def searches_close(broker: MemoryBroker, started: ExperimentStarted, actors: int) -> None:
    """Every actor searched once and clicked one of two, and the epoch closes."""
    epoch = epoch_of(started.started_at)
    issued_at = started.started_at + timedelta(milliseconds=1)
    made = [
        search(
            f"s-{number}",
            graded("p", 1, clicks=1),
            graded("q", 2),
            actor_id=f"a-{number}",
            variant=variant_of(started.name, arm_of(started, f"a-{number}")),
            issued_at=issued_at,
        )
        for number in range(actors)
    ]
    parts = [made[at : at + 50] for at in range(0, actors, 50)]
    append(broker, [marker(0, epoch - 1)])
    append(broker, [closed(0, epoch, *part) for part in parts], partition=0)
    append(broker, [marker(0, epoch)])


def append(
    broker: MemoryBroker,
    events: Sequence[SearchesClosed | EpochClosed],
    partition: int | None = None,
) -> None:
    """Put records on one partition of the closed searches, or on each."""
    producer = MemoryEventProducer(broker)
    for number, data in enumerate(events):
        for target in (0, 1) if partition is None else (partition,):
            value = encoded(data, f"c-{number}-{target}", SystemClock().now())
            producer.append(ProducerRecord(SEARCHES_CLOSED.name, "k", value, partition=target))


def test_the_page_has_the_commands() -> None:
    """The pattern that reads them still finds them."""
    assert [line.split()[1] for line in COMMANDS] == ["start", "report", "stop", "report", "start"]


def test_the_commands_of_the_page_run(broker: MemoryBroker, record: ServingRecord) -> None:
    """In their order, each on what the one before left."""
    for line in COMMANDS[:4]:
        said(*shlex.split(line)[1:])
    started, stopped = told(broker)
    assert isinstance(started, ExperimentStarted)
    assert isinstance(stopped, ExperimentStopped)
    assert (started.control.generation, started.treatment.generation) == ("g1", "g2")
    assert (started.share, started.interleave) == (0.5, False)
    assert stopped.finding == "too_little"
    assert record.read().state.experiment is None


def test_searches_follow_what_the_event_says(broker: MemoryBroker, record: ServingRecord) -> None:
    """Record and event are of one experiment, whose number tells each process to look."""
    said("start", "may", "--generation", "g2", "--share", "0.2")
    state = record.read().state
    assert state.number == 2
    assert [running_of(state)] == told(broker)
    assert "may: generation g2 against generation g1, 0.2 of" in experiment_line(load_settings())


@pytest.mark.parametrize("name", ["report", "stop"])
def test_nothing_runs(name: str, broker: MemoryBroker) -> None:
    """Each says so."""
    del broker
    with pytest.raises(SightlineError, match="no experiment runs"):
        said(name)
    assert experiment_line(load_settings()) == "none runs"


def test_only_what_may_serve_is_tried(broker: MemoryBroker) -> None:
    """Not what is being filled, nor what serves already; and one at a time."""
    with pytest.raises(Conflict, match="being filled"):
        said("start", "may", "--generation", "g3")
    with pytest.raises(Conflict, match="nothing to compare"):
        said("start", "may", "--generation", "g1")
    with pytest.raises(NotFound, match="no generation g9"):
        said("start", "may", "--generation", "g9")
    assert told(broker) == []
    said("start", "may", "--generation", "g2")
    with pytest.raises(Conflict, match="runs already"):
        said("start", "june", "--generation", "g2")


def test_a_name_is_used_once(broker: MemoryBroker) -> None:
    """Else its figures would be added to those of the first."""
    said("start", "may", "--generation", "g2")
    said("stop")
    with pytest.raises(Conflict, match="was an experiment may"):
        said("start", "may", "--generation", "g2")
    assert len(told(broker)) == 2


def test_what_is_to_be_tried_must_be_said(broker: MemoryBroker) -> None:
    """Neither generation nor query model, or an arm without actors: usage errors."""
    del broker
    for arguments in (["may"], ["may", "--generation", "g2", "--share", "1"]):
        ended = CliRunner().invoke(app, ["experiment", "start", *arguments])
        assert ended.exit_code == 2


def test_interleaving_is_for_everybody_unless_it_is_said(broker: MemoryBroker) -> None:
    """All actors tell; a smaller share leaves the others the control."""
    said("start", "june", "--generation", "g2", "--interleave")
    said("stop")
    said("start", "july", "--generation", "g2", "--interleave", "--share", "0.1")
    found = [each for each in told(broker) if isinstance(each, ExperimentStarted)]
    assert sorted((each.share, each.interleave) for each in found) == [(0.1, True), (1.0, True)]


def test_the_report_counts_what_has_closed(broker: MemoryBroker) -> None:
    """Actors, searches, each figure of both arms, the draw, and what is missing yet."""
    said("start", "may", "--generation", "g2")
    (started,) = told(broker)
    assert isinstance(started, ExperimentStarted)
    searches_close(broker, started, actors=150)
    lines = said("report").splitlines()
    text = "\n".join(lines)
    treated = sum(arm_of(started, f"a-{n}").value == "treatment" for n in range(150))
    assert f"  treatment: {treated} actors, {treated} searches, 0 of bots" in lines
    assert "ctr: 0.5 [0.5, 0.5] against 0.5 [0.5, 0.5]" in text
    assert "draw: chi-square p" in text
    assert lines[-2].startswith("too_little: ctr +0.0%")
    assert re.fullmatch(r"\d+ actors more would tell, if all stays as it is", lines[-1])


def test_it_can_be_stopped_while_the_log_is_away(
    broker: MemoryBroker, record: ServingRecord
) -> None:
    """Searches follow the record; what came of it is asked for later."""
    said("start", "may", "--generation", "g2")
    broker.down = True
    text = said("stop")
    assert "may has ended" in text
    assert "models.v1 is not told: " in text
    assert record.read().state.experiment is None
    broker.down = False
    assert "has ended" in said("report", "may")
    tell(record, MemoryEventProducer(broker), timeout_s=5)
    stopped = told(broker)[-1]
    assert isinstance(stopped, ExperimentStopped)
    assert (stopped.finding, stopped.says) == ("incomplete", "stopped by hand")


def test_a_start_that_the_log_did_not_take_is_told_later(
    broker: MemoryBroker, record: ServingRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It runs and is in the record, which whoever tells steps reads; told twice it is one event."""

    def away(_: Settings) -> MemoryEventProducer:
        raise PartUnavailable(Part.BROKER, "no answer")

    monkeypatch.setattr(rollout, "open_log_producer", away)
    assert "models.v1 is not told: " in said("start", "may", "--generation", "g2")
    assert told(broker) == []
    for _ in range(2):
        tell(record, MemoryEventProducer(broker), timeout_s=5)
    (started,) = told(broker)
    assert [running_of(record.read().state)] == [started]


def test_what_it_came_to_is_told_also_where_its_end_was_told_before(
    broker: MemoryBroker, record: ServingRecord
) -> None:
    """Reading the report takes longer than others wait to tell a step: by another event then."""
    said("start", "may", "--generation", "g2")
    running = record.read().state.experiment
    assert running is not None
    record.change(lambda state: state.experiment_stopped(SystemClock().now(), "enough"))
    producer = MemoryEventProducer(broker)
    tell(record, producer, timeout_s=5)
    for _ in range(2):
        record.change(lambda state: state.experiment_said(running.salt, "better", "ctr +6 %"))
        tell(record, producer, timeout_s=5)
    ends = [each for each in told(broker) if isinstance(each, ExperimentStopped)]
    assert [each.finding for each in ends] == ["incomplete", "better"]
    ids = [decode(message.value).id for message in broker.records(MODELS.name)]
    assert len(set(ids)) == len(ids)


def test_what_it_had_come_to_outlives_the_log(broker: MemoryBroker) -> None:
    """An embedded one forgets with its process; the record knows what ran, and its name is used."""
    said("start", "may", "--generation", "g2")
    (started,) = told(broker)
    assert isinstance(started, ExperimentStarted)
    searches_close(broker, started, actors=20)
    found = said("stop").splitlines()[-3]
    assert found.startswith("too_little: ")
    for at in (*broker.partitions(MODELS.name), *broker.partitions(SEARCHES_CLOSED.name)):
        broker.partition(at).records.clear()
    text = said("report", "may")
    assert "has ended; searches from" in text
    assert f"when it ended: {found}" in text
    with pytest.raises(Conflict, match="was an experiment may"):
        said("start", "may", "--generation", "g2")


def test_a_query_model_that_no_process_could_serve_is_refused(
    broker: MemoryBroker, record: ServingRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would go on by what it has, and the experiment would count nothing."""
    models = {None: LINEAR, f"clicks@{'a' * 64}": LINEAR, f"anew@{'b' * 64}": ANEW}
    monkeypatch.setattr(starting, "OpenModels", lambda _: SimpleNamespace(head=models.__getitem__))
    with pytest.raises(Conflict, match=r"cannot rank generation g1 .*`sightline reindex anew@"):
        said("start", "may", "--query-model", f"anew@{'b' * 64}")
    assert (told(broker), record.read().state.experiment) == ([], None)
    said("start", "may", "--query-model", f"clicks@{'a' * 64}")
    running = record.read().state.experiment
    assert running is not None
    assert running.treatment.query_model == f"clicks@{'a' * 64}"


def test_the_last_searches_are_reported_after_the_end(broker: MemoryBroker) -> None:
    """Their epochs close later; the log still says what the experiment was."""
    said("start", "may", "--generation", "g2")
    started = told(broker)[0]
    assert isinstance(started, ExperimentStarted)
    assert "nothing yet: no epoch has closed" in said("stop")
    searches_close(broker, started, actors=20)
    assert "has ended; searches from" in said("report", "may")
    assert re.search(r"control: \d+ actors", said("report", "may"))
    with pytest.raises(NotFound, match="knows an experiment june"):
        said("report", "june")
