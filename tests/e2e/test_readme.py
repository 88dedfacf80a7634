"""The README's commands do what it says.

They run in the checkout, as a reader runs them, but for three things: data lies in a folder of the
test's own, the port is a free one (8080 may be in use), and the demo takes few photos and ends.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.infra.local.free_ports import free_port
from sightline.infra.local.node_process import NodeProcess
from tests.asking import Asking
from tests.conftest import ROOT
from tests.patience import patient
from tests.waiting import eventually

PHOTOS = 60
TIMEOUT_S = 280


def blocks(language: str) -> list[str]:
    """The README's code blocks in a language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


SHELL = blocks("sh")


@pytest.mark.parametrize("script", SHELL, ids=[script.splitlines()[0] for script in SHELL])
def test_its_shell_commands_work(script: str, photos: Path, tmp_path: Path) -> None:
    """Each command of a block ends with 0."""
    assert "make test" not in script, "running this test in itself has no end"
    port = str(free_port())
    environment = os.environ | {
        "SIGHTLINE_DATA_DIRECTORY": str(tmp_path / "var"),
        "SIGHTLINE_API__PORT": port,
        "DEMO_EXIT": "1",
        "PHOTOS": str(_few(photos, tmp_path / "photos")),
        "COLUMNS": "120",
    }
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    try:
        ended = _run(["bash", "-euxo", "pipefail", "-c", script], environment, ROOT)
    finally:
        _run([sys.executable, "-m", "sightline.infra.cli", "down"], environment, ROOT)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    if "make demo" in script:
        assert f"{PHOTOS}/{PHOTOS}" in ended.stdout
        assert "search by uploaded picture" in ended.stdout
        assert "deleted, it was found no longer" in ended.stdout
    if "/v1/search" in script:
        assert '"results":[{"image_id"' in ended.stdout


def test_its_python_publishes_a_photo(node: NodeProcess, tmp_path: Path) -> None:
    """The block runs as it stands in a checkout, leaks nothing, and the photo is searchable."""
    photo = Path("docs") / "images" / "ball-green.jpg"
    (tmp_path / photo).parent.mkdir(parents=True)
    shutil.copy(ROOT / photo, tmp_path / photo)
    environment = os.environ | {"SIGHTLINE_DATA_DIRECTORY": str(node.data_directory)}
    (code,) = blocks("python")
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", code]
    ended = _run(command, environment, tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "ResourceWarning" not in ended.stderr
    with Asking(node.url) as api:
        eventually(lambda: api.found((ROOT / photo).read_bytes())[:1] == ["photo-1"])


def _few(photos: Path, folder: Path) -> Path:
    folder.mkdir()
    for file in sorted((photos / "images").iterdir())[:PHOTOS]:
        shutil.copy(file, folder / file.name)
    return folder


def _run(
    command: list[str], environment: dict[str, str], directory: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=patient(TIMEOUT_S),
        check=False,
    )
