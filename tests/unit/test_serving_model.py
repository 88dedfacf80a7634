"""Which model "serves" for commands: the record's once there is one, whatever the settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.connecting import released_model, serving_model
from sightline.engine.connecting.serving_model import as_indexed, as_serving, serving_embedder
from sightline.engine.errors import SettingsInvalid
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration, Serves
from sightline.engine.settings import EmbedderSettings, Settings, StoreSettings
from sightline.infra.commands import models as model_commands
from sightline.infra.commands.learning import backbone, evaluate, retraining_work, train, tune
from sightline.infra.commands.learning.retraining_work import TrainingWork
from sightline.infra.doctor import embedder as doctor
from sightline.training.evaluation.gate import GateLimits
from sightline.training.loop.head import Head
from sightline.training.retraining.state import Attempt, AttemptOutcome, JudgedHead
from tests.label_rows import NOON
from tests.training_place import BUCKET, LEARNING

CLICKS, MATRIX = f"clicks@{'a' * 64}", f"clicks@{'b' * 64}"


def state() -> ServingState:
    """A generation that the settings made, and one beside it that was proven."""

    def known(name: str, model: str | None) -> KnownGeneration:
        return KnownGeneration(
            name=name,
            model=model,
            model_digest=name,
            group=name,
            stage=GenerationStage.FILLING if model else GenerationStage.READY,
            made_at=NOON,
        )

    made = ServingState.first(known("g-1", None), NOON)
    return made.with_generation(known("g-2", CLICKS), NOON, "").made_ready("g-2", NOON, "")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A deployment whose store nothing has made yet."""
    directory = tmp_path / "objects"
    return Settings(data_directory=tmp_path / "data", store=StoreSettings(directory=directory))


def serving(settings: Settings, found: ServingState) -> Settings:
    """The deployment with this record."""
    assert settings.store.directory is not None
    store = DirectoryObjectStore(settings.store.directory)
    store.ensure_bucket(BUCKET)
    ServingRecord.of(settings, store).begin(found)
    return settings


def switched(settings: Settings) -> Settings:
    """The deployment after a switch to the second generation."""
    return serving(settings, state().switched(Serves(generation="g-2"), NOON, ""))


def test_without_a_record_the_settings_say_what_serves(settings: Settings) -> None:
    """Also where nothing ever ran: asking makes no directory."""
    assert as_serving(settings) is settings
    assert settings.store.directory is not None
    assert not settings.store.directory.exists()
    assert serving_embedder(settings) == settings.embedder


def test_the_first_generation_is_the_settings_own(settings: Settings) -> None:
    """A record alone changes nothing: its first generation has no model of the registry."""
    assert as_serving(serving(settings, state())) is settings


def test_after_a_switch_the_record_says_what_serves(settings: Settings) -> None:
    """The model of the generation; what runs it stays the settings'."""
    mine = {"model": "resnet18", "projection": Path("mine"), "threads": 3}
    own = settings.model_copy(update={"embedder": settings.embedder.model_copy(update=mine)})
    found = as_serving(switched(own)).embedder
    assert found == EmbedderSettings(model=f"registry:{CLICKS}", threads=3)
    assert as_indexed(own).embedder == found


def test_a_matrix_on_the_query_serves_and_made_no_index(settings: Settings) -> None:
    """Answers are the new model's, and the vectors still the old one's."""
    promoted = Serves(generation="g-1", query_model=MATRIX)
    serving(settings, state().switched(promoted, NOON, ""))
    assert as_serving(settings).embedder.model == f"registry:{MATRIX}"
    assert as_indexed(settings) is settings


def test_two_indexes_of_one_bucket_serve_each_its_own(settings: Settings) -> None:
    """The record of another index says nothing of this one."""
    switched(settings)
    other = settings.index.model_copy(update={"collection_prefix": "other"})
    theirs = settings.model_copy(update={"index": other})
    assert as_serving(theirs) is theirs


class Asked(Exception):
    """Ends a command once it has asked for the files of a model."""


def attempt() -> Attempt:
    """An attempt that was judged, of which nothing else is looked at."""
    head = JudgedHead(
        head="c" * 64, outcome=AttemptOutcome.RELEASED, strength=0.6, needs=0, lines=(), metrics={}
    )
    return Attempt(number=1, ends=(), began_at=NOON, judged=head)


def retraining(settings: Settings) -> TrainingWork:
    """The steps of a retraining in the deployment."""
    assert settings.store.directory is not None
    store = DirectoryObjectStore(settings.store.directory)
    return TrainingWork(
        settings=settings, store=store, clock=SystemClock(), limits=GateLimits(), learning=LEARNING
    )


def quiet(*_: Any, **__: Any) -> None:
    """Says nothing, opens nothing, reads nothing."""


def trains(settings: Settings, folder: Path) -> None:
    """Trains a head."""
    train.run_training(settings, train.TrainWishes(folder=folder / "run"), quiet)


def tunes(settings: Settings, folder: Path) -> None:
    """Looks for better settings of a training."""
    tune.run_tuning(
        settings, tune.TuneWishes(folder=folder / "tuned", learning=LEARNING, trials=1), quiet
    )


def trains_backbone(settings: Settings, folder: Path) -> None:
    """Trains a network without clicks."""
    wishes = backbone.BackboneWishes(folder=folder / "backbone", head=None)
    backbone.run_backbone(settings, wishes, quiet)


COMMANDS: dict[str, Callable[[Settings, Path], object]] = {
    "train": trains,
    "tune": tunes,
    "train-backbone": trains_backbone,
    "evaluate serving": lambda chosen, _: evaluate.candidate(chosen, "serving", strength=1),
    "features of a run": lambda chosen, _: model_commands.network_of(chosen),
    "retrain: gate": lambda chosen, _: retraining(chosen).evaluate(attempt()),
    "retrain: register": lambda chosen, _: retraining(chosen).register(attempt()),
    "doctor": lambda chosen, _: list(doctor.check_embedder(chosen)),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_begin_at_the_model_of_the_record(
    command: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each opens what a search is answered by, not what the settings name."""
    seen: list[str] = []

    def files_of(chosen: Settings) -> EmbedderSettings:
        seen.append(chosen.embedder.model)
        raise Asked

    for module in (train, evaluate, retraining_work, serving_model, released_model):
        monkeypatch.setattr(module, "embedder_settings", files_of)
    monkeypatch.setattr(TrainingWork, "trained", lambda *_: "c" * 64)
    monkeypatch.setattr(Head, "load", lambda _: NoHead())
    monkeypatch.setattr(tune, "need_optuna", quiet)
    with pytest.raises(Asked):
        COMMANDS[command](switched(settings), tmp_path)
    assert seen == [f"registry:{CLICKS}"]


class NoHead:
    """A trained head of which no number matters."""

    def projection(self, _: float) -> None:
        """Has none."""


def test_a_head_of_another_network_is_no_model_over_what_serves_now(tmp_path: Path) -> None:
    """Where another network came to serve since the training, its features mean other things."""
    nothing = np.zeros((8, 8), np.float32)
    head = Head(mean=nothing[0], base=nothing, change=nothing)
    head.save(tmp_path / "head.safetensors")
    (tmp_path / "run.json").write_text('{"start": {"weights": "other"}}')
    with pytest.raises(SettingsInvalid, match="another network"):
        evaluate.candidate(Settings(data_directory=tmp_path), str(tmp_path), strength=1)
