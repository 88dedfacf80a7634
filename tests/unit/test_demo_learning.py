"""`sightline demo --learn`: what is shown and what judges, and what is run when the gate speaks."""

from __future__ import annotations

import io
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sightline.engine.errors import SightlineError
from sightline.engine.settings import Settings
from sightline.infra.demo import learning, lesson
from sightline.infra.demo.learning import Loop, MeasuredModel
from sightline.infra.demo.lesson import FEWEST_LABELS, Lesson, draw_labelled, lesson_of
from sightline.infra.demo.people import Feedback, true_labels
from sightline.infra.sample_photos.synthetic_photos import KINDS
from sightline.training.evaluation.gate import GateLimits
from sightline.training.models.default_projection import read_labelled_photos

FEW = {"train": 2, "query": 1, "gallery": 1}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a manifest: eight labels, four photos of each."""
    draw_labelled(tmp_path / "photos", kinds=("ball", "ring"), hues=2, each=FEW)
    return tmp_path / "photos"


def made(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lesson:
    """What is learnt on photos that have labels enough for it."""
    monkeypatch.setattr(lesson, "FEWEST_LABELS", 8)
    return lesson_of(photos, tmp_path / "scratch")


def test_what_judges_is_never_on_the_site(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each label some pictures are on the site; a third of the labels nobody asks for."""
    found = made(photos, tmp_path, monkeypatch)
    labels = true_labels(found.site)
    assert len(labels) == 8 * FEW["train"]
    assert set(labels.values()) == {*found.clicked, *found.silent}
    assert (len(found.clicked), len(found.silent)) == (6, 2)
    names = {photo.path.name for photo in read_labelled_photos(photos) if photo.split == "train"}
    assert {path.name for path in found.site.relative_files()} == names


def test_labels_judge_where_there_are_enough_and_else_clicks(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures that are drawn have enough for each rule of the gate, so that it can decide."""
    limits = GateLimits()
    drawn = len(KINDS) * lesson._HUES * len(lesson._DEPTHS)
    assert drawn >= limits.min_clusters + limits.min_slice_clusters
    assert drawn * (lesson._DRAWN["query"] + lesson._DRAWN["gallery"]) >= limits.min_pictures
    assert not made(photos, tmp_path, monkeypatch).judged_by_labels


def test_photos_with_few_labels_are_left_for_drawn_ones(photos: Path) -> None:
    """Eight labels tell nothing of what nobody asked for."""
    assert FEWEST_LABELS > 8
    assert lesson._labelled(photos) == []


class Commands:
    """What runs in the place of commands: says what it is told to."""

    def __init__(self, *verdicts: str) -> None:
        self.ran: list[str] = []
        self._verdicts = list(verdicts)

    def __call__(self, words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        """One command, by the words after the interpreter's."""
        command = " ".join(words[3:])
        self.ran.append(words[3])
        if words[3] != "models":
            return subprocess.CompletedProcess(words, 0, "", "")
        verdict = self._verdicts.pop(0)
        failed = verdict != "released"
        assert "--truth clicks" in command
        return subprocess.CompletedProcess(words, int(failed), f"verdict: {verdict}\n", "")


def turned(found: Lesson, tmp_path: Path, commands: Commands, triples: int = 5) -> str:
    """What the loop prints, over people who always leave so many triples."""
    told = io.StringIO()
    feedback = Feedback(searches=1, acts=1, shown=24, clicked=3, triples=triples)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subprocess, "run", commands)
        patched.setattr(learning, "let_people_teach", lambda *_, **__: feedback)
        patched.setattr(learning, "PhotoSet", lambda *_: None)
        patched.setattr(Loop, "_wait_for_sink", lambda *_: None)
        model = MeasuredModel(model="learned@" + "a" * 64, clicked=0.25, silent=0.75)
        patched.setattr(Loop, "measured", lambda *_: model)
        Loop(
            settings=Settings(data_directory=tmp_path),
            url="http://nobody",
            lesson=found,
            folder=tmp_path,
            console=Console(file=told, width=200),
            stop=threading.Event(),
        ).run()
    return told.getvalue()


def test_each_round_goes_the_whole_way(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained, judged, indexed and switched to, twice; the table has model and figures."""
    commands = Commands("released", "released")
    told = turned(made(photos, tmp_path, monkeypatch), tmp_path, commands)
    assert commands.ran == ["train", "models", "reindex"] * 2
    for part in ("$ sightline train", "--switch", "round 2", "learned@aaaaaaaa", "0.250", "0.750"):
        assert part in told


def test_what_the_gate_holds_back_does_not_serve(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table says the gate's word; the next round learns from more clicks."""
    commands = Commands("too_little (12 clusters more)", "released")
    told = turned(made(photos, tmp_path, monkeypatch), tmp_path, commands)
    assert commands.ran == ["train", "models", "train", "models", "reindex"]
    assert "too_little (12 clusters more)" in told


def test_clicks_without_a_triple_fail_the_demo(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is trained then."""
    commands = Commands()
    with pytest.raises(SightlineError, match="no triple"):
        turned(made(photos, tmp_path, monkeypatch), tmp_path, commands, triples=0)
    assert commands.ran == []


def test_a_released_model_that_could_not_be_stored_is_no_verdict(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate let it pass and the command failed: that is told, and nothing goes on."""

    class Failing(Commands):
        def __call__(self, words: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
            done = super().__call__(words, **options)
            done.returncode = int(words[3] == "models")
            return done

    commands = Failing("released", "released")
    with pytest.raises(SightlineError, match="models release failed"):
        turned(made(photos, tmp_path, monkeypatch), tmp_path, commands)
    assert commands.ran == ["train", "models"]
