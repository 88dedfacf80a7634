"""The retraining as a process: what a child is told, when there is one, and what a person reads."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from sightline.engine.clock import ManualClock
from sightline.engine.connecting.connections import open_object_store
from sightline.engine.errors import RefusedToStart
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.settings import (
    ApiKey,
    ApiSettings,
    KafkaSettings,
    Mode,
    RetrainingSettings,
    Settings,
    StoreSettings,
    load_settings,
)
from sightline.infra.cli import main
from sightline.infra.commands.learning import retraining_work
from sightline.infra.commands.learning.retraining_work import TrainingWork
from sightline.infra.commands.learning.train import TrainWishes
from sightline.infra.wiring.retraining import orders, retraining_loops
from sightline.schemas.registry import decode
from sightline.training.loop.settings import HeadSettings
from sightline.training.retraining.state import AttemptOutcome, Ended, RetrainingState
from tests.label_rows import NOON


def test_a_child_is_told_all_settings_with_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was set by argument, file or variable in the parent, whatever the child's own say."""
    settings = Settings(
        mode=Mode.SERVICES,
        data_directory=Path("elsewhere"),
        kafka=KafkaSettings(sasl_username="us", sasl_password="secret-of-the-broker"),
        store=StoreSettings(secret_key="secret-of-the-store", directory=Path("objects")),
        api=ApiSettings(keys=(ApiKey(name="a", sha256="0" * 64, scopes=("admin",)),)),
        retraining=RetrainingSettings(triples=7),
    )
    told = json.loads(orders(settings, "DEBUG"))
    monkeypatch.setenv("SIGHTLINE_RETRAINING__TRIPLES", "9")
    assert Settings(**told["settings"]) == settings
    assert told["log_level"] == "DEBUG"
    assert orders(settings, "INFO").count(b"\n") == 1


def test_a_node_retrains_only_where_it_is_wanted() -> None:
    """A training takes a core for a while; nobody gets one unasked."""
    for wanted in (False, True):
        settings = Settings(retraining=RetrainingSettings(supervised=wanted))
        watch = SimpleNamespace(clock=ManualClock(), metrics=None)
        node: Any = SimpleNamespace(settings=settings, watch=watch, store=MemoryObjectStore())
        assert list(retraining_loops(node)) == ["retraining"] * wanted


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A deployment in a folder that nobody has clicked in yet."""
    monkeypatch.setenv("SIGHTLINE_DATA_DIRECTORY", str(tmp_path / "data"))
    settings = load_settings()
    open_object_store(settings).close()
    return settings


def test_whoever_has_no_clicks_is_told_so(deployed: Settings) -> None:
    """The command ends, and trains nothing."""
    ended = CliRunner().invoke(main.app, ["retrain", "--once"], catch_exceptions=False)
    assert ended.output.splitlines() == [
        "nothing was due, or another process does it",
        "clicks: no attempt yet",
    ]
    assert deployed.data_directory.is_dir()


def test_without_a_deployment_there_is_nothing_to_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what to do, and makes no folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusedToStart, match="sightline up"):
        CliRunner().invoke(main.app, ["retrain", "--now"], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


def test_an_attempt_without_a_verdict_is_told_within_bounds(tmp_path: Path) -> None:
    """The event takes 512 characters of a reason, however long an error is."""
    sent: list[Any] = []
    producer: Any = SimpleNamespace(append=sent.append, flush=lambda _: None, close=lambda: None)
    settings = Settings(data_directory=tmp_path)
    store: Any = None
    work = TrainingWork(
        settings=settings, store=store, clock=ManualClock(), open_producer=lambda _: producer
    )
    attempt = RetrainingState().begun({("log", 0): 9}, NOON).under_way
    assert attempt is not None
    says = "a path of many folders " * 40
    work.tell(Ended(attempt=attempt, outcome=AttemptOutcome.FAILED, says=says, ended_at=NOON))
    event = decode(sent[0].value)
    assert (event.data.outcome, event.data.attempt) == ("failed", 1)
    assert says.startswith(event.data.reason)


@pytest.mark.parametrize(
    ("asked_for", "wanted"),
    [
        ({}, HeadSettings(seed=1)),
        ({"familiar": True}, HeadSettings(seed=1, familiar=True)),
        ({"familiarity_gate": True}, HeadSettings(seed=1, familiarity_gate=True)),
    ],
)
def test_a_head_is_trained_as_the_settings_ask(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked_for: dict[str, bool],
    wanted: HeadSettings,
) -> None:
    """Along familiar directions, behind a gate or neither; each attempt by a seed of its own."""
    asked: list[TrainWishes] = []
    monkeypatch.setattr(retraining_work, "run_training", lambda _, wishes, __: asked.append(wishes))
    store: Any = None
    how = RetrainingSettings.model_validate(asked_for)
    settings = Settings(data_directory=tmp_path, retraining=how)
    work = TrainingWork(settings=settings, store=store, clock=ManualClock())
    attempt = RetrainingState().begun({}, NOON).under_way
    assert attempt is not None
    work.train(attempt)
    assert [wishes.learning.head for wishes in asked] == [wanted]


def test_old_runs_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last few stay, for whoever wants to look at why they were refused."""
    monkeypatch.setattr(retraining_work, "run_training", lambda *_: None)
    store: Any = None
    settings = Settings(data_directory=tmp_path)
    work = TrainingWork(settings=settings, store=store, clock=ManualClock())
    attempt = RetrainingState().begun({}, NOON).under_way
    assert attempt is not None
    for number in range(1, 6):
        work.folder(attempt.model_copy(update={"number": number})).mkdir(parents=True)
    work.train(attempt.model_copy(update={"number": 6}))
    left = sorted(path.name for path in (tmp_path / "retraining" / "clicks").iterdir())
    assert left == ["000003", "000004", "000005"]
