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
from sightline.engine.connecting.released_model import embedder_settings, naming
from sightline.engine.embedding.model_registry import ModelReference
from sightline.engine.embedding.projections import load_linear
from sightline.engine.errors import NotFound, SettingsInvalid, SightlineError
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.settings import load_settings
from sightline.infra.cli.main import app
from sightline.infra.cli.model_options import CAREFUL
from sightline.infra.commands import models
from sightline.infra.commands.learning import photo_set
from sightline.infra.commands.learning.evaluate import SERVING, Evaluation, candidate
from sightline.infra.commands.models import document_differences
from sightline.infra.reporting.evaluation_page import evaluation_page
from sightline.schemas.registry import decode
from sightline.schemas.topics import MODELS
from sightline.training.evaluation import strength
from sightline.training.evaluation.examples import moved_most, nearest
from sightline.training.evaluation.relevance import EqualLabels
from sightline.training.evaluation.retrieval import CUTS, score_queries
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
        change=random.normal(size=(WIDTH, 8)).astype(np.float32),
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
    expected = Head.load(place / "head.safetensors").ungated(0.6)
    assert np.array_equal(load_linear(chosen.projection).matrix, expected.matrix)


def test_weights_that_no_package_brings_are_registered(
    broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine has the network of the model, too, from the registry alone."""
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(b"weights of our own")
    monkeypatch.setenv("SIGHTLINE_EMBEDDER__WEIGHTS", str(weights))
    model = released(run_folder(tmp_path / "run"))
    monkeypatch.delenv("SIGHTLINE_EMBEDDER__WEIGHTS")
    weights.unlink()
    chosen = naming(load_settings(), ModelReference.parse(model))
    found = embedder_settings(chosen, cache=tmp_path / "cache").weights
    assert found is not None
    assert found.read_bytes() == b"weights of our own"
    assert len(broker.records(MODELS.name)) == 1


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
    found = list(
        document_differences({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 1}, "e": None})
    )
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


class Signs:
    """A runtime that sees what a picture is of, in red, and which it is, in blue."""

    name, precision, batched = "test", "fp32", True

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """32 numbers of the thing, with noise; 32 of the picture; the rest is 0."""
        found = np.zeros((len(crops), WIDTH), np.float32)
        for row, (red, _, blue) in zip(found, crops[:, 0, 0].tolist(), strict=True):
            thing, picture = np.random.default_rng(red), np.random.default_rng([red, blue])
            row[:32] = thing.normal(size=32) + 0.5 * picture.normal(size=32)
            row[32:64] = picture.normal(size=32)
        return found


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One query and two gallery pictures of each of 100 things, half of them `b/…`."""
    monkeypatch.setattr(photo_set, "open_runtime", lambda *_: Signs())
    folder, rows = tmp_path / "photos", [("missing.png", "a/0", "train")]
    folder.mkdir()
    for thing in range(100):
        for number, split in enumerate(("query", "gallery", "gallery")):
            image = f"{thing}-{number}.png"
            Image.new("RGB", (8, 8), (thing, 0, number)).save(folder / image)
            rows.append((image, f"{'ab'[thing % 2]}/{thing}", split))
    _write(folder, rows)
    return folder


def _write(folder: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "split"), *rows])


def clicked(tmp_path: Path, things: int) -> Path:
    """The labels of the first things, in a file."""
    file = tmp_path / "clicked.txt"
    file.write_text("\n".join(f"{'ab'[thing % 2]}/{thing}" for thing in range(things)) + "\n")
    return file


