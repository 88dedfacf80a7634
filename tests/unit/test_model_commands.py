"""`sightline models …` and `sightline evaluate`: what they find, write and say."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from sightline.engine.connecting.connections import open_object_store
from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.embedding.embedder import load_projection
from sightline.engine.embedding.model_registry import ModelReference
from sightline.engine.errors import NotFound, SettingsInvalid
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.settings import load_settings
from sightline.infra.cli.models import CAREFUL, app
from sightline.infra.commands import models
from sightline.infra.commands.evaluate import SERVING, Evaluation, candidate, evaluate
from sightline.infra.commands.models import differences, naming
from sightline.infra.reporting.evaluation_table import lines
from sightline.schemas.registry import decode
from sightline.schemas.topics import MODELS
from sightline.training.evaluation import strength
from sightline.training.loop.head import Head

WIDTH = 1280


@pytest.fixture
def broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """A deployment in a folder, and the log that its commands append to."""
    monkeypatch.setenv("SIGHTLINE_DATA_DIRECTORY", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    made = MemoryBroker()
    monkeypatch.setattr(models, "open_log_producer", lambda _: MemoryEventProducer(made))
    open_object_store(load_settings()).close()
    return made


def run_folder(place: Path, *, seed: int = 0, **told: object) -> Path:
    """The folder of a training run: a head, and what the run tells of itself."""
    random = np.random.default_rng(seed)
    place.mkdir()
    head = Head(
        mean=random.normal(size=WIDTH).astype(np.float32),
        base=random.normal(size=(WIDTH, 8)).astype(np.float32),
        residual=random.normal(size=(8, 8)).astype(np.float32),
    )
    head.save(place / "head.safetensors")
    (place / "run.json").write_text(json.dumps({"seed": seed, "topic": "training-triples.v2"}))
    (place / "metrics.json").write_text(json.dumps(told))
    return place


def said(*arguments: object) -> str:
    """What a command that succeeds prints."""
    ended = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return ended.output


def released(place: Path, *options: object) -> str:
    """`NAME@DIGEST` of what `models release shop` made of a folder."""
    found = re.search(r"shop@[0-9a-f]{64}", said("models", "release", "shop", place, *options))
    assert found is not None
    return found[0]


def test_a_run_becomes_a_model_that_settings_can_name(broker: MemoryBroker, tmp_path: Path) -> None:
    """The head at its strength, as a projection; the log tells the release."""
    place = run_folder(tmp_path / "run", mAP=0.5)
    model = released(place, "--strength", "0.6")
    (told,) = broker.records(MODELS.name)
    assert decode(told.value).data.digest == model.partition("@")[2]
    reference = ModelReference.parse(model)
    chosen = embedder_settings(naming(load_settings(), reference), cache=tmp_path / "cache")
    assert chosen.projection is not None
    expected = Head.load(place / "head.safetensors").projection(0.6)
    assert np.array_equal(load_projection(chosen.projection).matrix, expected.matrix)


def test_the_careful_strength_is_that_of_the_gate() -> None:
    """The command line, which loads no arrays to tell its help, has the same number."""
    assert CAREFUL == strength.CAREFUL


def test_the_list_has_every_release_in_order(broker: MemoryBroker, tmp_path: Path) -> None:
    """Name and digest as settings take them, the number, and that a person decided."""
    assert "no model was released yet" in said("models", "list")
    made = [released(run_folder(tmp_path / f"run{n}", seed=n)) for n in range(2)]
    listed = said("models", "list").splitlines()
    assert [line.split("  ")[:2] for line in listed] == [
        [made[0], "release 1"],
        [made[1], "release 2"],
    ]
    assert all(line.endswith("by hand") for line in listed)
    assert len(broker.records(MODELS.name)) == 2


def test_a_model_shows_what_it_is_made_of(broker: MemoryBroker, tmp_path: Path) -> None:
    """Network, files, lineage, figures and card."""
    card = tmp_path / "card.md"
    card.write_text("# Shop\nGood at lamps.\n")
    model = released(run_folder(tmp_path / "run", mAP=0.5), "--card", card)
    shown = said("models", "show", "shop")
    assert shown == said("models", "show", model)
    for part in (model, "efficientnet_lite0", "projection.safetensors", "training-triples.v2"):
        assert part in shown
    assert '"mAP": 0.5' in shown
    assert "Good at lamps." in shown
    assert len(broker.records(MODELS.name)) == 1


def test_two_models_are_told_apart(broker: MemoryBroker, tmp_path: Path) -> None:
    """Only what differs, numbers with their difference; a model is the same as itself."""
    one = released(run_folder(tmp_path / "one", seed=1, mAP=0.5, MRR=0.7))
    other = released(run_folder(tmp_path / "other", seed=2, mAP=0.625, MRR=0.7))
    told = said("models", "diff", one, other)
    assert "metrics mAP: 0.5 -> 0.625 (+0.125)" in told
    assert "lineage run.seed: 1 -> 2 (+1)" in told
    assert "config files.projection.safetensors.sha256" in told
    assert "MRR" not in told
    assert said("models", "diff", one, one) == "the same model\n"
    assert len(broker.records(MODELS.name)) == 2


def test_differences_go_into_documents() -> None:
    """What only one of the two says is told, too."""
    found = list(differences({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1}, "e": None}))
    assert found == [("a.c", 2, None), ("d", [1], None)]


@pytest.mark.parametrize("name", ["Shop", "shop@" + "0" * 64, ""])
def test_a_name_that_no_model_can_have_is_refused(
    broker: MemoryBroker, tmp_path: Path, name: str
) -> None:
    """Nothing is written, and nothing told."""
    place = run_folder(tmp_path / "run")
    with pytest.raises(SettingsInvalid, match="name"):
        said("models", "release", name, place)
    assert broker.records(MODELS.name) == []


def test_what_is_no_model_is_not_released(broker: MemoryBroker, tmp_path: Path) -> None:
    """A file of something else, a folder without a head."""
    (tmp_path / "empty").mkdir()
    save_file({"other": np.zeros(3)}, tmp_path / "other.safetensors")
    for place in (tmp_path / "empty", tmp_path / "other.safetensors"):
        with pytest.raises(SettingsInvalid, match=r"cannot read|no model"):
            said("models", "release", "shop", place)
    with pytest.raises(NotFound):
        said("models", "show", "shop")
    assert broker.records(MODELS.name) == []


# --- evaluation


class Colours:
    """A runtime whose features are the mean colour and noise of the picture's id."""

    name, precision, batched = "test", "fp32", True

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Three numbers that tell red from blue, then 1,277 that tell nothing."""
        means = crops.astype(np.float32).mean(axis=(1, 2)) / 255
        noise = np.stack([np.random.default_rng(int(c.sum())).random(1277) for c in crops])
        return np.concatenate([means, noise], axis=1).astype(np.float32)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two queries and three gallery pictures of each of four colours."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random, rows = np.random.default_rng(0), []
    for label, colour in {"a/red": 0, "a/green": 1, "b/blue": 2, "b/grey": 3}.items():
        for number in range(5):
            pixels = random.integers(0, 120, (16, 16, 3), dtype=np.uint8)
            pixels[..., colour if colour < 3 else slice(None)] += 120
            image = f"{colour}{number}.png"
            Image.fromarray(pixels).save(folder / image)
            rows.append((image, label, "query" if number < 2 else "gallery"))
    rows.append(("missing.png", "a/red", "train"))
    _write(folder, rows)
    return folder


def _write(folder: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "split"), *rows])


def projections(tmp_path: Path) -> tuple[Path, Path]:
    """A projection that looks at the noise, and one that looks at the colour."""
    blind, good = np.zeros((WIDTH, 3), np.float32), np.zeros((WIDTH, 3), np.float32)
    blind[500:503], good[:3] = np.eye(3), np.eye(3)
    paths = tmp_path / "blind.safetensors", tmp_path / "good.safetensors"
    for path, matrix in zip(paths, (blind, good), strict=True):
        mean = np.full(WIDTH, 0.5, np.float32)
        save_file({"mean": mean, "matrix": matrix}, path)
    return paths


def evaluated(photos: Path, model: Path, against: Path | None = None) -> Evaluation:
    """The evaluation of a projection file, its network being colours."""
    settings = load_settings()
    one, other = (
        None if path is None else candidate(settings, str(path), strength=1)
        for path in (model, against)
    )
    assert one is not None
    return evaluate(settings, photos, one, other, open_network=lambda *_: Colours())


def test_a_model_is_measured_beside_another(photos: Path, tmp_path: Path) -> None:
    """All queries and each domain; the better one gains, and its bounds say so."""
    blind, good = projections(tmp_path)
    found = evaluated(photos, good, blind)
    overall = found.rows[0]
    assert overall.name == "mAP"
    assert overall.queries == 8
    assert overall.after == found.metrics["mAP"] == 1.0
    assert overall.before is not None
    assert overall.difference is not None
    assert overall.difference.point == pytest.approx(overall.after - overall.before)
    assert overall.difference.clusters == 4
    assert {row.name for row in found.rows[6:]} == {"mAP a", "mAP b"}
    told = "\n".join(lines(found))
    assert f"against: {blind}" in told
    assert "8 queries of 4 labels among 12 photos" in told
    assert re.search(r"^mAP  .* 1\.0000 +\+0\.\d+ \[", told, re.MULTILINE)


def test_a_model_is_measured_alone(photos: Path, tmp_path: Path) -> None:
    """Its means without any difference."""
    found = evaluated(photos, projections(tmp_path)[1])
    assert all(row.difference is None for row in found.rows)
    assert "against" not in "\n".join(lines(found))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "query and gallery"),
        ([("00.png", "a/red", "query")], "query and gallery"),
        (None, r"no manifest\.csv"),
    ],
)
def test_a_folder_that_is_no_evaluation_set_is_refused(
    photos: Path, tmp_path: Path, rows: list[tuple[str, str, str]] | None, told: str
) -> None:
    """The message says what the folder needs."""
    if rows is None:
        (photos / "manifest.csv").unlink()
    else:
        _write(photos, rows)
    with pytest.raises(SettingsInvalid, match=told):
        evaluated(photos, projections(tmp_path)[0])


def test_models_are_named_in_four_ways(broker: MemoryBroker, tmp_path: Path) -> None:
    """What serves, a folder, a file, and one of the registry; nothing else."""
    assert broker.records(MODELS.name) == []
    settings, place = load_settings(), run_folder(tmp_path / "run")
    model = released(place)
    names = (SERVING, str(place), str(place / "head.safetensors"), "shop", model)
    found = [candidate(settings, name, strength=0.35) for name in names]
    assert len({each.network for each in found}) == 1
    matrices = [each.projection.matrix for each in found if each.projection is not None]
    assert all(np.array_equal(matrices[1], matrix) for matrix in matrices[2:])
    with pytest.raises(SettingsInvalid):
        candidate(settings, "no/such.file", strength=1)
