"""What a training learnt from, learnt from again: `--like`, and a retraining that goes on."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from shutil import rmtree

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Part, PartUnavailable, SettingsInvalid
from sightline.engine.label_data.propensity import (
    PositionBias,
    PropensityCurve,
    curve_key,
    store_curve,
)
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.records import ProducerRecord
from sightline.infra.commands import kept_messages
from sightline.infra.commands.extent import extent_of
from sightline.infra.commands.learning.retraining_work import TrainingWork
from sightline.infra.commands.taken_back import taken_back_told
from sightline.schemas.interactions import UserErased
from sightline.schemas.topics import JUDGEMENTS, TRAINING_TRIPLES
from sightline.training.retraining.sink_triples import SinkTriples
from sightline.training.retraining.state import Attempt, RetrainingState
from tests.label_rows import at, encoded, retracted
from tests.training_place import BUCKET, LEARNING, Place, dying, seen_place

POSITION = 2
"""Where the place's clicks were, as the example of a triple has it."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Pictures and clicks, seen by a network of sixteen features."""
    return seen_place(tmp_path, monkeypatch)


def fit(place: Place, weight: float) -> None:
    """Store a curve by which each of the place's clicks counts so much."""
    places = (PositionBias(position=POSITION, fitted=True, weight=weight),)
    curve = PropensityCurve(
        method="m",
        fitted_at=at(0),
        source_topics=(),
        first_epoch=None,
        last_epoch=None,
        searches=1,
        anchors=1,
        pairs=1,
        max_weight=10,
        bootstrap=1,
        seed=0,
        positions=places,
    )
    store_curve(place.store, BUCKET, curve, b"<svg/>")


def erase(place: Place, person: str) -> None:
    """Take back what somebody judged."""
    gone = UserErased(user_pseudonym=person, erased_at=at(60))
    place.producer.append(ProducerRecord(JUDGEMENTS.name, "x", encoded(gone, f"gone-{person}")))


@pytest.mark.parametrize("fitted", [False, True])
def test_a_grade_and_a_curve_since_change_nothing(place: Place, *, fitted: bool) -> None:
    """Nor does a first curve where there was none: every byte is the earlier run's."""
    if fitted:
        fit(place, 2)
    first = place.train("first")
    fit(place, 5)
    assert place.train("curve")["head.safetensors"] != first["head.safetensors"]
    place.judge("i03", "i09", 5)
    newest = json.loads(place.train("newest")["run.json"])
    assert (newest["counted"]["judgements"], newest["propensity_version"]) == (2, 1 + fitted)
    place.said.clear()
    assert place.train("again", like=place.folder / "first") == first
    assert not [said for said in place.said if "first" in said]


def test_a_curve_that_is_gone_is_named(place: Place) -> None:
    """Another one would make another head."""
    fit(place, 2)
    place.train("first")
    fit(place, 5)
    place.store.delete(BUCKET, curve_key(1))
    with pytest.raises(SettingsInvalid, match=r"000001\.json.* is gone"):
        place.train("again", like=place.folder / "first")


def test_what_taught_and_was_erased_since_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To who repeats the run, and who asks about the model; what came later is no change."""
    place.judge("i01", "i02", 5, "key~bob")
    run = json.loads(place.train("first")["run.json"])
    place.judge("i03", "i09", 5, "key~eve")
    assert taken_back_told(place.settings, place.store, run) is None
    erase(place, "bob")
    place.sink([retracted(3)], 60)
    triples = "1 triples that taught it were taken back since: it is no longer reproducible"
    judged = (
        "the judgements that taught it were changed or erased since (2 then, 1 now): "
        "it is no longer reproducible"
    )
    again = json.loads(place.train("again", like=place.folder / "first")["run.json"])
    assert (again["counted"]["judgements"], again["counted"]["triples"]) == (1, 59)
    told = [said for said in place.said if said.startswith(str(place.folder / "first"))]
    assert told == [f"{place.folder / 'first'}: {each}" for each in (triples, judged)]
    assert taken_back_told(place.settings, place.store, run) == f"{triples}; {judged}"

    def away(_: object) -> None:
        raise PartUnavailable(Part.BROKER, "switched off")

    monkeypatch.setattr(kept_messages, "open_event_log", away)
    assert "nobody can tell" in (taken_back_told(place.settings, place.store, run) or "")


def test_a_run_from_before_is_read_as_far_as_it_tells(place: Place) -> None:
    """What its record does not tell is said, and read as it is today."""
    place.train("first")
    file = place.folder / "first/run.json"
    old = json.loads(file.read_text())
    del old["judgements"], old["propensity_version"]
    file.write_text(json.dumps(old))
    place.judge("i03", "i09", 5)
    again = json.loads(place.train("again", like=place.folder / "first")["run.json"])
    assert again["counted"]["judgements"] == 2
    assert len([said for said in place.said if "is not recorded" in said]) == 2
    assert "is not recorded" in (taken_back_told(place.settings, place.store, old) or "")


@pytest.mark.parametrize("odd", [{"judgements": 3}, {"propensity_version": "x"}])
def test_a_record_that_another_program_wrote_is_refused(odd: dict[str, object]) -> None:
    """Nobody guesses how far it read."""
    with pytest.raises(SettingsInvalid, match="how far it read"):
        extent_of({"offsets": []} | odd)


def begun(place: Place) -> Attempt:
    """An attempt of the retraining on all there is now."""
    manifest = TripleManifest(place.store, BUCKET, TRAINING_TRIPLES.name)
    attempt = SinkTriples(manifest, SystemClock()).begun(RetrainingState()).under_way
    assert attempt is not None
    return attempt


def trained(work: TrainingWork, attempt: Attempt) -> dict[str, bytes]:
    """The files of an attempt's folder, trained to the end."""
    work.train(attempt)
    return {path.name: path.read_bytes() for path in work.folder(attempt).iterdir()}


def test_a_retraining_goes_on_with_what_the_killed_one_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A grade and a curve that came meanwhile teach the next attempt."""
    caplog.set_level(logging.INFO)
    fit(place, 2)
    work = TrainingWork(
        settings=place.settings,
        store=place.store,
        clock=SystemClock(),
        learning=LEARNING,
        cache=place.folder / "cache",
    )
    attempt = begun(place)
    undisturbed = trained(work, attempt)
    rmtree(work.folder(attempt))
    with dying(monkeypatch, after=2):
        work.train(attempt)
    fit(place, 5)
    place.judge("i03", "i09", 5)
    assert trained(work, attempt) == undisturbed
    assert "names no position-bias curve" not in caplog.text
    rmtree(work.folder(attempt))
    newest = json.loads(trained(work, begun(place))["run.json"])
    assert (newest["counted"]["judgements"], newest["propensity_version"]) == (2, 2)
    rmtree(work.folder(attempt))
    old = Attempt.model_validate(attempt.model_dump(exclude={"propensity_version"}))
    assert json.loads(trained(work, old)["run.json"])["propensity_version"] == 2
    assert "names no position-bias curve" in caplog.text
