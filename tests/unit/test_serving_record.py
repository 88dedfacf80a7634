"""What may serve, what is refused, and that two who change the record never undo each other."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from sightline.engine.errors import Conflict, NotFound, Unreadable
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.pair import ServingPair
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import KEPT_BEFORE, ServingState
from sightline.engine.serving.values import Experiment, GenerationStage, KnownGeneration, Serves
from tests.label_rows import NOON

BUCKET, INDEX = "sightline", "photos"
WEEK = timedelta(days=7)
CLICKS = f"clicks@{'a' * 64}"

OTHER = f"clicks@{'d' * 64}"


def known(name: str, stage: GenerationStage = GenerationStage.FILLING) -> KnownGeneration:
    """A generation as it is made."""
    return KnownGeneration(
        name=name, model_digest=f"sha256:{name}", group=f"index-{name}", stage=stage, made_at=NOON
    )


def first() -> ServingState:
    """A deployment at its start."""
    return ServingState.first(known("g-1", GenerationStage.READY), NOON)


def with_ready(name: str = "g-2") -> ServingState:
    """A second generation is proven, and the first one serves."""
    return first().with_generation(known(name), NOON, "made").made_ready(name, NOON, "proven")


def stages(state: ServingState) -> dict[str, str]:
    """How far each generation is."""
    return {one.name: one.stage.value for one in state.generations}


def experiment(**changes: Any) -> Experiment:
    """Half of the actors get the second generation."""
    facts = {
        "name": "clicks-2",
        "treatment": Serves(generation="g-2"),
        "share": 0.5,
        "salt": "s",
        "started_at": NOON,
    }
    return Experiment(**facts | changes)


def test_a_generation_serves_once_it_is_ready() -> None:
    """Filled, proven, switched to: what served before is retired, and a way back leads to it."""
    state = first().with_generation(known("g-2"), NOON, "made")
    with pytest.raises(Conflict, match="is being filled"):
        state.switched(Serves(generation="g-2"), NOON, "too soon")
    after = state.made_ready("g-2", NOON, "proven").switched(
        Serves(generation="g-2"), NOON, "better"
    )
    assert (state.number, after.number, after.reason) == (1, 2, "better")
    assert stages(after) == {"g-1": "retired", "g-2": "ready"}
    assert after.generation("g-1").retired_at == NOON
    assert after.before == (Serves(generation="g-1"),)
    assert after.serving.name == "g-2"
    assert after.in_service == {"g-2"}


def test_a_rollback_is_the_same_step_back() -> None:
    """The old one is ready again, the new one retired; further back there is nothing."""
    back = with_ready().switched(Serves(generation="g-2"), NOON, "on").rolled_back(NOON, "worse")
    assert stages(back) == {"g-1": "ready", "g-2": "retired"}
    assert back.generation("g-1").retired_at is None
    assert (back.serves.generation, back.number, back.before) == ("g-1", 3, ())
    with pytest.raises(Conflict, match="no way back"):
        back.rolled_back(NOON, "again")
    forth = back.switched(Serves(generation="g-2"), NOON, "it was not the model")
    assert stages(forth) == {"g-1": "retired", "g-2": "ready"}


def test_a_query_model_serves_on_the_same_generation() -> None:
    """The generation stays in service, and the way back leads to its own model."""
    state = first().switched(Serves(generation="g-1", query_model=CLICKS), NOON, "at once")
    assert stages(state) == {"g-1": "ready"}
    assert state.rolled_back(NOON, "worse").serves == Serves(generation="g-1")


def test_a_rollback_leads_past_both_steps_of_a_promotion() -> None:
    """A model that ranked others' vectors gets its own: back means the model before it."""
    state = with_ready()
    own = [
        one.model_copy(update={"model": CLICKS}) if one.name == "g-2" else one
        for one in state.generations
    ]
    state = state.model_copy(update={"generations": tuple(own)})
    first, by_matrix = state.serves, Serves(generation="g-1", query_model=CLICKS)
    whole = state.switched(by_matrix, NOON, "at once").switched(
        Serves(generation="g-2"), NOON, "whole"
    )
    assert whole.before == (first,)
    assert whole.rolled_back(NOON, "fewer clicks").serves == first
    another = state.switched(by_matrix.model_copy(update={"query_model": OTHER}), NOON, "other")
    assert another.switched(Serves(generation="g-2"), NOON, "clicks").before[0] == another.serves


def test_steps_back_are_remembered_within_a_bound() -> None:
    """The record does not grow with every switch of a deployment's life."""
    state = with_ready()
    for turn in range(KEPT_BEFORE + 3):
        state = state.switched(Serves(generation=("g-2", "g-1")[turn % 2]), NOON, "on")
    assert len(state.before) == KEPT_BEFORE


def test_what_serves_already_is_refused() -> None:
    """A switch that changes nothing would make a way back that changes nothing."""
    with pytest.raises(Conflict, match="g-1 serves already"):
        first().switched(Serves(generation="g-1"), NOON, "no")


