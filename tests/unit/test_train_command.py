"""`sightline train`: from Parquet triples, a log and stored pictures to a folder with a head."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import rmtree

import numpy as np
import pytest
from typer.testing import CliRunner

from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.embedding import openvino_runtime
from sightline.engine.embedding.choice import open_embedder, open_runtime
from sightline.engine.embedding.conversion import convert
from sightline.engine.embedding.model_files import model_source
from sightline.engine.embedding.projections import GatedProjection
from sightline.engine.errors import RefusedToStart, SettingsInvalid
from sightline.engine.event_log.embedded.journal import JOURNAL_FILE, Journal, JournalRecord
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import EmbedderSettings, Settings
from sightline.infra.cli import main
from sightline.infra.commands import kept_messages
from sightline.infra.commands.learning import networks, train
from sightline.infra.commands.learning.train import TrainWishes
from sightline.infra.commands.taken_back import taken_back_since, taken_back_told
from sightline.schemas.images import ImageDeleted
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES, TRAINING_TRIPLES
from sightline.training.loop.head import Head
from sightline.training.loop.settings import HeadSettings
from sightline.training.models.candidates import of_file
from sightline.training.models.registry import store_model
from sightline.training.models.released_head import registered, vectors_as_served
from tests.label_rows import encoded, retracted
from tests.onnx_files import CARD, written
from tests.training_place import BUCKET, LEARNING, NAMES, Place, clicked, dying, seen_place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Pictures and clicks, seen by a network of sixteen features."""
    return seen_place(tmp_path, monkeypatch)


def test_a_run_says_what_it_follows_from(place: Place) -> None:
    """Offsets, rules, settings, counts; a head that loads, a curve, and the kinds of pictures."""
    files = place.train("run")
    assert sorted(files) == [
        "curve.csv", "curve.svg", "head.safetensors", "pictures.csv", "run.json",
    ]  # fmt: skip
    record = json.loads(files["run.json"])
    assert record["topic"] == TRAINING_TRIPLES.name
    assert record["offsets"] == [{"log": "log", "partition": 0, "end": 60}]
    assert record["rules_versions"] == ["2"]
    assert record["settings"]["head"]["seed"] == 0
    counted = record["counted"]
    assert (counted["triples"], counted["judgements"], counted["steps"]) == (60, 1, 12)
    assert counted["pictures"] == 24
    assert counted["pairs"] == counted["pairs_read"] == 61
    assert 0 < counted["pairs_trained"] < 61
    assert Head.load(place.folder / "run/head.safetensors").change.shape == (16, 16)
    assert len(files["curve.csv"].splitlines()) == 13
    assert files["curve.svg"].startswith(b"<svg")
    rows = list(csv.DictReader(files["pictures.csv"].decode().splitlines()))
    assert [row["image"] for row in rows] == list(NAMES)
    assert {row["held_out"] for row in rows} == {"0", "1"}


def test_a_run_names_pictures_that_are_there_and_nobody_who_clicked(place: Place) -> None:
    """Whoever clicked or judged is in no file, and a deleted image in none of a later run."""
    place.sink([clicked(60, actor_id="u-planted", user_pseudonym="u-planted")], 60)
    place.judge("i01", "i02", 5, "lab~u-planted")
    before = place.train("before")
    gone = encoded(ImageDeleted(image_id="i07", version=2), "deleted-i07")
    place.producer.append(ProducerRecord(IMAGES.name, "i07", gone))
    after = place.train("after")
    assert [b"i07" in run["pictures.csv"] for run in (before, after)] == [True, False]
    assert not [name for name, data in after.items() if b"i07" in data]
    for run in (before, after):
        assert not [name for name, data in run.items() if b"u-planted" in data]


def test_equal_runs_are_equal_files(place: Place) -> None:
    """Byte for byte, whether features are made or known; another seed is another head."""
    once = place.train("once")
    assert place.train("again") == once
    other = replace(LEARNING, head=replace(LEARNING.head, seed=1))
    assert place.train("other", learning=other)["head.safetensors"] != once["head.safetensors"]


