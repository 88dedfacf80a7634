"""`sightline demo` as a visitor runs it: proves itself and ends, or runs until Ctrl-C.

With a folder of photos and `--exit` it is run by `test_readme.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from sightline.infra.cli.main import INTERRUPTED
from tests.patience import patient
from tests.waiting import eventually

PHOTOS = DRAWN = 60
TIMEOUT_S = 280
COMMAND = [sys.executable, "-m", "sightline.infra.cli", "demo", "--port", "0"]


@pytest.fixture
def few_photos(photos: Path, tmp_path: Path) -> Path:
    """A folder of some photos, one of them in a folder of its own."""
    folder = tmp_path / "few photos"
    (folder / "inner").mkdir(parents=True)
    for number, file in enumerate(sorted((photos / "images").iterdir())[:PHOTOS]):
        shutil.copy(file, folder / ("inner" if number == 0 else ".") / file.name)
    return folder


def test_without_a_folder_the_demo_draws_its_own(tmp_path: Path) -> None:
    """A drawn catalogue, every picture counted, the figures told, and the proof at the end."""
    ended = _demo("--exit", "--draw", str(DRAWN), temporary=tmp_path)
    assert ended.returncode == 0, ended.stderr + ended.stdout
    assert f"{DRAWN}/{DRAWN}" in ended.stdout
    assert re.search(r"efficientnet_lite0 on \w+ in (bf16|fp32)", ended.stdout)
    for figure in ("live upload, log to searchable", "search by id", "search by uploaded picture"):
        assert figure in ended.stdout
    assert "deleted, it was found no longer" in ended.stdout
    assert _left_over(tmp_path) == []


def test_a_folder_without_pictures_is_refused_in_one_line(tmp_path: Path) -> None:
    """The line names the folder; nothing was started."""
    empty = tmp_path / "empty"
    empty.mkdir()
    ended = _demo("--photos", str(empty), "--exit", temporary=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.strip() == ended.stderr.strip().splitlines()[0]
    assert str(empty) in ended.stderr


@pytest.mark.parametrize("moment", ["while it fills", "What this run measured"])
def test_ctrl_c_stops_the_demo_cleanly(few_photos: Path, tmp_path: Path, moment: str) -> None:
    """While it indexes, or while people search: it ends soon, no traceback, nothing is left."""
    log = tmp_path / "demo.log"
    with log.open("wb") as out:
        demo = subprocess.Popen(
            [*COMMAND, "--photos", str(few_photos)],
            env=_environment(tmp_path),
            stdout=out,
            stderr=out,
        )
    try:
        eventually(lambda: moment in log.read_text(), timeout_s=TIMEOUT_S, interval_s=0.1)
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        assert found is not None
        assert httpx.get(found[0] + "/healthz").is_success
        demo.send_signal(signal.SIGINT)
        assert demo.wait(patient(60)) in (0, INTERRUPTED)
    finally:
        demo.kill()
        demo.wait()
    assert "Traceback" not in log.read_text()
    assert _left_over(tmp_path) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(found[0] + "/healthz")


def _demo(*arguments: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=_environment(temporary),
        capture_output=True,
        text=True,
        timeout=patient(TIMEOUT_S),
        check=False,
    )


def _environment(temporary: Path) -> dict[str, str]:
    """Its scratch folder is ours to look at; no photos by accident; lines are wide enough."""
    return os.environ | {"TMPDIR": str(temporary), "COLUMNS": "120", "DEMO_EXIT": ""}


def _left_over(temporary: Path) -> list[str]:
    return [path.name for path in temporary.glob("sightline-demo-*")]
