"""What the commands on what serves do, say and tell the log."""

from __future__ import annotations

import socket
from concurrent.futures import Future
from datetime import timedelta

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Conflict, PartUnavailable
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.telling import tell
from sightline.engine.serving.untold_steps import LEFT_TO_ITS_MAKER, StepTelling
from sightline.engine.serving.values import Serves
from sightline.engine.serving.watch import RecordWatch
from sightline.engine.settings import RolloutSettings, Settings
from sightline.infra.commands import rollout as commands
from sightline.infra.commands.rollout import Rollout
from sightline.infra.reporting.generations_table import generation_lines
from sightline.schemas.audit import AccessRecorded
from sightline.schemas.envelope import EventData
from sightline.schemas.models import (
    ExperimentStopped,
    GenerationNoted,
    ModelPromoted,
    ModelRolledBack,
)
from sightline.schemas.registry import decode
from sightline.schemas.topics import AUDIT, MODELS
from tests.indexed_images import NOON
from tests.unit.test_serving_record import CLICKS, experiment, first, known, with_ready

BUCKET = "sightline"
OLDER = f"clicks@{'b' * 64}"
G2 = Serves(generation="g-2")


def place(state: ServingState, **settings: float) -> Rollout:
    """The commands over a record in memory."""
    record = ServingRecord(MemoryObjectStore(BUCKET), BUCKET, "sightline")
    record.begin(state)
    wanted = Settings(rollout=RolloutSettings.model_validate(settings))
    return Rollout(wanted, record, ManualClock(NOON))


def of_models(first: str | None, second: str | None) -> ServingState:
    """Two ready generations, of these models of the registry."""
    state = with_ready()
    models = {"g-1": first, "g-2": second}
    changed = (one.model_copy(update={"model": models[one.name]}) for one in state.generations)
    return state.model_copy(update={"generations": tuple(changed)})


def test_a_switch_and_a_rollback_are_told_as_events() -> None:
    """With the model that came, the one that went, and why; each once, however often it is told."""
    rollout, broker = place(of_models(OLDER, CLICKS)), MemoryBroker(partitions=1)
    producer = MemoryEventProducer(broker)
    rollout.switch(G2, "better")
    for _ in range(2):
        tell(rollout.record, producer, timeout_s=5)
    rollout.rollback("fewer clicks")
    tell(rollout.record, producer, timeout_s=5)
    messages = broker.records(MODELS.name)
    on, back = (decode(message.value or b"").data for message in messages)
    assert [message.key_text for message in messages] == ["clicks", "clicks"]
    assert on == ModelPromoted(
        name="clicks", digest="a" * 64, generation="g-2", replaced="b" * 64, promoted_at=NOON
    )
    assert back == ModelRolledBack(
        name="clicks",
        digest="a" * 64,
        restored="b" * 64,
        generation="g-1",
        reason="fewer clicks",
        rolled_back_at=NOON,
    )
    assert not rollout.state().to_tell


def test_what_the_log_does_not_take_stays_untold() -> None:
    """Somebody else finds it so, and the event is the same one."""
    rollout, broker = place(of_models(None, CLICKS)), MemoryBroker(partitions=1)
    before = rollout.switch(G2, "better").to_tell
    broker.down = True
    with pytest.raises(PartUnavailable):
        tell(rollout.record, MemoryEventProducer(broker), timeout_s=5)
    assert rollout.state().to_tell == before
    assert len(before) == 1


def test_a_log_that_never_answers_is_a_part_that_is_away() -> None:
    """Not a time-out of some library: whoever follows the record would end by it."""
    rollout = place(of_models(None, CLICKS))
    rollout.switch(G2, "better")
    producer = MemoryEventProducer(MemoryBroker(partitions=1))
    producer.answer = Future()
    with pytest.raises(PartUnavailable, match="not acknowledged"):
        tell(rollout.record, producer, timeout_s=0)
    assert rollout.state().to_tell


@pytest.mark.parametrize(
    ("models", "on", "back"),
    [
        ((None, CLICKS), ModelPromoted, ModelRolledBack),
        ((CLICKS, None), ModelRolledBack, ModelPromoted),
        ((None, None), None, None),
    ],
)
def test_each_step_says_what_became_of_a_registered_model(
    models: tuple[str | None, str | None], on: type | None, back: type | None
) -> None:
    """What the settings name has no name in the registry, and so no event of its own."""
    rollout = place(of_models(*models))
    rollout.switch(G2, "on")
    rollout.rollback("back")
    told = [type(event) for event in waiting(rollout.state())]
    assert told == [one for one in (on, back) if one is not None]


def waiting(state: ServingState) -> list[EventData]:
    """What the log is still to be told."""
    return [decode(untold.text.encode()).data for untold in state.to_tell]


def test_no_step_takes_the_place_of_one_that_is_not_told_yet() -> None:
    """The log was away for two of them: it is told both, in their order, and each once."""
    rollout, broker = place(of_models(OLDER, CLICKS)), MemoryBroker(partitions=1)
    rollout.switch(G2, "better")
    rollout.rollback("fewer clicks")
    for _ in range(2):
        tell(rollout.record, MemoryEventProducer(broker), timeout_s=5)
    told = [decode(message.value or b"").data for message in broker.records(MODELS.name)]
    assert [type(data) for data in told] == [ModelPromoted, ModelRolledBack]


