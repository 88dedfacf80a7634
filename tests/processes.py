"""`sightline` commands for the end-to-end tests: to their end, or until they are told to stop.

They are forked; those that the README and the demo's tests run are started as anybody would.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from sightline.engine.settings import Settings
from sightline.infra.cli.quick_start import main
from sightline.infra.local.node_process import NodeProcess, environment_of
from tests.forking import Forked
from tests.patience import patient

_SHOWN = 4_000
"""Characters of a log, from its end."""


def sightline(
    *arguments: str,
    settings: Settings,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, its output captured."""
    variables = {**os.environ, **environment_of(settings), **(environment or {})}
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        given = json.dumps(arguments)
        process = Forked(command, given, out, errors=err, environment=variables)
        try:
            code = process.wait(patient(timeout_s))
        finally:
            process.kill()
        return subprocess.CompletedProcess(arguments, code, out.read_text(), err.read_text())


def started(*arguments: str, settings: Settings, log: Path) -> Forked:
    """Start a command that runs until it is stopped; what it says is appended to `log`."""
    variables = {**os.environ, **environment_of(settings)}
    return Forked(command, json.dumps(arguments), log, environment=variables)


def stopped(process: Forked, *, timeout_s: float = 30.0) -> int:
    """Ask it to end (SIGTERM) and wait: the exit code; killed, if it does not listen.

    What it said last is told if it ends badly.
    """
    process.terminate()
    ended: int | None = None
    try:
        ended = process.wait(patient(timeout_s))
    finally:
        process.kill()
        process.wait()
        if ended != 0:
            _show(process.log)
    return ended


def command(arguments: str) -> None:
    """Run a command line, given as JSON, as the `sightline` command does."""
    sys.argv = ["sightline", *json.loads(arguments)]
    main()


def _show(log: Path) -> None:
    """Write the end of a log out: pytest tells it with a test that fails."""
    sys.stdout.write(log.read_text(errors="replace")[-_SHOWN:])


class ForkedNode(NodeProcess):
    """A node whose process is forked; what it said last is told where its test fails."""

    def __exit__(self, *failure: object) -> None:
        super().__exit__(*failure)
        _show(self.log)

    def launch(self, command_name: str, environment: Mapping[str, str]) -> Forked:
        """See `NodeProcess.launch`."""
        variables = {**os.environ, **environment}
        return Forked(command, json.dumps([command_name]), self.log, environment=variables)
