"""What the command itself decides: wrong command lines, and how its answers look."""

from __future__ import annotations

import gc
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from sightline.engine.clock import ManualClock
from sightline.engine.errors import SettingsInvalid
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.private_files import write_private
from sightline.infra.cli import main, moderate, operate, quick_start
from sightline.infra.commands import reconcile as commands
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.dead_letters import DeadLetterFacts
from sightline.stream_workers.delivery.dead_letter_replay import DeadLetter
from sightline.stream_workers.reconciling.differences import DifferenceKind, ImageDifference, Report
from tests.conftest import ROOT
from tests.worker_parts import MemoryLog

WRITTEN = {
    ".": ".: Is a directory",
    "no/file": "file: No such file or directory",
    "pipe": "pipe: No such device or address",
    "full": "No space left on device",
}
"""Files that cannot be, and what is said of each."""
WRITTEN = {
    ".": ".: Is a directory",
    "no/file": "file: No such file or directory",
    "pipe": "pipe: No such device or address",
    "full": "sightline: No space left on device",
}
"""Files that cannot be written, and what is said of each."""
PUBLIC = ("--visibility", "public")
MESSAGE = "data.tags [0]: Input should be a valid string [type=string_type] " + "x" * 200


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["."], "--visibility public, private, or a --manifest"),
        (["nope", *PUBLIC], "nope is not a directory"),
    ],
)
def test_a_backfill_that_cannot_begin_is_a_matter_of_its_options(
    arguments: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the option, and begins nothing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsInvalid, match=told):
        CliRunner().invoke(main.app, ["backfill", *arguments], catch_exceptions=False)
    assert list(tmp_path.iterdir()) == []


def test_a_manifest_that_is_not_there_is_a_matter_of_its_option(tmp_path: Path) -> None:
    """Exit code 2, with its name."""
    arguments = ["backfill", str(tmp_path), "--manifest", str(tmp_path / "never.csv")]
    ended = CliRunner().invoke(main.app, arguments)
    assert ended.exit_code == 2
    assert "--manifest" in ended.output


def test_the_command_raises_the_thresholds_of_garbage_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ways of starting it go through the module that imports next to nothing before."""
    told: list[tuple[int, int, int]] = []
    before = gc.get_threshold()
    monkeypatch.setattr(main, "main", lambda: told.append(gc.get_threshold()))
    try:
        quick_start.main()
    finally:
        gc.set_threshold(*before)
    assert told == [(50_000, 20, 100)]
    script = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["sightline"]
    assert script == f"{quick_start.__name__}:main"
    imported = [name for name in vars(quick_start) if not name.startswith("_")]
    quick = ["look_for_garbage_seldom", "never_look_for_garbage_again"]
    assert imported == ["annotations", *quick, "main"]


def test_the_version_is_told() -> None:
    """That of the installed package."""
    ended = CliRunner().invoke(main.app, ["--version"])
    assert ended.exit_code == 0
    assert ended.output == f"sightline {version('sightline-search')}\n"


def test_help_is_whole_on_eighty_columns() -> None:
    """No command's sentence is cut, and flags take no `<bool>`."""
    said = CliRunner().invoke(main.app, ["--help"], env={"COLUMNS": "80"}).output
    assert "..." not in said.partition("Commands:")[2]
    demo = CliRunner().invoke(main.app, ["demo", "--help"], env={"COLUMNS": "80"}).output
    assert "--exit" in demo
    assert "<bool>" not in said + demo


def letter_of(*, error: str = "ContractError", value: bytes = b"{}") -> DeadLetter:
    """A dead letter whose message has brackets."""
    facts = DeadLetterFacts(
        topic="images.v1",
        partition=0,
        offset=17,
        stage="parse",
        error=error,
        message=MESSAGE,
        attempts=1,
    )
    return DeadLetter(
        facts=facts,
        key="cat",
        value=value,
        headers=(),
        appended=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    )