def test_a_name_is_taken_once() -> None:
    """Whoever makes a generation that is there already learns that he must go on with it."""
    with pytest.raises(Conflict, match="exists already"):
        with_ready().with_generation(known("g-2"), NOON, "again")
    with pytest.raises(Conflict, match="must begin as `filling`"):
        first().with_generation(known("g-3", GenerationStage.READY), NOON, "unproven")


def test_unknown_names_are_told_with_those_that_are_known() -> None:
    """A typing error is seen at once."""
    with pytest.raises(NotFound, match="no generation g-9: there are g-1, g-2"):
        with_ready().switched(Serves(generation="g-9"), NOON, "typo")


def test_only_what_serves_nobody_is_dropped() -> None:
    """In service, in its grace: refused; beyond it the generation is gone, and the way back too."""
    state = with_ready().switched(Serves(generation="g-2"), NOON, "on")
    with pytest.raises(Conflict, match="g-2 serves"):
        state.dropped("g-2", NOON, WEEK)
    with pytest.raises(Conflict, match=r"until 2\d{3}-.*rollout.grace_days"):
        state.dropped("g-1", NOON + WEEK - timedelta(seconds=1), WEEK)
    left = state.dropped("g-1", NOON + WEEK, WEEK)
    assert stages(left) == {"g-2": "ready"}
    assert left.before == ()
    assert left.number == state.number
    with pytest.raises(Conflict, match="not removed yet"):
        left.with_generation(known("g-1"), NOON, "anew")
    gone = left.removed("g-1").removed("g-1")
    assert (left.dropping, gone.dropping) == (("g-1",), ())
    assert stages(gone.with_generation(known("g-1"), NOON, "anew"))["g-1"] == "filling"


def test_what_never_served_needs_no_grace() -> None:
    """A generation that was given up while it was filled goes at once."""
    state = first().with_generation(known("g-2"), NOON, "made")
    assert stages(state.dropped("g-2", NOON, WEEK)) == {"g-1": "ready"}


def test_an_experiment_has_two_that_serve() -> None:
    """Neither is dropped or replaced while it runs; a rollback ends it."""
    state = with_ready().experiment_started(experiment(), NOON, "compare")
    assert state.in_service == {"g-1", "g-2"}
    assert state.number == 2
    with pytest.raises(Conflict, match="clicks-2 runs already"):
        state.experiment_started(experiment(), NOON, "again")
    with pytest.raises(Conflict, match="stop it first"):
        state.switched(Serves(generation="g-2"), NOON, "too soon")
    with pytest.raises(Conflict, match="g-2 serves"):
        state.dropped("g-2", NOON, WEEK)
    stopped = state.experiment_stopped(NOON, "enough")
    assert (stopped.experiment, stopped.number) == (None, 3)
    with pytest.raises(Conflict, match="no experiment"):
        stopped.experiment_stopped(NOON, "again")


def test_a_rollback_ends_an_experiment() -> None:
    """In an emergency nobody has to think of what else runs."""
    state = with_ready().switched(Serves(generation="g-2"), NOON, "on")
    arm = experiment(treatment=Serves(generation="g-1"))
    back = state.experiment_started(arm, NOON, "compare").rolled_back(NOON, "worse")
    assert back.experiment is None
    assert back.serves.generation == "g-1"


def test_an_experiment_needs_two_that_may_serve() -> None:
    """Not with itself, and not with what is being filled."""
    with pytest.raises(Conflict, match="nothing to compare"):
        with_ready().experiment_started(
            experiment(treatment=Serves(generation="g-1")), NOON, "same"
        )
    state = first().with_generation(known("g-2"), NOON, "made")
    with pytest.raises(Conflict, match="is being filled"):
        state.experiment_started(experiment(), NOON, "too soon")


def test_what_was_not_fed_for_a_while_comes_into_service_in_no_way() -> None:
    """Not by a switch, a rollback or an experiment, until it lacks nothing; then by each."""
    state = with_ready().left_behind("g-2").left_behind("g-2").left_behind("g-9")
    assert state.behind == ("g-2",)
    with pytest.raises(Conflict, match="g-2 was not fed for a while"):
        state.switched(Serves(generation="g-2"), NOON, "on")
    with pytest.raises(Conflict, match="g-2 was not fed for a while"):
        state.experiment_started(experiment(), NOON, "tried")
    on = state.caught_up("g-2").switched(Serves(generation="g-2"), NOON, "on")
    with pytest.raises(Conflict, match="g-1 was not fed for a while"):
        on.left_behind("g-1").rolled_back(NOON, "back")
    assert on.left_behind("g-1").caught_up("g-1").rolled_back(NOON, "back").number == 3
    gone = state.dropped("g-2", NOON, WEEK)
    assert (gone.behind, gone.forgetting) == ((), ("index-g-2",))
    filling = first().with_generation(known("g-2"), NOON, "made")
    assert filling.left_behind("g-2") == filling, "it is looked through before it is proven"