def head_at(place: Path, *, looks_at: slice) -> Path:
    """A run whose head sees some of the features and no others."""
    place.mkdir()
    base = np.zeros((WIDTH, 32), np.float32)
    base[looks_at] = np.eye(32)
    mean = np.zeros(WIDTH, np.float32)
    Head(mean=mean, base=base, change=np.zeros_like(base)).save(place / "head.safetensors")
    return place


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A run whose head sees what pictures are of."""
    return head_at(tmp_path / "good", looks_at=slice(0, 32))


@pytest.fixture
def blind(tmp_path: Path) -> Path:
    """A run whose head sees which picture it is, and nothing else."""
    return head_at(tmp_path / "blind", looks_at=slice(32, 64))


@pytest.mark.usefixtures("broker")
def test_a_model_is_measured_beside_another(
    photos: Path, good: Path, blind: Path, tmp_path: Path
) -> None:
    """All queries and each domain; the better one gains, and its bounds say so."""
    figures = tmp_path / "metrics.json"
    told = said("evaluate", good, "--photos", photos, "--against", blind, "--metrics", figures)
    assert "100 queries of 100 labels among 200 photos" in told
    found = re.search(r"^mAP  +(\S+) +(\S+) +\+(\S+) \[\+", told, re.MULTILINE)
    assert found is not None
    before, after, gain = map(float, found.groups())
    assert before < 0.2
    assert after > 0.9
    assert gain == pytest.approx(after - before, abs=2e-4)
    assert json.loads(figures.read_text())["mAP"] == pytest.approx(after, abs=1e-4)
    assert re.search(r"^mAP a .*\(50 queries, 50 labels\)", told, re.MULTILINE)


@pytest.mark.usefixtures("broker")
def test_a_report_shows_what_moved_most(
    photos: Path, good: Path, blind: Path, tmp_path: Path
) -> None:
    """Eight queries that rose, each with ten pictures under either model, all in one file."""
    report = tmp_path / "report.html"
    said("evaluate", good, "--photos", photos, "--against", blind, "--report", report)
    shown = report.read_text()
    assert len(re.findall("<h3>", shown)) == 8
    assert len(re.findall('<img class="query"', shown)) == 16
    assert len(re.findall("<img ", shown)) == 8 * 2 * 11
    assert re.findall('<img class="right"', shown)
    assert shown.count("<svg") == 4
    assert shown.count("<rect") == 4
    mean = re.search(r"<td>mAP</td><td>(\S+?)</td><td>(\S+?)</td>", shown)
    assert mean is not None
    for value in map(float, mean.groups()):
        assert f">{value:.3f}</text>" in shown
    assert not re.search(r'src="(?!data:)|href=|<script', shown)


HALF = {f"{name}@{k}": 0.5 for name in ("precision", "recall", "ndcg") for k in CUTS} | {
    "mAP": 0.5,
    "MRR": 0.5,
}


def test_a_page_escapes_what_it_is_told() -> None:
    """Names of files and labels are text."""
    evil = "<script>alert(1)</script>"
    found = Evaluation(model=evil, against=evil, truth=evil, rows=(), metrics=HALF)
    assert "<script" not in evaluation_page(found, None, [], evil.encode())


def test_the_page_of_a_run_has_its_learning_curve() -> None:
    """As an image, in which nothing could run."""
    found = Evaluation(model="m", against=None, truth="t", rows=(), metrics=HALF)
    assert 'src="data:image/svg+xml;base64,PHN2Zz4="' in evaluation_page(found, None, [], b"<svg>")
    assert "<img" not in evaluation_page(found, None, [])


def test_examples_are_those_that_moved_most() -> None:
    """Risen ones first, the most first; what stayed the same is none."""
    before, after = (
        score_queries(queries, np.eye(4), EqualLabels.of(list("abcd"), list("abcd")))
        for queries in (np.eye(4)[[0, 2, 1, 3]], np.eye(4)[[0, 1, 2, 1]])
    )
    assert moved_most(before, after, 9).tolist() == [1, 2, 3]
    assert moved_most(before, after, 1).tolist() == [1, 3]
    assert nearest(np.eye(4)[:2], np.eye(4), 2).tolist() == [[0, 1], [1, 0]]


@pytest.mark.usefixtures("broker")
def test_a_model_is_measured_alone(photos: Path, good: Path) -> None:
    """Its means without any difference, and no verdict."""
    told = said("evaluate", good, "--photos", photos)
    assert "(100 queries)" in told
    assert "against" not in told
    assert "verdict" not in told


def not_released(place: Path, photos: Path, file: Path) -> str:
    """What a release prints that the gate does not let pass."""
    arguments = ["models", "release", "shop", place, "--photos", photos, "--clicked", file]
    ended = CliRunner().invoke(app, [str(each) for each in arguments])
    assert isinstance(ended.exception, SightlineError), ended.output
    assert "not released" in str(ended.exception)
    return ended.output


@pytest.mark.usefixtures("broker")
def test_an_evaluation_may_end_in_a_verdict(photos: Path, good: Path, tmp_path: Path) -> None:
    """The same lines as a release, and nothing is released."""
    file = clicked(tmp_path, 20)
    told = said("evaluate", good, "--photos", photos, "--against", SERVING, "--clicked", file)
    assert "verdict: released" in told
    assert "passed  served as built: 200 pictures" in told
    assert "no model was released yet" in said("models", "list")


def test_the_gate_releases_what_is_better(
    broker: MemoryBroker, photos: Path, good: Path, tmp_path: Path
) -> None:
    """The event tells every rule, the registry the figures and the strength."""
    file = clicked(tmp_path, 20)
    told = said("models", "release", "shop", good, "--photos", photos, "--clicked", file)
    assert "verdict: released" in told
    (message,) = broker.records(MODELS.name)
    event = decode(message.value).data
    assert [line.outcome for line in event.gate] == ["passed"] * 5
    shown = said("models", "show", "shop")
    assert f"at strength {CAREFUL}" in shown
    assert re.search(r'"mAP": (1\.0|0\.9)', shown)


@pytest.mark.parametrize("things", [20, 60], ids=["enough", "few unclicked"])
def test_the_gate_refuses_what_is_worse(
    broker: MemoryBroker, photos: Path, blind: Path, tmp_path: Path, things: int
) -> None:
    """Nothing is registered and nothing told."""
    file = clicked(tmp_path, things)
    assert "verdict: refused" in not_released(blind, photos, file)
    assert "no model was released yet" in said("models", "list")
    assert broker.records(MODELS.name) == []


def test_the_gate_says_how_much_it_lacks(
    broker: MemoryBroker, photos: Path, good: Path, tmp_path: Path
) -> None:
    """A better model with 70 unclicked labels: ten more, and it is not released."""
    file = clicked(tmp_path, 30)
    told = not_released(good, photos, file)
    assert "verdict: too_little: 10 clusters more may decide it" in told
    assert broker.records(MODELS.name) == []


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize("missing", ["--photos", "--against"])
def test_a_gate_without_its_other_half_is_a_matter_of_options(
    photos: Path, good: Path, tmp_path: Path, missing: str
) -> None:
    """The message names the option."""
    file = str(clicked(tmp_path, 20))
    arguments = {
        "--photos": ["models", "release", "shop", str(good), "--clicked", file],
        "--against": ["evaluate", str(good), "--photos", str(photos), "--clicked", file],
    }[missing]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 2
    assert missing in ended.output


@pytest.mark.usefixtures("broker")
@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "query and gallery"),
        ([("0-0.png", "a/0", "query")], "query and gallery"),
        (None, r"no manifest\.csv"),
    ],
)
def test_a_folder_that_is_no_evaluation_set_is_refused(
    photos: Path, good: Path, rows: list[tuple[str, str, str]] | None, told: str
) -> None:
    """The message says what the folder needs."""
    if rows is None:
        (photos / "manifest.csv").unlink()
    else:
        _write(photos, rows)
    with pytest.raises(SettingsInvalid, match=told):
        said("evaluate", good, "--photos", photos)


def test_models_are_named_in_four_ways(broker: MemoryBroker, tmp_path: Path) -> None:
    """What serves, a folder, a file, and one of the registry; nothing else."""
    assert broker.records(MODELS.name) == []
    settings, place = load_settings(), run_folder(tmp_path / "run")
    model = released(place)
    names = (SERVING, str(place), str(place / "head.safetensors"), "shop", model)
    found = [candidate(settings, name, strength=0.35) for name in names]
    assert len({each.network for each in found}) == 1
    matrices = [each.projection.columns for each in found if each.projection is not None]
    assert all(np.array_equal(matrices[1], matrix) for matrix in matrices[2:])
    with pytest.raises(SettingsInvalid):
        candidate(settings, "no/such.file", strength=1)
