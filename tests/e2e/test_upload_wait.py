"""`sightline upload --wait`: returns once searches find the picture, or says why they will not."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.infra.local.node_process import NodeProcess
from tests.asking import Asking, drawn, embedded
from tests.processes import sightline

PUBLIC = ("--visibility", "public", "--wait")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture that is accepted."""
    file = tmp_path / "good.jpg"
    file.write_bytes(drawn(1, seed=71)[0])
    return file


def test_a_picture_is_searchable_when_the_command_returns(
    node: NodeProcess, api: Asking, picture: Path
) -> None:
    """One line says so; a repeat, which changes nothing, says it again."""
    settings = embedded(node.data_directory)
    for _ in range(2):
        ended = sightline("upload", str(picture), "--id", "waited", *PUBLIC, settings=settings)
        assert ended.returncode == 0, ended.stderr
        assert "waited version 1 searchable after " in ended.stdout
        assert api.found(picture.read_bytes(), limit=1) == ["waited"]


def test_a_rejection_is_told_with_its_reason(
    node: NodeProcess, picture: Path, tmp_path: Path
) -> None:
    """The good file is searchable all the same; the exit code is that of a failure."""
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(picture.read_bytes()[:200])
    settings = embedded(node.data_directory)
    ended = sightline("upload", str(picture), str(bad), *PUBLIC, settings=settings)
    assert ended.returncode == 1
    assert "searchable after" in ended.stdout
    assert "version 1 rejected: " in ended.stderr
    assert "sightline: 1 of 2 files are not searchable" in ended.stderr


def test_a_time_that_is_over_is_told(node: NodeProcess, picture: Path) -> None:
    """No time at all: acknowledged, but not said to be searchable."""
    settings = embedded(node.data_directory)
    ended = sightline("upload", str(picture), *PUBLIC, "--timeout", "0", settings=settings)
    assert ended.returncode == 1
    assert "no answer within 0 s" in ended.stderr


def test_what_is_not_searched_is_said_to_be_applied(node: NodeProcess, picture: Path) -> None:
    """A private picture is ready, and hidden."""
    ended = sightline(
        "upload", str(picture), "--visibility", "private", "--wait",
        settings=embedded(node.data_directory),
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "applied, hidden from searches" in ended.stdout
