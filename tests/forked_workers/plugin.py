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


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Start the server, and name as each worker's interpreter who asks it."""
    workers = getattr(config.option, "tx", None)
    if not workers or "PYTEST_XDIST_WORKER" in os.environ:
        return
    with ExitStack() as opened:
        address = Path(opened.enter_context(TemporaryDirectory()), "server")
        opened.enter_context(_server(address, config.rootpath))
        config.add_cleanup(opened.pop_all().close)
    config.option.tx = [f"popen//python={sys.executable} -S {ASKING} {address}"] * len(workers)


def _server(address: Path, root: Path) -> subprocess.Popen[bytes]:
    """Listens before it has imported anything; ends when its standard input is closed."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen()
        command = [sys.executable, "-m", "tests.forked_workers.server", str(listener.fileno())]
        return subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, pass_fds=[listener.fileno()]
        )
