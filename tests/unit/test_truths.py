"""`sightline evaluate --truth …`: clicks and judgements that a training did not see."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sightline.engine.embedding.model_files import model_source
from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import EvaluationSettings, Settings
from sightline.infra.cli import evaluate as evaluate_command
from sightline.infra.cli import release as release_command
from sightline.infra.cli.main import app
from sightline.infra.commands import kept_messages
from sightline.infra.commands.extent import extent_of
from sightline.infra.commands.learning import evaluate, networks
from sightline.infra.commands.learning.evaluate import candidate
from sightline.infra.commands.learning.measured_on import (
    GroundTruth,
    Measured,
    TruthWishes,
    measured_on,
)
from sightline.infra.commands.learning.truths import clicks_held_out, judged, learnt_until_ms
from sightline.infra.reporting.evaluation_page import evaluation_page
from sightline.schemas.searches import ImageQuery
from sightline.training.datasets.judgements import JudgesVerdict
from sightline.training.evaluation.gate import decide
from sightline.training.evaluation.judged_truth import judgements_as_truth
from sightline.training.evaluation.served import ServedAsBuilt
from sightline.training.evaluation.strength import BY_CLICKS, STRENGTHS
from sightline.training.loop.run_folder import read_record
from sightline.training.models.candidates import Candidate
from tests.label_rows import at, retracted, triple
from tests.learning import Colours
from tests.training_place import BUCKET, NAMES, Place, clicked, made_place
from tests.unit.test_gate import FINE, LIMITS
from tests.unit.test_pooling import head


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Pictures and clicks, a log that commands read, and `run`, a training that ended."""
    place = made_place(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kept_messages, "open_event_log", lambda _: place.log)
    monkeypatch.setattr(networks, "open_runtime", lambda *_: Colours())
    source = replace(model_source(place.settings.embedder), projection=None, projection_id=None)
    monkeypatch.setattr(networks, "model_source", lambda _: source)
    for command in (evaluate_command, release_command):
        monkeypatch.setattr(command, "load_settings", lambda: place.settings)
    place.train("run")
    return place


def sightline(*words: str | Path) -> tuple[int, str]:
    """Exit code and output of a command."""
    run = CliRunner().invoke(app, [str(word) for word in words])
    return run.exit_code, run.output


def kept_out(place: Place, column: str) -> set[str]:
    """Pictures of kinds that the run held out (`held_out`), or that it set aside (`aside`)."""
    rows = csv.DictReader((place.folder / "run/pictures.csv").read_text().splitlines())
    return {row["image"] for row in rows if row[column] == "1"}


def test_clicks_that_the_training_did_not_see_are_the_truth(place: Place) -> None:
    """Those on what it held out or set aside, and of anchors that nobody had asked by before."""
    new = [
        triple(
            900 + number,
            anchor_id="i21",
            positive_id="i02",
            negative_id="i03",
            search_id=f"search-new-{number}",
            issued_at=at(5_000),
            query=ImageQuery(image_id="i21"),
        )
        for number in range(4)
    ]
    place.sink(new, 60)
    first = candidate(place.settings, str(place.folder / "run"), strength=1)
    found = clicks_held_out(place.settings, place.store, place.folder / "run", first)
    held, aside = kept_out(place, "held_out"), kept_out(place, "aside")
    cut_ms = learnt_until_ms(read_record(place.folder / "run"))
    began = {NAMES[number % 20]: number for number in reversed(range(60))}
    late = {name for name, number in began.items() if at(number).timestamp() * 1000 >= cut_ms}
    asked = {name for name in NAMES[:20] if name in held | aside | late} | {"i21"}
    queries = found._queries
    assert {NAMES[row] for row in queries.anchors} == asked
    assert held & asked
    assert aside & asked
    clicked_kinds = {NAMES[row] for row in queries.anchors[queries.groups.clicked]}
    assert clicked_kinds == asked - held
    domains = found.domains()
    assert set(domains) == {"kinds clicked", "kinds not clicked", "hot", "cold"}
    assert [NAMES[row] for row in queries.anchors[domains["hot"]]] == ["i21"]
    assert found.truth().endswith("among 24 pictures")
    assert len(found.scores(first)) == len(asked)


