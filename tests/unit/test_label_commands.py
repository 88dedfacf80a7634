"""Commands on labels and `GET /v1/stats`: documented, refused where they cannot work, answered."""

from __future__ import annotations

import asyncio
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer.main
from typer.testing import CliRunner

from sightline.engine.errors import RefusedToStart, SettingsInvalid
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.search_stats import SearchStats
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import ApiSettings, Settings, StoreSettings
from sightline.infra.cli import labels
from sightline.infra.commands import labels as label_commands
from sightline.infra.commands.labels import LabelCommands, run_sink
from sightline.infra.commands.opened_store import over_store
from sightline.schemas.topics import SEARCHES_CLOSED
from sightline.search_api.app import create_app
from tests.api_parts import BASE_URL, KEYS, ApiWorld
from tests.conftest import ROOT
from tests.label_rows import closed, closed_message, counted, graded, marker, search

PAGE = ROOT / "docs/labels-data.md"


def commands(group: Any, name: str = "sightline") -> Iterator[tuple[str, Any]]:
    """Every command below a group."""
    for word, command in getattr(group, "commands", {}).items():
        if getattr(command, "commands", None):
            yield from commands(command, f"{name} {word}")
        else:
            yield f"{name} {word}", command


COMMANDS = dict(commands(typer.main.get_command(labels.app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    """docs/labels-data.md has a line for each, and names its options."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}")]
    assert lines
    options = [
        option
        for parameter in COMMANDS[name].params
        for option in parameter.opts
        if option.startswith("-") and len(parameter.opts) == 1
    ]
    assert [option for option in options if option not in " ".join(lines)] == []
    assert COMMANDS[name].help


def test_the_sink_alone_needs_real_services() -> None:
    """Embedded, the owner runs it."""
    with pytest.raises(SettingsInvalid, match="sightline up"):
        run_sink(Settings(), threading.Event())


def test_an_export_has_a_known_form(tmp_path: Path) -> None:
    """Parquet or CSV, by name; a new file names people and is its user's alone."""
    settings = Settings(store=StoreSettings(directory=tmp_path))
    DirectoryObjectStore(tmp_path).ensure_bucket(settings.store.bucket)
    with over_store(LabelCommands, settings) as opened:
        assert opened.export(tmp_path / "none.parquet") == 0
        assert opened.export(tmp_path / "none.parquet", certain=2) == 0
        assert opened.export(tmp_path / "none.csv") == 0
        for name in ("none.parquet", "none.csv"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        with pytest.raises(SettingsInvalid, match=r"\.parquet or \.csv"):
            opened.export(tmp_path / "none.xlsx")


def test_head_and_stats_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment without triples."""
    DirectoryObjectStore(tmp_path).ensure_bucket(StoreSettings().bucket)
    monkeypatch.setenv("SIGHTLINE_STORE__DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    for command, told in (("head", "no triples yet"), ("stats", "0 triples hold")):
        result = runner.invoke(labels.app, ["triples", command], catch_exceptions=False)
        assert result.exit_code == 0
        assert told in result.output


def test_where_nothing_ever_ran_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking into a fresh directory says so, and leaves it as it was."""
    monkeypatch.chdir(tmp_path)
    for command in ("head", "stats"):
        with pytest.raises(RefusedToStart, match="holds nothing yet: `sightline up --detach`"):
            CliRunner().invoke(labels.app, ["triples", command], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("user", ["", "  "])
def test_nobody_is_not_erased(user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script whose variable is empty publishes no erasure, and reaches for nothing."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(labels.app, ["erase-user", user], catch_exceptions=False)
    assert result.exit_code == 2
    assert "not blank" in result.output


async def ask(world: ApiWorld, query: str, key: str) -> httpx.Response:
    """`GET /v1/stats` with two epochs known."""
    stats = SearchStats()
    stats.add(counted(2))
    stats.add(counted(3, variant="b"))
    deps = replace(world.dependencies(ApiSettings(keys=KEYS)), stats=stats)
    transport = httpx.ASGITransport(create_app(deps))
    async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as client:
        return await client.get(f"/v1/stats{query}", headers={"X-API-Key": key})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """An API's parts."""
    opened = ApiWorld.open(tmp_path)
    yield opened
    opened.index.close()


@pytest.mark.parametrize(
    ("query", "status", "rows"),
    [
        ("", 200, 2),
        ("?period=month&since=2026-03-03T00:00:00Z", 200, 1),
        ("?period=all&until=2026-03-01T00:00:00Z", 200, 0),
        ("?period=fortnight", 422, None),
        ("?since=2026-03-03T00:00:00", 422, None),
    ],
)
def test_stats_are_folded_as_asked(
    world: ApiWorld, query: str, status: int, rows: int | None
) -> None:
    """By period, between instants with a zone; anything else is a problem."""
    answer = asyncio.run(ask(world, query, "admin"))
    assert answer.status_code == status, answer.text
    if rows is not None:
        body = answer.json()
        assert len(body["rows"]) == rows
        assert all(row["ctr"] == 0.25 for row in body["rows"])


def test_stats_are_for_administrators(world: ApiWorld) -> None:
    """Nobody else learns how well it sells."""
    assert asyncio.run(ask(world, "", "searcher")).status_code == 403


def test_stats_are_in_the_openapi_document(world: ApiWorld) -> None:
    """With their shape; and in docs/api.md."""
    deps = replace(world.dependencies(ApiSettings()), stats=SearchStats())
    document = create_app(deps).openapi()
    assert "/v1/stats" in document["paths"]
    assert "StatsAnswer" in document["components"]["schemas"]
    assert "`GET /v1/stats`" in (PAGE.parent / "api.md").read_text()


def test_a_fit_that_says_nothing_new_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is the first version again."""
    DirectoryObjectStore(tmp_path).ensure_bucket(StoreSettings().bucket)
    page = search("s1", *(graded(f"p{place}", place) for place in range(1, 89)))
    broker = MemoryBroker([SEARCHES_CLOSED], 1)
    for data in (closed(0, 7, page), marker(0, 7)):
        told = closed_message(data, 0, 0)
        MemoryEventProducer(broker).append(ProducerRecord(SEARCHES_CLOSED.name, "0-7", told.value))
    monkeypatch.setattr(label_commands, "open_event_log", lambda _: MemoryEventLog(broker))
    monkeypatch.setenv("SIGHTLINE_STORE__DIRECTORY", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    first, second = (
        CliRunner().invoke(labels.app, ["propensity", "fit"], catch_exceptions=False).output
        for _ in range(2)
    )
    assert first.startswith("version 1: 1 searches")
    assert " 1-88  weight 1: 0 images were also shown elsewhere, 50 are needed" in first
    assert second == f"same as version 1, not stored again\n{first}"