def test_a_rollback_tells_that_the_experiment_has_ended() -> None:
    """It came to nothing; by the event that stopping it would have had."""
    rollout = place(of_models(OLDER, CLICKS))
    rollout.switch(G2, "better")
    tried = experiment(treatment=Serves(generation="g-1"))
    rollout.record.change(lambda state: state.experiment_started(tried, NOON, "tried"))
    state = rollout.rollback("fewer clicks")
    stopped = waiting(state)[-1]
    assert stopped == ExperimentStopped(
        name=tried.name,
        finding="incomplete",
        says="something else serves: fewer clicks",
        stopped_at=NOON,
    )
    assert state.to_tell[-1].id == f"experiment-stopped-{tried.salt}"


def test_what_becomes_of_a_generation_is_told() -> None:
    """Made, compared, proven and dropped; a repeat is the same event."""
    new = known("g-3").model_copy(update={"model": CLICKS})
    state = first().with_generation(new, NOON, "re-index by features")
    for _ in range(2):
        state = state.refused("g-3", NOON, "1 images: missing")
        assert len(state.to_tell) == 2
    state = state.made_ready("g-3", NOON, "proven equal").made_ready("g-3", NOON, "again")
    told = waiting(state.dropped("g-3", NOON, timedelta()))
    assert all(isinstance(one, GenerationNoted) and one.generation == "g-3" for one in told)
    assert [one.step for one in told if isinstance(one, GenerationNoted)] == [
        *("made", "refused", "proven", "dropped")
    ]


def test_steps_that_nobody_told_are_told_by_who_looks() -> None:
    """Their maker has its time; then whoever looks tells the log, once."""
    rollout, broker = place(of_models(None, CLICKS)), MemoryBroker(partitions=1)
    rollout.switch(G2, "better")
    clock = ManualClock(NOON)
    watched = RecordWatch(rollout.record, every_s=0.25, clock=clock)
    telling = StepTelling(watched, MemoryEventProducer(broker), clock)
    telling.look()
    assert not broker.records(MODELS.name)
    clock.advance(LEFT_TO_ITS_MAKER.total_seconds())
    for _ in range(2):
        telling.look()
    assert len(broker.records(MODELS.name)) == 1
    assert not rollout.state().to_tell


def test_a_generation_is_kept_for_its_grace() -> None:
    """As long as `rollout.grace_days` say; the list tells what serves and where the way leads."""
    rollout = place(with_ready(), grace_days=2)
    rollout.switch(G2, "better")
    told = "\n".join(generation_lines(rollout.state()))
    assert "g-2  serves" in told
    assert "g-1  retired" in told
    assert "a rollback leads to g-1" in told
    with pytest.raises(Conflict, match="kept for a way back"):
        rollout.drop("g-1")
    later = Rollout(
        Settings(rollout=RolloutSettings(grace_days=2)),
        rollout.record,
        ManualClock(NOON + timedelta(days=2)),
    )
    later.drop("g-1")
    told = "\n".join(generation_lines(rollout.state()))
    assert "g-1  dropped, not removed yet" in told
    assert "there is no way back" in told


def test_the_list_says_which_model_answers_by_a_matrix() -> None:
    """The vectors are another's, and a way back leads to that one's own queries, in both steps."""
    asked = Serves(generation="g-1", query_model=CLICKS)
    rollout = place(of_models(OLDER, None))
    rollout.switch(asked, "at once")
    told = list(generation_lines(rollout.state()))
    assert told[0].startswith(f"g-1  serves  {OLDER}  ")
    assert (
        told[2] == f"{CLICKS} answers, by a matrix on the query: the vectors are those of {OLDER}"
    )
    assert told[-1] == "a rollback leads to g-1"
    rollout.switch(G2, "its own vectors")
    assert list(generation_lines(rollout.state()))[-1] == f"a rollback leads to {asked}"


def test_the_list_says_which_model_an_experiment_tries() -> None:
    """Also where it has the vectors of what serves."""
    tried = experiment(treatment=Serves(generation="g-1", query_model=CLICKS))
    told = list(generation_lines(with_ready().experiment_started(tried, NOON, "tried")))
    assert f"experiment clicks-2: 50% of the actors get g-1 with the queries of {CLICKS}" in told


def test_the_audit_has_who_made_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the step itself: the command, the user of the shell and the host."""
    broker = MemoryBroker(partitions=1)
    monkeypatch.setattr(commands, "open_log_producer", lambda _: MemoryEventProducer(broker))
    monkeypatch.setenv("LOGNAME", "olivia")
    rollout = place(of_models(OLDER, CLICKS))
    rollout.switch(G2, "better")
    assert rollout.tell("sightline switch g-2") is None
    assert len(broker.records(MODELS.name)) == 1
    [message] = broker.records(AUDIT.name)
    act = decode(message.value or b"").data
    assert isinstance(act, AccessRecorded)
    assert (act.who, act.action) == ("shell olivia", "sightline switch g-2")
    assert act.address == socket.gethostname()[:64]


def test_telling_without_a_log_says_so() -> None:
    """The step is made all the same: nothing runs here."""
    rollout = place(with_ready())
    rollout.switch(G2, "better")
    assert "nothing runs" in (rollout.tell("sightline switch g-2") or "")
    assert rollout.state().serves == G2
