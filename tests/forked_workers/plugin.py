"""Lets pytest-xdist start its workers by asking the server, which ends with the run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

ASKING = Path(__file__).with_name("asking.py")
_AHEAD = pytest.StashKey[subprocess.Popen[bytes]]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the server, and name as each worker's interpreter who asks it."""
    workers = getattr(config.option, "tx", None)
    if not workers or "PYTEST_XDIST_WORKER" in os.environ:
        return
    with ExitStack() as opened:
        address = Path(opened.enter_context(TemporaryDirectory()), "server")
        opened.enter_context(_server(address, config.rootpath))
        if not config.getoption("--servers-last"):
            config.stash[_AHEAD] = opened.enter_context(_ahead(config))
        config.add_cleanup(opened.pop_all().close)
    config.option.tx = [f"popen//python={sys.executable} -S {ASKING} {address}"] * len(workers)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """End what was made ahead before its folder is removed."""
    ahead = session.config.stash.get(_AHEAD, None)
    if ahead is not None and ahead.stdin is not None:
        ahead.stdin.close()
        ahead.wait()


def _server(address: Path, root: Path) -> subprocess.Popen[bytes]:
    """Listens before it has imported anything; ends when its standard input is closed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        command = [sys.executable, "-m", "tests.forked_workers.server", str(listener.fileno())]
        return subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]
        )


def _ahead(config: pytest.Config) -> subprocess.Popen[bytes]:
    """Makes ahead what the workers share; they look for it where `conftest.run_folder` says."""
    factory: pytest.TempPathFactory = config._tmp_path_factory  # type: ignore[attr-defined]
    folder = factory.getbasetemp() / "run"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.forked_workers.ahead", str(folder)]
    return subprocess.Popen(command, cwd=config.rootpath, stdin=subprocess.PIPE)