def test_grades_that_the_training_did_not_see_stand_beside_the_clicks(place: Place) -> None:
    """The same that judge alone, by the same kinds, among the pictures of the training."""
    run = place.folder / "run"
    out, other = min(kept_out(place, "held_out")), min(kept_out(place, "aside"))
    place.judge(out, "i00", 5)
    place.judge(other, "i00", 5)
    first = candidate(place.settings, str(run), strength=1)
    alone = judged(place.settings, place.store, run, first)
    beside = clicks_held_out(place.settings, place.store, run, first).judged
    assert beside is not None
    assert [NAMES[row] for row in beside._queries.anchors] == sorted(
        NAMES[row] for row in alone._queries.anchors
    )
    assert beside.clusters.tolist() == alone.clusters.tolist()
    assert alone.judged is None


def test_grades_are_read_as_far_as_the_attempt_reads(place: Place) -> None:
    """What is graded after it began judges nothing; where nobody graded there is no line."""
    run = place.folder / "run"
    first = candidate(place.settings, str(run), strength=1)
    until = replace(extent_of(read_record(run)), judged_ms=0)
    found = clicks_held_out(place.settings, place.store, run, first, until=until)
    assert found.judged is None
    place.judge(min(kept_out(place, "held_out")), "i00", 5)
    now = clicks_held_out(place.settings, place.store, run, first)
    graded, alone = (
        evaluate.judge(
            place.settings, Measured(found, found.groups, judged=judged), str(run), first
        ).decision.lines
        for judged in (now.judged, None)
    )
    (line,) = (each for each in graded if each not in alone)
    assert line.rule == "not worse where judged"
    assert [each for each in graded if each is not line] == list(alone)


def test_a_model_is_evaluated_by_clicks(place: Place, tmp_path: Path) -> None:
    """The table names the truth; the gate decides; the page shows stored pictures."""
    run, other = place.folder / "run", head(tmp_path / "h.safetensors", 1)
    page, figures = tmp_path / "page.html", tmp_path / "metrics.json"
    words = ("evaluate", run, "--truth", "clicks", "--against", other, "--gate")
    code, told = sightline(*words, "--report", page, "--metrics", figures)
    assert code == 0, told
    assert told.startswith(f"truth: clicks that {run} did not see: ")
    assert "drawn by kind" in told
    assert told.splitlines()[-1].startswith("verdict: ")
    assert set(json.loads(figures.read_text())) > {"mAP", "ndcg@24"}
    assert "data:image/jpeg" in page.read_text()
    assert stat.S_IMODE(page.stat().st_mode) == 0o600


def test_the_tags_of_what_is_asked_by_are_told(place: Place, tmp_path: Path) -> None:
    """A slice where they are on kinds enough, else by name with how many."""
    run, other = place.folder / "run", head(tmp_path / "h.safetensors", 1)
    for name in NAMES:
        place.tag(name, "shoes")
    words = ("evaluate", run, "--truth", "clicks", "--against", other, "--gate")
    found = clicks_held_out(
        place.settings, place.store, run, candidate(place.settings, str(run), strength=1)
    )
    assert found.tags().small == (("shoes", len(np.unique(found.clusters))),)
    assert found.tags().untold() in sightline(*words)[1].splitlines()


