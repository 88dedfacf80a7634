"""Where tests write: into memory where there is plenty, since a disk makes servers wait.

`TMPDIR` or `--basetemp` say another place. What a failed run wrote is named at its end, and kept
until the next run begins.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from multiprocessing.util import get_temp_dir
from pathlib import Path

import pytest

VARIABLE = "TMPDIR"
_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder that we make in it is ours alone
_MEMORY_INFO = Path("/proc/meminfo")
_PREFIX = "sightline-tests-"
_FREE_BYTES = 12 * 2**30
"""A whole run writes some 4 GiB; its processes need as much again."""
_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder and say it to all; the workers of a run are told by their environment."""
    chosen = VARIABLE in os.environ or config.getoption("basetemp")
    if chosen or hasattr(config, "workerinput") or not _is_roomy(_MEMORY):
        return
    _remove_left(_MEMORY)
    get_temp_dir()  # of `multiprocessing`, which removes it itself after all else
    compiled = Path(tempfile.gettempdir(), f"torchinductor_{getpass.getuser()}")
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY))
    keep_headers(compiled, folder)
    config.stash[_FOLDER] = folder
    os.environ[VARIABLE] = str(folder)
    tempfile.tempdir = None  # it is looked up again


def keep_headers(compiled: Path, folder: Path) -> None:
    """Let torch find the C++ headers again that it compiled in earlier runs: 6 CPU-seconds.

    It keeps them in the folder for temporary files, wherever compiled networks are kept.
    """
    compiled.mkdir(mode=0o700, exist_ok=True)
    (folder / compiled.name).symlink_to(compiled)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Remove what a good run wrote; of another, say where it lies."""
    folder = config.stash.get(_FOLDER, None)
    if folder is not None and exitstatus:
        terminalreporter.line(f"what the tests wrote is in memory until removed: {folder}")
    elif folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left(memory: Path) -> None:
    """Remove the folders of runs that have ended; each is named after its process."""
    for folder in memory.glob(f"{_PREFIX}*-*"):
        if not Path("/proc", folder.name.removeprefix(_PREFIX).partition("-")[0]).exists():
            shutil.rmtree(folder, ignore_errors=True)


def _is_roomy(folder: Path) -> bool:
    """Whether programs may be run from it, and it and the memory have room for a whole run."""
    try:
        found = os.statvfs(folder)
        told = re.search(r"^MemAvailable: +(\d+) kB$", _MEMORY_INFO.read_text(), re.MULTILINE)
    except OSError:
        return False
    available_bytes = int(told[1]) * 1024 if told else 0
    free_bytes = min(found.f_bavail * found.f_frsize, available_bytes)
    return not found.f_flag & os.ST_NOEXEC and free_bytes >= _FREE_BYTES
