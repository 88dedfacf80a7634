"""Records in the bucket as nobody writes them: told as what they are, acted on by nobody."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from sightline.engine.clock import ManualClock
from sightline.engine.errors import (
    SettingsInvalid,
    Unreadable,
)
from sightline.engine.label_data.propensity import curve_key, latest_curve
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.object_store.json_record import MAX_BYTES, StoredValue
from sightline.engine.object_store.lease import Lease
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.object_store.noted_times import noted_time
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.infra.commands.experiments.place import ExperimentPlace
from sightline.infra.commands.experiments.starting import ExperimentWishes, start
from sightline.schemas.fields import MAX_VERSION, Contract
from sightline.schemas.models import MAX_REASON, ModelRolledBack
from sightline.schemas.registry import decode
from sightline.search_api.learning.learned_models import _counts, _number
from sightline.stream_workers.reindexing.parity import Reproduced
from sightline.stream_workers.reindexing.progress import ReindexProgress
from sightline.stream_workers.rolling_out.state import RolloutState
from sightline.training.retraining.state import (
    AttemptOutcome,
    JudgedHead,
    RetrainingRecord,
    RetrainingState,
)
from tests.conftest import ROOT
from tests.indexed_images import NOON
from tests.unit.test_rollout_commands import G2, OLDER, of_models, place
from tests.unit.test_serving_record import CLICKS, experiment, with_ready

BUCKET, INDEX = "sightline", "photos"
KEY = f"serving/{INDEX}/state.json"
WHOLE = json.loads(with_ready().model_dump_json())
FIRST, SECOND = WHOLE["generations"]
FAR = "9999-12-31T23:59:59Z"
TREATMENT = {**json.loads(experiment().model_dump_json()), "treatment": {"generation": "g-9"}}

ODD: dict[str, dict[str, Any]] = {
    "serves what is not there": {"serves": {"generation": "g-9"}},
    "serves what is being filled": {"generations": [FIRST | {"stage": "filling"}, SECOND]},
    "was served by what is not there": {"before": [{"generation": "g-9"}]},
    "an experiment with what is not there": {"experiment": TREATMENT},
    "an experiment without a salt": {"experiment": TREATMENT | {"salt": ""}},
    "an experiment beside the folder": {"experiment": TREATMENT | {"name": "../x"}},
    "no generation": {"generations": []},
    "one generation twice": {"generations": [FIRST, FIRST | {"group": "other"}]},
    "two generations of one group": {"generations": [FIRST, SECOND | {"group": FIRST["group"]}]},
    "what serves is to be dropped": {"dropping": ["g-1"]},
    "what is ready is to be dropped": {"dropping": ["g-2"]},
    "a generation beside the folder": {"dropping": ["../../secrets"]},
    "a model that is none": {"generations": [FIRST | {"model": "../x@" + "a" * 64}, SECOND]},
    "a newer format": {"format": 2},
    "a number of 400 digits": {"number": 10**400},
    "a year that cannot be meant": {"changed_at": FAR},
    "left in a year that cannot be meant": {"generations": [FIRST, SECOND | {"retired_at": FAR}]},
    "too long": {"reason": "x" * MAX_BYTES},
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_a_record_of_what_serves_that_contradicts_itself_is_unreadable(odd: dict[str, Any]) -> None:
    """A dropped generation that serves would be removed, two of one group would share events."""
    store = MemoryObjectStore(BUCKET)
    store.put(BUCKET, KEY, json.dumps(WHOLE | odd).encode(), content_type="application/json")
    with pytest.raises(Unreadable, match=r"state\.json"):
        ServingRecord(store, BUCKET, INDEX).find()


@pytest.mark.parametrize("data", [b"", b"\xff", b"[" * 100_000, b"null", b"{}"])
def test_no_bytes_are_more_than_unreadable(data: bytes) -> None:
    """Nor is any other object in its place."""
    store = MemoryObjectStore(BUCKET)
    store.put(BUCKET, KEY, data, content_type="application/json")
    with pytest.raises(Unreadable):
        ServingRecord(store, BUCKET, INDEX).find()


def test_after_the_highest_number_the_next_step_can_be_read() -> None:
    """Readers ask whether it is another one."""
    last = with_ready().model_copy(update={"number": MAX_VERSION})
    after = last.switched(G2, NOON, "better")
    assert ServingState.model_validate_json(after.model_dump_json()) == after
    assert after.number == 1


@pytest.mark.parametrize("reason", ["", " ", "\udcff", "a\nb\x1b[2J", "x" * 5_000])
def test_whatever_is_given_as_a_reason_can_be_told(reason: str) -> None:
    """What the log cannot be told would end each process that tries to."""
    rollout = place(of_models(OLDER, CLICKS))
    rollout.switch(G2, reason)
    state = rollout.rollback(reason)
    data = decode(state.to_tell[-1].text.encode()).data
    assert isinstance(data, ModelRolledBack)
    assert state.reason == data.reason
    assert 0 < len(data.reason) <= MAX_REASON
    assert data.reason.isprintable()


@pytest.mark.parametrize("measure", [float("nan"), float("inf"), -float("inf")])
def test_a_measure_that_is_no_number_leaves_the_record_readable(measure: float) -> None:
    """And is no number when it is read: `null` would say that nothing was measured."""
    record = RetrainingRecord(MemoryObjectStore(BUCKET), BUCKET, "shop")
    begun = RetrainingState().begun({("log", 0): 1}, NOON)
    judged = JudgedHead(
        head="a" * 64,
        outcome=AttemptOutcome.REFUSED,
        strength=0.5,
        needs=0,
        lines=(),
        metrics={"map": measure},
    )
    attempt = begun.under_way
    assert attempt is not None
    state = begun.model_copy(update={"under_way": attempt.model_copy(update={"judged": judged})})
    record.replace(record.read(), state)
    read = record.read().state.under_way
    assert read is not None
    assert read.judged is not None
    assert str(read.judged.metrics["map"]) == str(measure)


def test_a_comparison_that_gave_no_number_is_not_passed_when_it_is_read() -> None:
    """The generation may not serve, and whoever looks next must say the same."""
    compared = Reproduced(pictures=3, worst_cosine=float("nan"))
    assert not compared.passed
    assert not Reproduced.model_validate_json(compared.model_dump_json()).passed


def _inside(kind: Any) -> Iterator[type[BaseModel]]:
    """Every model in the fields of one, however deep."""
    for part in (kind, *get_args(kind)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part
            for field in part.model_fields.values():
                yield from _inside(field.annotation)
        elif part is not kind:
            yield from _inside(part)


@pytest.mark.parametrize("kind", [ServingState, ReindexProgress, RolloutState, RetrainingState])
def test_everything_in_a_record_is_read_back_as_it_was_written(kind: type[BaseModel]) -> None:
    """Contracts have no number that is none."""
    odd = {one for one in _inside(kind) if not issubclass(one, StoredValue | Contract)}
    assert odd == set()


def test_a_lease_or_a_note_that_nobody_can_read_holds_nobody_up() -> None:
    """However long it is: it is not read."""
    store = MemoryObjectStore(BUCKET)
    for key in ("lease.json", "noted"):
        store.put(BUCKET, key, b" " * 10**6, content_type="application/json")
    assert Lease(store, BUCKET, "lease.json", lasts_s=5, clock=ManualClock(NOON)).take()
    assert noted_time(store, BUCKET, "noted", now=NOON) is None


def test_a_damaged_object_of_the_labels_is_told_with_its_key() -> None:
    """What reads them goes on to the next one, or waits; no process ends."""
    store = MemoryObjectStore(BUCKET)
    manifest, damaged = TripleManifest(store, BUCKET, "topic"), "labels/topic/manifest/odd.json"
    for key in (damaged, curve_key(1)):
        store.put(BUCKET, key, b"{", content_type="application/json")
    with pytest.raises(Unreadable, match=damaged):
        list(manifest.entries())
    with pytest.raises(Unreadable, match="propensity"):
        latest_curve(store, BUCKET)


def test_figures_of_a_model_that_no_float_holds_are_left_out() -> None:
    """The answer about what serves needs them not."""
    assert [_number(odd) for odd in (10**400, float("nan"), "1", None)] == [None] * 4
    assert _counts({"counted": {"triples": 10**400, "pairs": -1, "anchors": 3}}) == {"anchors": 3}


@pytest.mark.parametrize(
    "wish",
    [
        {"name": "../x"},
        {"name": "Caps"},
        {"name": "a" * 65},
        {"generation": "../x"},
        {"query_model": "shop"},
        {"query_model": "../x@" + "a" * 64},
    ],
)
def test_an_experiment_with_names_that_are_none_is_refused(wish: dict[str, str]) -> None:
    """In a sentence, before log or store are asked."""
    facts: dict[str, Any] = {"name": "june", "generation": None, "query_model": None}
    wishes = ExperimentWishes(**facts | wish, share=0.5, interleave=False)
    with pytest.raises(SettingsInvalid):
        start(ExperimentPlace.__new__(ExperimentPlace), wishes)


def _is_bounded(call: ast.Call) -> bool:
    bounds = {one.arg: ast.unparse(one.value) for one in call.keywords}
    return bounds.get("max_bytes", "None") != "None"


def test_whatever_is_read_of_a_bucket_is_read_within_a_bound() -> None:
    """But what is long by its nature: Parquet files, which readers need whole."""
    whole = {"engine/label_data/triple_table.py"}
    found = set()
    for file in ROOT.glob("[eipst]*/**/*.py"):
        name = file.relative_to(ROOT).as_posix()
        if name.split("/")[0] in {"tests", "build"}:
            continue
        text = file.read_text()
        # Without these words it has no such call, and need not be parsed.
        words = "stored_bytes" in text or ("store" in text and "get" in text)
        for node in ast.walk(ast.parse(text)) if words else ():
            if not isinstance(node, ast.Call):
                continue
            said = ast.unparse(node.func)
            reads = said.endswith("store.get") and len(node.args) == 2
            if (reads or said == "stored_bytes") and not _is_bounded(node):
                found.add(name)
    assert found == whole
