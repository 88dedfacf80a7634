"""`sightline train-backbone`: from a head's run, or from pictures alone, to a network's folder."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import EmbedderSettings, Settings
from sightline.infra.cli import main
from sightline.infra.commands.learning import backbone
from sightline.infra.commands.learning.backbone import BackboneWishes
from sightline.training.backbone.settings import BackboneSettings
from sightline.training.backbone.training import TrainedBackbone
from sightline.training.loop.training import Curve
from sightline.training.models.candidates import of_file
from tests.small_network import Means, of_backbone, trains_means
from tests.training_place import BUCKET, LEARNING, NAMES, Place, clicked, seen_place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Pictures and clicks, seen by a network of sixteen features."""
    return seen_place(tmp_path, monkeypatch)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place's network as one that can be trained."""
    trains_means(monkeypatch)


@pytest.mark.usefixtures("network")
def test_a_network_is_trained_from_a_head_s_run(place: Place) -> None:
    """On the pictures that the head saw and no others; equal runs are equal files."""
    head = place.train("head")
    place.sink([clicked(60), clicked(61)], 60)
    files = of_backbone(place, "run")
    assert files["pictures.csv"] == head["pictures.csv"]
    record = json.loads(files["run.json"])
    assert record["counted"]["triples"] == 60
    assert (record["settings"]["backbone"]["blocks"], record["settings"]["held_out"]) == (1, 0.3)
    assert of_backbone(place, "again") == files
    changed = {
        name
        for name, value in load_file(place.folder / "run/weights.safetensors").items()
        if not np.array_equal(value, Means().state_dict()[name].numpy())
    }
    assert changed == {"last.0.weight", "last.0.bias"}
    model = of_file(place.folder / "run", EmbedderSettings(), strength=0.5)
    assert model.source.weights == place.folder / "run/weights.safetensors"
    assert model.projection is not None
    assert model.projection.columns.shape == (16, 16)


@pytest.mark.usefixtures("network")
def test_a_network_s_curve_goes_to_tensorboard(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is in the run's folder; without the package nothing is begun."""
    told: list[tuple[Path, Curve]] = []
    monkeypatch.setattr(backbone, "write_events", lambda *given: told.append(given))
    events = place.folder / "events"
    files = of_backbone(place, "cold", head=None, tensorboard=events)
    ((folder, curve),) = told
    assert (folder, len(curve.losses)) == (events, 2)
    assert files["curve.csv"].count(b"\n") == 3
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsInvalid, match="tensorboard"):
        of_backbone(place, "other", head=None, tensorboard=events)
    assert not (place.folder / "other").exists()


@pytest.mark.usefixtures("network")
def test_a_network_is_trained_without_clicks(place: Place) -> None:
    """Before there are any: on every public picture, none of which is kept out."""
    for record in place.store.list(BUCKET, "labels/"):
        place.store.delete(BUCKET, record.key)
    files = of_backbone(place, "cold", head=None, corpus=24)
    rows = list(csv.DictReader(files["pictures.csv"].decode().splitlines()))
    assert [row["image"] for row in rows] == list(NAMES)
    assert {row["held_out"] for row in rows} == {"0"}


def test_a_network_s_training_says_what_it_begins_at(tmp_path: Path) -> None:
    """A head's run or nothing, and not both."""
    for options in ([], ["--head", str(tmp_path), "--without-clicks"]):
        command = ["train-backbone", str(tmp_path / "run"), *options]
        with pytest.raises(SettingsInvalid, match="--without-clicks"):
            CliRunner().invoke(main.app, command, catch_exceptions=False)


def test_every_option_reaches_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was given, each under its own name."""
    wanted = BackboneSettings(
        seed=3,
        steps=4,
        batch=5,
        blocks=2,
        learning_rate=0.5,
        temperature=0.25,
        smallest=0.75,
        jitter=0.125,
        rotation=True,
        chunk=6,
    )
    asked: list[BackboneWishes] = []

    def noted(_: Settings, wishes: BackboneWishes, *__: Any) -> TrainedBackbone:
        asked.append(wishes)
        raise SettingsInvalid("far enough")

    monkeypatch.setattr(backbone, "run_backbone", noted)
    command = f"train-backbone {tmp_path} --without-clicks --rotation --corpus=7 --precision=fp32"
    options = "--seed=3 --steps=4 --batch=5 --crops-mib=8 --blocks=2 --chunk=6 --learning-rate=0.5"
    others = "--strength=0.375 --temperature=0.25 --smallest=0.75 --jitter=0.125 --tensorboard=t"
    CliRunner().invoke(main.app, f"{command} {options} {others}")
    wishes = BackboneWishes(folder=tmp_path, head=None, strength=0.375, settings=wanted, corpus=7)
    assert asked == [replace(wishes, crops_mib=8, tensorboard=Path("t"))]


@pytest.mark.usefixtures("network")
def test_a_head_behind_a_gate_is_no_beginning(place: Place) -> None:
    """A network ends in one matrix."""
    gated = replace(LEARNING, head=replace(LEARNING.head, familiarity_gate=True))
    place.train("head", learning=gated)
    with pytest.raises(SettingsInvalid, match="without --familiarity-gate"):
        of_backbone(place, "run")


def test_a_head_of_another_model_is_no_beginning(place: Place) -> None:
    """The kinds that it held out cannot be told from another model's space."""
    place.train("head")
    record = json.loads((place.folder / "head/run.json").read_text())
    record["start"]["weights"] = "0" * 64
    (place.folder / "head/run.json").write_text(json.dumps(record))
    with pytest.raises(SettingsInvalid, match="another model than the one that serves"):
        of_backbone(place, "run")