def test_what_the_log_forgot_unread_is_filled_again_before_it_may_serve() -> None:
    """By no way does it come into service, and all are told; what serves goes on."""
    before = with_ready().switched(Serves(generation="g-2"), NOON, "on").left_behind("g-1")
    state = before.to_fill_again("g-1", NOON, "the log forgot")
    assert (stages(state)["g-1"], state.behind) == ("filling", ())
    assert state.reason == "generation g-1 is to be filled again: the log forgot"
    with pytest.raises(Conflict, match="g-1 is being filled"):
        state.rolled_back(NOON, "back")
    with pytest.raises(Conflict, match="g-1 is being filled"):
        state.switched(Serves(generation="g-1"), NOON, "back")
    assert state.to_fill_again("g-1", NOON, "the log forgot") == state
    assert state.to_fill_again("g-2", NOON, "the log forgot") == state, "it serves"
    assert state.made_ready("g-1", NOON, "proven").rolled_back(NOON, "back").number == 3
    clicks = known("g-3").model_copy(update={"model": CLICKS})
    told = first().with_generation(clicks, NOON, "made").made_ready("g-3", NOON, "proven")
    [*_, last] = told.to_fill_again("g-3", NOON, "the log forgot").to_tell
    assert "unread" in last.id


def test_groups_of_a_generation_that_is_made_again_are_kept() -> None:
    """It reads by them from where it was told to."""
    gone = with_ready().dropped("g-2", NOON, WEEK).removed("g-2")
    assert gone.with_generation(known("g-2"), NOON, "again").forgetting == ()
    assert gone.forgotten("index-g-2").forgetting == ()


def test_experiments_that_ran_are_remembered() -> None:
    """Stopped or ended by another step, newest first, with what they had come to."""
    tried = with_ready().experiment_started(experiment(), NOON, "a/b")
    state = tried.experiment_stopped(NOON, "enough").experiment_said("s", "better", "ctr +6 %")
    [kept] = state.ended
    assert (kept.experiment, kept.control) == (experiment(), Serves(generation="g-1"))
    assert kept.says == "better: ctr +6 %"
    again = state.experiment_started(experiment(name="june", salt="j"), NOON, "again")
    on = again.experiment_stopped(NOON, "enough").switched(Serves(generation="g-2"), NOON, "on")
    third = on.experiment_started(
        experiment(name="july", salt="k", treatment=Serves(generation="g-1")), NOON, "again"
    )
    back = third.rolled_back(NOON, "worse")
    assert [one.experiment.name for one in back.ended] == ["july", "june", "clicks-2"]


def test_the_record_is_read_as_it_was_written() -> None:
    """Stored once at the start, then replaced by who read it last."""
    record = ServingRecord(MemoryObjectStore(BUCKET), BUCKET, INDEX)
    assert (record.find(), record.etag()) == (None, None)
    with pytest.raises(NotFound, match="sightline up"):
        record.read()
    record.begin(first())
    with pytest.raises(Conflict):
        record.begin(first())
    stored = record.read()
    assert stored.state == first()
    assert stored.etag == record.etag()
    record.replace(stored, with_ready())
    with pytest.raises(Conflict):
        record.replace(stored, first())
    assert record.read().state == with_ready()


def test_a_change_is_made_on_whatever_others_made() -> None:
    """Of two who change it at once the slower one changes what the faster one left."""
    record = ServingRecord(MemoryObjectStore(BUCKET), BUCKET, INDEX)
    record.begin(first())
    turns: list[int] = []

    def step(state: ServingState) -> ServingState:
        if not turns:
            record.replace(record.read(), first().with_generation(known("g-2"), NOON, "other"))
        turns.append(state.number)
        return state.with_generation(known("g-3"), NOON, "mine")

    assert list(stages(record.change(step))) == ["g-1", "g-2", "g-3"]
    assert len(turns) == 2
    assert record.change(lambda state: state) == record.read().state


def test_a_record_that_cannot_be_read_says_so() -> None:
    """Damaged, or written by a later release: nobody guesses what serves."""
    store = MemoryObjectStore(BUCKET)
    store.put(BUCKET, f"serving/{INDEX}/state.json", b'{"format": 2}')
    with pytest.raises(Unreadable, match="later release"):
        ServingRecord(store, BUCKET, INDEX).read()


def test_a_query_goes_through_the_matrix_of_its_pair() -> None:
    """Turned and of length one again; without a matrix it is asked as it is."""
    vector = np.array([0.6, 0.8], np.float32)
    parts: dict[str, Any] = {"embedder": None, "index": None, "spec": None}
    assert ServingPair(**parts).query(vector) is vector
    matrix = np.array([[2, 0], [0, 0]], np.float32)
    turned = ServingPair(**parts, matrix=matrix).query(vector)
    assert turned.tolist() == [1.0, 0.0]
    assert turned.dtype == np.float32