def test_a_picture_that_can_be_read_no_more_is_passed_over_and_counted(
    place: Place, tmp_path: Path
) -> None:
    """Features outlive bytes that are gone, or others by now: nothing ends by them."""
    run = place.folder / "run"
    first = candidate(place.settings, str(run), strength=1)
    found = clicks_held_out(place.settings, place.store, run, first)
    other = candidate(place.settings, head(tmp_path / "h.safetensors", 1), strength=1)
    assert not [each for each in found.examples(other, first) if each.query is None]
    place.store.delete(BUCKET, NAMES[0])
    place.store.put(BUCKET, NAMES[1], b"\xff\xd8\xff no picture")
    assert (found.as_served(first).pictures, found.as_served(first).unread) == (22, 2)
    told = decide(replace(FINE, served=found.as_served(first)), LIMITS).lines[-1].says
    assert told.startswith("22 pictures")
    assert "2 more cannot be read" in told
    shown = found.examples(other, first)
    for name in NAMES:
        place.store.delete(BUCKET, name)
    assert found.as_served(first) == ServedAsBuilt.of_nothing(unread=24)
    gone = found.examples(other, first)
    assert [each.label for each in gone] == [each.label for each in shown]
    assert {each.query for each in gone} == {None}
    told = evaluation_page(evaluate.evaluate(found, first, other), None, gone)
    places = sum(1 + sum(len(ranking.found) for ranking in each.rankings) for each in gone)
    assert f"<p>{places} pictures are gone, or cannot be read any more.</p>" in told
    assert "data:image/jpeg" not in told