def test_what_strangers_wrote_is_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of dead letters, whose headers say what failed: no tag ends the command, nor hides a word."""
    letter = letter_of(error="[/x][conceal]Odd:smile:", value=b"\x1b[2Ja\nb\xff")
    monkeypatch.setattr(operate, "_letters", lambda _: [letter])
    told = CliRunner().invoke(operate.app, ["dlq", "list"], catch_exceptions=False).output
    assert "[/x][conceal]Odd:smile:" in told
    shown = CliRunner().invoke(operate.app, ["dlq", "show", "images.v1/0/17"]).output
    assert shown.splitlines()[-2:] == [" [2Ja", "b\ufffd"]


def _numbers(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Every option of every command that takes a number with a point, behind the command."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from _numbers(inner, *path, name)
    for parameter in command.params:
        if parameter.type_descriptor.annotation is float:
            yield (*path, parameter.opts[0])


@pytest.mark.parametrize("odd", ["nan", "inf", "-inf", "1e999"])
def test_no_number_of_a_command_line_is_none(odd: str) -> None:
    """No bound refuses `nan`, and what is computed of it is told nowhere."""
    found = list(_numbers(typer.main.get_command(main.app)))
    assert len(found) >= 15
    for options in found:
        ended = CliRunner().invoke(main.app, [*options, odd])
        assert ended.exit_code == 2
        assert options[-1] in ended.output, options


def test_a_file_that_cannot_be_written_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its name, whichever command it was for; a pipe that nobody reads is waited for by none."""
    os.mkfifo(tmp_path / "pipe")
    for name, says in {
        ".": "directory",
        "no/file": "No such file",
        "pipe": "No such device",
    }.items():
        monkeypatch.setattr(main, "app", partial(write_private, tmp_path / name, "x"))
        with pytest.raises(SystemExit) as ended:
            main.main()
        told = capsys.readouterr().err
        assert (ended.value.code, told.count("\n")) == (1, 1)
        assert says in told
    monkeypatch.setattr(main, "app", "\udcff\x1b".encode)
    with pytest.raises(SystemExit):
        main.main()
    assert capsys.readouterr().err == "sightline: \\udcff\\x1b is no text in UTF-8\n"


def test_a_piped_list_of_dead_letters_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a letter: time and message uncut, brackets as they were."""
    monkeypatch.setattr(operate, "_letters", lambda _: [letter_of()])
    monkeypatch.setenv("COLUMNS", "80")
    ended = CliRunner().invoke(operate.app, ["dlq", "list"], catch_exceptions=False)
    (line,) = [line for line in ended.output.splitlines() if "images.v1/0/17" in line]
    assert "2026-03-04 05:06:07" in line
    assert MESSAGE in line


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (["..", "blocked"], "image_id"),
        (["cat", "blocked", "--by", ""], "decided_by"),
        (["cat", "blocked", "--reason", "x" * 10_000], "reason"),
    ],
)
def test_a_decision_out_of_bounds_is_refused_in_one_line(
    arguments: list[str], field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line names what is wrong, and nothing is decided."""
    log, store = MemoryLog(ManualClock()), DirectoryObjectStore(tmp_path)
    store.ensure_bucket("b")

    @contextmanager
    def connected(**_: str) -> Iterator[ImagePublisher]:
        yield ImagePublisher(log, store, bucket="b", source="/test", clock=ManualClock())

    monkeypatch.setattr(moderate, "connect", connected)
    with pytest.raises(SettingsInvalid, match=field):
        CliRunner().invoke(moderate.app, arguments, catch_exceptions=False)
    assert not any(log.records.values())


def test_what_cannot_be_read_is_not_counted_as_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """`reconcile` names it beside what it mended."""
    differences = tuple(
        ImageDifference(image_id=kind, kind=kind, catalogued=None, indexed=None)
        for kind in (DifferenceKind.MISSING, DifferenceKind.UNREADABLE, DifferenceKind.EXTRA)
    )
    report = Report(catalogued=2, indexed=1, differences=differences)
    monkeypatch.setattr(commands, "reconcile_anywhere", lambda *_, **__: report)
    ended = CliRunner().invoke(operate.app, ["reconcile"], catch_exceptions=False)
    assert ended.output.splitlines()[-2:] == [
        "2 differences, each published or purged",
        "1 cannot be read: an admin may delete them",
    ]
