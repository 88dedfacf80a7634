"""The task runner: every target is listed and described, and the demo asks for Python alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone's worth of what make looks at, with nothing beside it."""
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
    shutil.copytree(ROOT / "infra/requirements", clone / "infra/requirements")
    return clone


def make(checkout: Path, *arguments: str, **variables: str) -> str:
    """What make prints; the environment is bare but for `variables`."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **variables}
    command = ["make", *arguments]
    done = subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def targets() -> set[str]:
    """Every target meant for people."""
    return set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_help_is_the_default_and_lists_every_target(checkout: Path) -> None:
    """Plain `make` explains itself."""
    assert set(re.findall(r"make ([a-z-]+)", make(checkout))) == targets()
    assert {"help", "demo", "test", "check", "up", "down", "bench", "golden"} <= targets()


def test_every_target_is_documented() -> None:
    """docs/development.md names each target."""
    page = (ROOT / "docs" / "development.md").read_text()
    assert {
        name for name in targets() - {"help", "format"} if f"`make {name}`" not in page
    } == set()


def test_compiled_modules_are_kept(checkout: Path) -> None:
    """Also where the machine says not to: a start of the node would take three times as long."""
    show = 'show: ; @echo "kept: $${PYTHONDONTWRITEBYTECODE:-yes}"'
    (checkout / "show.mk").write_text(show)
    files = ("-f", "Makefile", "-f", "show.mk")
    told = make(checkout, *files, "show", PYTHONDONTWRITEBYTECODE="1")
    assert told == "kept: yes\n"


MYPY = """#!/bin/sh
ls .mypy_cache >> told 2> /dev/null
mkdir -p .mypy_cache
touch .mypy_cache/torch
"""
"""Tells what it finds in its cache, and knows torch afterwards."""


def test_a_first_check_begins_with_what_an_earlier_checkout_learned(
    checkout: Path, tmp_path: Path
) -> None:
    """Its types of the libraries; an archive that is broken is as good as none, and made anew."""
    _make_programs(checkout)
    cache = tmp_path / "cache"
    for told in ("", "torch\n"):
        assert _told_by_a_check(checkout, cache) == told
    (cache / "types.tar").write_bytes(b"no archive")
    os.utime(cache / "types.tar", (0, 0))
    for told in ("", "torch\n"):
        assert _told_by_a_check(checkout, cache) == told


def test_a_check_goes_on_where_nothing_can_be_kept(checkout: Path, tmp_path: Path) -> None:
    """What is kept saves time and nothing else."""
    _make_programs(checkout)
    (tmp_path / "file").touch()
    for _ in range(2):
        assert _told_by_a_check(checkout, tmp_path / "file" / "cache") == ""


def _make_programs(checkout: Path) -> None:
    """What a check runs, in a virtual environment that is up to date."""
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, script in (("python", "#!/bin/sh\n"), ("ruff", "#!/bin/sh\n"), ("mypy", MYPY)):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    (checkout / ".venv" / ".dev").touch()


def _told_by_a_check(checkout: Path, cache: Path) -> str:
    """What mypy tells when nothing is checked yet."""
    shutil.rmtree(checkout / ".mypy_cache", ignore_errors=True)
    (checkout / "told").write_text("")
    make(checkout, "check", SIGHTLINE_CACHE=str(cache))
    return (checkout / "told").read_text()


def test_the_demo_needs_python_alone(checkout: Path) -> None:
    """A fresh clone's demo installs the runtime's pins, not development's, and no tools."""
    planned = make(checkout, "-n", "demo", "PHOTOS=my photos", "DEMO_EXIT=1")
    assert "infra/requirements/embedded.txt" in planned
    assert "infra/requirements/dev.txt" not in planned
    assert "prepare_tools" not in planned
    assert planned.rstrip().endswith('.venv/bin/sightline demo --photos "$PHOTOS" --exit')


def test_the_demo_shows_real_photos_where_there_are_some(checkout: Path) -> None:
    """The large collection beside the checkout, else that of the tests, else it draws its own."""
    assert "--photos" not in make(checkout, "-n", "demo")
    (checkout / "tests/data/photos").mkdir(parents=True)
    assert _shown(checkout) == "tests/data/photos"
    (checkout.parent / "shared/photos").mkdir(parents=True)
    assert _shown(checkout) == "../shared/photos"


def _shown(checkout: Path) -> str:
    return make(checkout, "-n", "demo", "--eval=shown: ; @echo $(PHOTOS)", "shown").split()[-1]


def test_without_uv_a_pinned_one_is_installed_first(checkout: Path) -> None:
    """Plain Python is enough: uv comes hashed, into the virtual environment."""
    planned = make(checkout, "-n", "demo", "HAVE_UV=")
    assert "--require-hashes -r infra/requirements/uv.txt" in planned
    assert ".venv/bin/uv pip install" in planned


def test_the_tests_get_everything_first(checkout: Path) -> None:
    """`make test`: environment, then tools, then pytest with coverage, which has the last word."""
    planned = make(checkout, "-n", "test")
    steps = ["infra/requirements/dev.txt", "infra.local.prepare_tools", "-m pytest"]
    assert [planned.index(step) for step in steps] == sorted(planned.index(s) for s in steps)
    assert "-m pytest" in planned.rstrip().splitlines()[-1]


def test_ci_calls_make_test() -> None:
    """CI runs what people run."""
    script = ROOT / ".ci" / "run"
    assert script.read_text().rstrip().endswith("exec make test")
    assert os.access(script, os.X_OK)