@pytest.fixture
def serving(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head over the place's features in place of the model that the settings name."""
    served = candidate(place.settings, head(tmp_path / "served.safetensors", 1), strength=1)
    named = evaluate.candidate
    monkeypatch.setattr(
        evaluate,
        "candidate",
        lambda settings, text, *, strength: (
            served if text == evaluate.SERVING else named(settings, text, strength=strength)
        ),
    )


@pytest.mark.usefixtures("serving")
def test_a_run_alone_is_judged_by_clicks_against_what_serves(place: Place) -> None:
    """One way to gate by clicks, with a short name; what was taken back is told."""
    run = place.folder / "run"
    short = sightline("evaluate", run)
    assert short == sightline(
        "evaluate", run, "--truth", "clicks", "--against", "serving", "--gate"
    )
    assert short[0] == 0
    assert short[1].splitlines()[-1].startswith("verdict: ")
    assert "taken back" not in short[1]
    place.sink([retracted(3)], 60)
    assert "1 triples that taught it were taken back since" in sightline("evaluate", run)[1]


@pytest.mark.usefixtures("serving")
def test_clicks_choose_no_strength_that_they_cannot_judge(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held-out kinds are like clicked ones: nothing stronger than .6 is measured by them."""
    run, named = place.folder / "run", evaluate.candidate
    tried: list[float] = []

    def measured(settings: Settings, text: str, *, strength: float) -> Candidate:
        tried.append(strength)
        return named(settings, text, strength=strength)

    monkeypatch.setattr(evaluate, "can_choose", lambda *_: True)
    monkeypatch.setattr(evaluate, "candidate", measured)
    serving = named(place.settings, "serving", strength=1)
    for truth, expected in ((GroundTruth.CLICKS, BY_CLICKS), (GroundTruth.JUDGEMENTS, STRENGTHS)):
        tried.clear()
        with measured_on(place.settings, TruthWishes(truth=truth, run=run), serving) as on:
            evaluate.judge(place.settings, on, str(run), serving)
        assert tuple(tried) == expected


def test_clicks_up_to_an_offset_are_the_same_whenever_they_are_read(place: Place) -> None:
    """A retraining that is judged again after a kill is judged by what it read."""
    first = candidate(place.settings, str(place.folder / "run"), strength=1)
    until = extent_of(read_record(place.folder / "run"))

    def asked() -> list[str]:
        found = clicks_held_out(
            place.settings, place.store, place.folder / "run", first, until=until
        )
        return [NAMES[row] for row in found._queries.anchors]

    before = asked()
    place.sink([clicked(number) for number in range(60, 90)], 60)
    assert asked() == before


@pytest.mark.usefixtures("serving")
def test_no_more_queries_are_ranked_than_the_settings_allow(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said of how many they are, and by which seed; where there are no more, nothing is."""
    run, first = place.folder / "run", candidate(place.settings, "serving", strength=1)
    every = clicks_held_out(place.settings, place.store, run, first)
    words = "queries (drawn of"
    outputs = {}
    for most in (len(every) - 1, len(every)):
        few = place.settings.model_copy(update={"evaluation": EvaluationSettings(queries=most)})
        monkeypatch.setattr(evaluate_command, "load_settings", lambda few=few: few)
        outputs[most] = sightline("evaluate", run)[1]
    drawn, same = outputs.values()
    assert f"{len(every) - 1} {words} {len(every)}, seed 0)" in drawn
    monkeypatch.setattr(evaluate_command, "load_settings", lambda: place.settings)
    assert words not in same
    assert same == sightline("evaluate", run)[1]


def test_a_run_on_another_network_is_no_model_here(place: Place) -> None:
    """Its head would turn features that it has never seen."""
    record = place.folder / "run/run.json"
    told = json.loads(record.read_text())
    told["start"]["weights"] = "0" * 64
    record.write_text(json.dumps(told))
    with pytest.raises(SettingsInvalid, match="another network"):
        candidate(place.settings, str(place.folder / "run"), strength=1)


@pytest.mark.usefixtures("serving")
def test_a_model_is_released_by_judgements_only_if_they_say_so(place: Place) -> None:
    """Too few of them decide nothing."""
    place.judge("i20", "i21", 5)
    place.judge("i22", "i23", 4)
    run = CliRunner().invoke(
        app, ["models", "release", "m", str(place.folder / "run"), "--truth", "judgements"]
    )
    assert run.output.startswith("truth: 3 judgements of people: ")
    assert "not released" in str(run.exception)


def test_what_was_judged_before_the_training_is_no_truth_for_it(place: Place) -> None:
    """Unless its kind was held out, or it was judged since; without a training all of it counts."""
    held, aside = kept_out(place, "held_out"), kept_out(place, "aside")
    seen = [name for name in NAMES[:20] if name not in held | aside]
    out, other = min(held), min(aside)
    place.judge(out, seen[1], 5)
    place.judge(seen[0], seen[2], 5)
    place.judge(other, seen[0], 5)
    first = candidate(place.settings, str(place.folder / "run"), strength=1)

    def asked(folder: Path | None) -> set[str]:
        found = judged(place.settings, place.store, folder, first)
        return {NAMES[row] for row in found._queries.anchors}

    assert asked(None) == {"i00", out, seen[0], other}
    assert asked(place.folder / "run") == {out, other} | ({"i00"} & (held | aside))


def test_a_mean_grade_is_cut() -> None:
    """3.9 is not relevant, 4.3 is; what may not be asked by is not, unknown pictures are none."""
    verdicts = {
        ("a", "b"): JudgesVerdict(4.3, 0),
        ("a", "c"): JudgesVerdict(3.9, 0),
        ("a", "gone"): JudgesVerdict(5, 0),
        ("b", "c"): JudgesVerdict(3.9, 0),
        ("c", "a"): JudgesVerdict(5, 0),
    }
    made = judgements_as_truth(
        verdicts,
        "abc",
        clusters=np.arange(3),
        clicked=np.asarray([True, False, False]),
        usable=np.asarray([True, True, False]),
        asked=np.asarray([3, 0, 0]),
    )
    assert made.anchors.tolist() == [0]
    assert made.truth.grades(0, 1).tolist() == [[0, 4, 3]]
    assert made.groups.clicked.tolist() == [True]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"truth": GroundTruth.CLICKS},
        {"truth": GroundTruth.CLICKS, "run": Path("r"), "photos": Path("p")},
        {"truth": GroundTruth.JUDGEMENTS, "clicked": Path("c")},
    ],
)
def test_what_does_not_go_together_is_refused(wrong: dict[str, object]) -> None:
    """A truth that lacks what it is made of, or has what belongs to another."""
    with pytest.raises(SettingsInvalid):
        TruthWishes(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("later", "until_ms"), [(0.1, 700), (0.0, 701)])
def test_what_taught_a_run_is_not_news_to_it(later: float, until_ms: int) -> None:
    """Where nothing was kept out by time, the newest pair taught, too."""
    record = {"settings": {"later": later}, "counted": {"later_from_ms": 700}}
    assert learnt_until_ms(record) == until_ms
