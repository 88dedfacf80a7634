"""What `sightline promote` lets serve, and when it says why not yet."""

from __future__ import annotations

from contextlib import nullcontext
from typing import cast

import numpy as np
import pytest
from typer.testing import CliRunner

from sightline.engine.clock import ManualClock
from sightline.engine.connecting.open_models import OpenModels
from sightline.engine.embedding.model_registry import ModelRegistry
from sightline.engine.embedding.projections import Projection
from sightline.engine.errors import Conflict, NotFound
from sightline.engine.object_store.json_record import JsonRecord
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.kept_matrices import KeptMatrices
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Serves
from sightline.engine.settings import Settings
from sightline.infra.cli import reindex as cli_reindex
from sightline.infra.cli.main import app
from sightline.infra.commands import opened_store
from sightline.infra.commands.promote import Promotion
from sightline.infra.commands.rollout import Rollout
from tests.indexed_images import NOON
from tests.unit.test_familiarity_gate import drawn
from tests.unit.test_query_matrix import Model
from tests.unit.test_serving_record import CLICKS, experiment, first, known, with_ready

BUCKET = "sightline"
MEAN, MATRIX = np.zeros(3, np.float32), np.eye(3, 2, dtype=np.float32)
LINEAR = Model(Projection(MEAN, 2 * MATRIX))
ANEW = Model(Projection(MEAN, np.eye(3, 2, k=-1, dtype=np.float32)))
BY_MATRIX = Serves(generation="g-1", query_model=CLICKS)


class Models:
    """The settings' model, and one of the registry."""

    def __init__(self, new: Model) -> None:
        self._of = {None: Model(Projection(MEAN, MATRIX)), CLICKS: new}

    def head(self, reference: str | None) -> Model:
        """See `OpenModels.head`."""
        return self._of[reference]


def place(state: ServingState, new: Model = LINEAR) -> tuple[Rollout, Promotion]:
    """The commands over a record in memory."""
    store = MemoryObjectStore(BUCKET)
    record = ServingRecord(store, BUCKET, "sightline")
    record.begin(state)
    rollout = Rollout(Settings(), record, ManualClock(NOON))
    models = cast("OpenModels", Models(new))
    matrices = KeptMatrices(store, BUCKET, "sightline")
    return rollout, Promotion(rollout, ModelRegistry(store, BUCKET), models, matrices)


def of_clicks(state: ServingState) -> ServingState:
    """The second generation is of the promoted model."""
    of = {"g-2": CLICKS}
    each = (one.model_copy(update={"model": of.get(one.name)}) for one in state.generations)
    return state.model_copy(update={"generations": tuple(each)})


def test_a_linear_model_serves_at_once_and_a_repeat_changes_nothing() -> None:
    """By a matrix on the query of the generation that serves; a rollback takes it back."""
    rollout, promotion = place(first())
    for _ in range(2):
        begun = promotion.begin(CLICKS, "better")
        assert (begun.state.serves, begun.obstacle, begun.is_whole) == (BY_MATRIX, None, False)
    assert rollout.state().number == 2
    assert rollout.rollback("worse").serves == Serves(generation="g-1")


def test_its_own_generation_takes_over_and_back_means_the_model_before() -> None:
    """Once it is ready, unless somebody went back meanwhile."""
    rollout, promotion = place(first())
    begun = promotion.begin(CLICKS, "better")
    assert promotion.finish(begun, "better") is None, "there is none yet"
    rollout.record.change(lambda s: of_clicks(s.with_generation(known("g-2"), NOON, "made")))
    assert promotion.finish(begun, "better") is None, "it may not serve yet"
    rollout.record.change(lambda s: s.made_ready("g-2", NOON, "proven"))
    state = promotion.finish(begun, "better")
    assert state is not None
    assert state.serves == Serves(generation="g-2")
    assert rollout.rollback("worse").serves == Serves(generation="g-1")
    with pytest.raises(Conflict, match="g-2 is ready and waits"):
        promotion.finish(begun, "better")


@pytest.mark.parametrize(
    ("new", "why"),
    [(ANEW, "outside the space"), (Model(drawn()[0]), "behind its familiarity gate")],
)
def test_another_model_is_told_why_it_needs_a_generation_first(new: Model, why: str) -> None:
    """What serves stays."""
    rollout, promotion = place(first(), new)
    begun = promotion.begin(CLICKS, "better")
    assert why in (begun.obstacle or "")
    assert not begun.is_whole
    assert rollout.state() == first()


def test_a_generation_that_is_ready_serves_instead() -> None:
    """The model's own vectors are there: nothing is left to do."""
    _, promotion = place(of_clicks(with_ready()), ANEW)
    begun = promotion.begin(CLICKS, "better")
    assert begun.is_whole
    assert begun.state.serves == Serves(generation="g-2")


def test_what_comes_first_is_decided_on_what_serves_when_it_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody's switch came between: its matrix is that of the model which serves by then."""
    rollout, promotion = place(with_ready())
    put, turns = JsonRecord.put, [0]
    between = rollout.state().switched(Serves(generation="g-2"), NOON, "somebody's")

    def slower(record: JsonRecord[ServingState], state: ServingState, etag: str | None) -> None:
        turns[0] += 1
        if turns[0] == 1:
            put(record, between, etag)
        put(record, state, etag)

    monkeypatch.setattr(JsonRecord, "put", slower)
    begun = promotion.begin(CLICKS, "better")
    assert begun.state.serves == Serves(generation="g-2", query_model=CLICKS)
    assert rollout.state().serves == begun.state.serves


def test_the_command_fills_its_generation_as_a_re_index_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the rate, and without the images whose bytes are gone, where somebody agrees to that."""
    _, promotion = place(first(), ANEW)
    asked = dict[str, object]()
    monkeypatch.setattr(opened_store, "over_store", lambda *_: nullcontext(promotion))
    monkeypatch.setattr(cli_reindex, "reindex", lambda model, **how: asked.update(how, of=model))
    ended = CliRunner().invoke(app, ["promote", CLICKS, "--rate", "5", "--without-missing"])
    assert ended.exit_code == 0, ended.output
    assert asked == {"of": CLICKS, "rate": 5.0, "wait": True, "without_missing": True}


def test_an_experiment_is_in_the_way() -> None:
    """Its figures would mix what served before and after."""
    _, promotion = place(with_ready().experiment_started(experiment(), NOON, "a/b"))
    with pytest.raises(Conflict, match="stop it first"):
        promotion.begin(CLICKS, "better")


def test_a_model_that_was_never_released_is_none() -> None:
    """By name alone it is looked for in the registry."""
    _, promotion = place(first())
    with pytest.raises(NotFound, match="nobody"):
        promotion.begin("nobody", "better")