def kill(place: Place, name: str, monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Train into a folder, and die after so many checkpoints."""
    with dying(monkeypatch, after=after):
        place.train(name)
    assert [path.name for path in (place.folder / name).iterdir()] == ["checkpoint.safetensors"]


@pytest.mark.parametrize("after", [1, 2])
def test_a_killed_run_goes_on(place: Place, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same command again; what it leaves is what an undisturbed one leaves."""
    kill(place, "killed", monkeypatch, after=after)
    assert place.train("killed") == place.train("undisturbed")


def test_a_killed_run_begins_again_with_what_came_since(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clicks do not wait for a training to come back: it takes them with it."""
    kill(place, "killed", monkeypatch, after=2)
    place.sink([clicked(60), clicked(61)], 60)
    assert place.train("killed") == place.train("undisturbed")


def test_a_deployment_without_clicks_is_told_so(place: Place) -> None:
    """With pictures or without any: there is nothing to train on."""
    for record in place.store.list(BUCKET, "labels/"):
        place.store.delete(BUCKET, record.key)
    for corpus in (4, 0):
        with pytest.raises(SettingsInvalid, match="nothing to train on"):
            place.train("run", corpus=corpus)


def test_an_earlier_run_s_triples_again(place: Place) -> None:
    """What was mined since is left out, and what was taken back since is gone."""
    first = place.train("first")
    place.sink([clicked(60), clicked(61)], 60)
    newest = json.loads(place.train("newest")["run.json"])
    assert (newest["offsets"][0]["end"], newest["counted"]["triples"]) == (62, 62)
    again = place.train("again", like=place.folder / "first")
    assert again["head.safetensors"] == first["head.safetensors"]
    place.sink([retracted(3)], 62)
    less = json.loads(place.train("less", like=place.folder / "first")["run.json"])
    assert (less["offsets"][0]["end"], less["counted"]["triples"]) == (60, 59)


def test_triples_of_the_topic_are_those_of_the_sink(place: Place) -> None:
    """Where no sink has run; and a run like it reads the topic, too, as far as it did."""
    records = [*(clicked(number) for number in range(60)), retracted(3), clicked(4), b"{"]
    place.sink([retracted(3), clicked(4)], 60)
    from_sink = place.train("from-sink")
    for record in place.store.list(BUCKET, "labels/"):
        place.store.delete(BUCKET, record.key)
    for value in records:
        place.producer.append(ProducerRecord(TRAINING_TRIPLES.name, "k", value, partition=0))
    from_topic = place.train("from-topic", from_topic=True)
    assert from_topic["head.safetensors"] == from_sink["head.safetensors"]
    read, written = (json.loads(files["run.json"]) for files in (from_topic, from_sink))
    assert (read["read_from"], written["read_from"]) == ("topic", "parquet")
    assert read["counted"] == written["counted"]
    assert read["offsets"] == [{"log": "log", "partition": 0, "end": 63}]
    for value in (clicked(60), retracted(7)):
        place.producer.append(ProducerRecord(TRAINING_TRIPLES.name, "k", value, partition=0))
    again = json.loads(place.train("again", like=place.folder / "from-topic")["run.json"])
    assert (again["offsets"], again["counted"]["triples"]) == (read["offsets"], 58)


def test_embedded_pictures_are_known_after_a_restart(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log ends with its process, the journal does not; nor need a process run at all."""
    before = place.train("before")
    journal = Journal(place.settings.data_directory / JOURNAL_FILE)
    for told in place.broker.records(IMAGES.name):
        assert told.value is not None
        state = decode(told.value).data
        record = JournalRecord(
            image_id=state.image_id,
            version=state.version,
            tie=0,
            topic=told.topic,
            value=told.value,
            appended=told.timestamp,
        )
        journal.record([record])

    def refuses(_: Settings) -> None:
        raise RefusedToStart("nothing runs")

    monkeypatch.setattr(kept_messages, "open_event_log", lambda _: MemoryEventLog(MemoryBroker()))
    assert json.loads(place.train("after")["run.json"])["counted"]["pictures"] == len(NAMES)
    monkeypatch.setattr(kept_messages, "open_event_log", refuses)
    assert place.train("alone") == place.train("alone-again")
    counted = json.loads((place.folder / "alone/run.json").read_bytes())["counted"]
    assert (counted["pictures"], counted["judgements"]) == (len(NAMES), 0)
    assert json.loads(before["run.json"])["counted"]["judgements"] == 1
    journal.close()


def test_what_was_taken_back_since_is_counted(place: Place) -> None:
    """As `models show` says it; of a run that read elsewhere nobody can tell."""
    run = json.loads(place.train("run")["run.json"])
    assert taken_back_since(place.store, BUCKET, run) == 0
    place.sink([retracted(3), retracted(3), retracted(8), clicked(60)], 60)
    assert taken_back_since(place.store, BUCKET, run) == 2
    assert taken_back_told(place.settings, place.store, run) == (
        "2 triples that taught it were taken back since: it is no longer reproducible"
    )
    elsewhere = run | {"read_from": "topic"}
    assert taken_back_since(place.store, BUCKET, elsewhere) is None
    assert "nobody counts" in (taken_back_told(place.settings, place.store, elsewhere) or "")
    assert taken_back_told(place.settings, place.store, {}) is None
    assert taken_back_since(place.store, BUCKET, {}) is None


def test_a_folder_holds_one_run(place: Place) -> None:
    """A second one would mix two; and what is no run is nothing to be like."""
    place.train("run")
    with pytest.raises(SettingsInvalid, match="name another folder"):
        place.train("run")
    with pytest.raises(SettingsInvalid, match="holds no training"):
        place.train("other", like=place.folder / "never")


def test_a_deployment_without_data_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has filled the store yet, and nothing is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedToStart, match="sightline up"):
        CliRunner().invoke(main.app, ["train", "run"], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


def test_what_the_command_line_asks_for_reaches_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a file of settings, too: there only what was named."""
    asked: list[TrainWishes] = []

    def trained(_: object, wishes: TrainWishes, *__: object) -> None:
        asked.append(wishes)
        raise RefusedToStart("enough is known")

    monkeypatch.setattr(train, "run_training", trained)
    (tmp_path / "tuned.json").write_text('{"temperature": 0.5, "familiar": true}')
    for options in (
        ["--familiar", "--balance", "0.25", "--depth", "2", "--activation", "tanh"],
        ["--settings", str(tmp_path / "tuned.json"), "--balance", "0.25"],
        ["--familiarity-gate"],
    ):
        with pytest.raises(RefusedToStart):
            CliRunner().invoke(
                main.app, ["train", str(tmp_path / "run"), *options], catch_exceptions=False
            )
    assert [wishes.learning.head for wishes in asked] == [
        HeadSettings(familiar=True, balance=0.25, depth=2, activation="tanh"),
        HeadSettings(familiar=True, balance=0.25, temperature=0.5),
        HeadSettings(familiarity_gate=True),
    ]


@pytest.mark.parametrize("gate", [False, True])
def test_an_onnx_file_is_trained_on_released_and_served(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, gate: bool
) -> None:
    """File, card and head come back from the registry as one model, where the next round begins."""
    monkeypatch.setattr(
        networks, "open_runtime", partial(open_runtime, cache=place.folder / "nets")
    )
    monkeypatch.setattr(networks, "model_source", model_source)
    monkeypatch.setattr(openvino_runtime, "convert_in_child", convert)
    file = written(place.folder / "mine", card=CARD.replace("= 16", "= 16\nshort_side = 16"))
    asked = EmbedderSettings(model=f"onnx:{file}", precision="fp32", threads=1)
    over = replace(place, settings=place.settings.model_copy(update={"embedder": asked}))
    how = replace(LEARNING, head=replace(LEARNING.head, familiarity_gate=gate))
    run = over.train("run", learning=how)
    assert json.loads(run["run.json"])["start"]["model"] == "onnx"
    made = of_file(place.folder / "run", asked, strength=0.6)
    assert isinstance(made.projection, GatedProjection) == gate
    new = registered(made, "shop", metrics={}, lineage={})
    assert new.config().format == (2 if gate else 1)
    digest = store_model(place.store, BUCKET, new)
    named = asked.model_copy(update={"model": f"registry:shop@{digest}"})
    settings = place.settings.model_copy(update={"embedder": named})
    served = embedder_settings(settings, cache=place.folder / "models")
    rmtree(file.parent)
    crops = np.random.default_rng(2).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    runtime = open_runtime(made.source, served, cache=place.folder / "nets")
    rows = made.vectors(runtime.features(crops))
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    embedder = open_embedder(served, cache=place.folder / "nets")
    assert np.abs(embedder.embed(crops) - expected).max() < 1e-6
    assert np.array_equal(vectors_as_served(made, runtime, crops), embedder.embed(crops))
    monkeypatch.setattr(train, "embedder_settings", lambda _: served)
    begun = json.loads(replace(place, settings=settings).train("next")["run.json"])["start"]
    assert begun["digest"] == embedder.digest
