"""Searching settings: what is looked at, what is found, and what goes on after a kill."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sightline.engine.errors import SettingsInvalid
from sightline.infra.cli import main
from sightline.infra.commands.learning import train, tune
from sightline.infra.commands.learning.train import TrainWishes
from sightline.infra.commands.learning.tune import TuneWishes, run_tuning
from sightline.training.loop.learning import LearningSettings, hold_back
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.settings_file import read_settings, write_settings
from sightline.training.tuning.judging import Judging
from sightline.training.tuning.search import TRIALS, Tried, search
from tests.learning import world
from tests.training_place import LEARNING, Place, seen_place

BASE = HeadSettings(batch=8, corpus=4, learning_rate=1e-2)


def closeness(settings: HeadSettings) -> float:
    """A judge that likes one temperature, and needs no training."""
    return -abs(float(np.log(settings.temperature / 0.04)))


def searched(folder: Path, trials: int, inputs: str = "data") -> list[Tried]:
    """So many trials in a folder."""
    return search(closeness, BASE, pairs=50, trials=trials, folder=folder, inputs=inputs)


def test_a_search_finds_better_settings_than_the_given(tmp_path: Path) -> None:
    """Which come first, with the steps that they mean; and it leaves all others alone."""
    tried = searched(tmp_path, 16)
    assert [each.number for each in tried] == list(range(16))
    assert tried[0].settings == replace(BASE, steps=100)
    best = max(tried, key=lambda each: each.quality)
    assert best.quality > tried[0].quality / 2
    assert {each.settings.depth for each in tried} == {0, 1, 2}
    assert {each.settings.activation for each in tried} == {"relu", "gelu", "tanh"}
    assert {(each.settings.batch, each.settings.learning_rate) for each in tried} == {(8, 1e-2)}


def test_a_killed_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    """Trials that ended are kept, the one that died is made again, and others follow alike."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        folder.mkdir()
    left = iter(range(10))

    def dying(settings: HeadSettings) -> float:
        if next(left) == 9:
            raise KeyboardInterrupt
        return closeness(settings)

    with pytest.raises(KeyboardInterrupt):
        search(dying, BASE, pairs=50, trials=12, folder=killed, inputs="data")
    expected = [(each.settings, each.quality) for each in searched(whole, 12)]
    assert [(each.settings, each.quality) for each in searched(killed, 12)] == expected
    with pytest.raises(SettingsInvalid, match="trials on other data"):
        searched(killed, 12, inputs="other")


def test_what_judges_a_release_judges_no_trial() -> None:
    """Neither its kinds nor its pairs are among the queries, nor in what they are searched in."""
    small = world(kinds=10, each=6, clicks=300)
    settings = LearningSettings(head=BASE, held_out=0.2, later=0.2)
    labels = [str(kind) for kind in small.kinds]
    kept = hold_back(small.pairs, small.features, small.start, settings, labels)
    judging = Judging.of(kept, small.features, small.start, settings, labels, most=4_000)
    held = {small.features.images[row] for row in np.flatnonzero(kept.held_out.held)}
    assert held
    assert not held & set(judging.features.images)
    asked = {judging.features.images[row] for row in judging.queries.anchors}
    taught = {judging.features.images[row] for row in judging.kept.pairs.anchor}
    assert asked <= taught
    assert judging.queries.groups.clicked.any()
    assert not judging.queries.groups.clicked.all()
    assert judging(replace(BASE, steps=30, batch=32, corpus=16)) > judging.quality(small.start)


def test_too_few_clicks_are_told_so() -> None:
    """Nothing could be said of any settings."""
    small = world(kinds=1, each=4, clicks=2)
    settings = LearningSettings(head=BASE, held_out=0, later=0)
    kept = hold_back(small.pairs, small.features, small.start, settings)
    with pytest.raises(SettingsInvalid, match="too few clicks"):
        Judging.of(kept, small.features, small.start, settings, [None] * 4, most=4_000)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Pictures and clicks, seen by a network of sixteen features."""
    return seen_place(tmp_path, monkeypatch)


def test_what_was_found_is_what_a_training_takes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three trials, their table, and the best one's settings as a file for `train`."""
    folder = place.folder / "tuning"
    wishes = TuneWishes(
        folder=folder, learning=LEARNING, trials=3, corpus=4, cache=place.folder / "cache"
    )
    tuned = run_tuning(place.settings, wishes, lambda _: None)
    assert sorted(path.name for path in folder.iterdir()) == ["settings.json", "trials.csv", TRIALS]
    assert len((folder / "trials.csv").read_text().splitlines()) == 4
    assert read_settings(folder / tune.BEST) == tuned.best.settings
    asked: list[TrainWishes] = []

    def taken(_: object, wishes: TrainWishes, *__: object) -> None:
        asked.append(wishes)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run_training", taken)
    options = ["--settings", str(folder / tune.BEST), "--temperature", "0.3", "--held-out", "0.4"]
    CliRunner().invoke(main.app, ["train", str(place.folder / "run"), *options])
    assert asked[0].learning.head == replace(tuned.best.settings, temperature=0.3)
    assert asked[0].learning.held_out == 0.4


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"temprature": 1}', "temprature"),
        ('{"temperature": 0}', "temperature"),
        ('{"activation": "swish"}', "activation"),
        ("[", "JSON"),
    ],
)
def test_a_file_of_other_settings_is_refused(tmp_path: Path, content: str, says: str) -> None:
    """The message names the file and what is wrong with it."""
    file = tmp_path / "settings.json"
    with pytest.raises(SettingsInvalid, match="cannot read"):
        read_settings(file)
    file.write_text(content)
    with pytest.raises(SettingsInvalid, match=says):
        read_settings(file)
    write_settings(file, BASE)
    assert read_settings(file) == BASE
    assert json.loads(file.read_text())["steps"] is None
