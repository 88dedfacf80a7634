"""Makes what the workers of a run share, on the core that is idle while the server imports.

Started with the run's folder; ends when its standard input is closed, or after a while.
"""

from __future__ import annotations

import select
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from sightline.engine.errors import RefusedToStart
from tests.run_parts import kafka_of, minio_of, nasty_of, networks_of
from tests.shared_servers import SharedServer

LONGEST_S = 300.0
"""By then a whole run on a slow machine has tests that use the servers, too: the first come at a
fifth of it. Where none does, they need not run."""


def main() -> None:
    """Start the servers and make the files; a tool that is missing is told by who needs it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started the run
    run = Path(sys.argv[1])
    with suppress(RefusedToStart):
        make_ahead(
            [kafka_of(run), minio_of(run)],
            [lambda: networks_of(run), lambda: nasty_of(run)],
            sys.stdin,
            LONGEST_S,
        )


def make_ahead(
    servers: Sequence[SharedServer[Any]],
    files: Sequence[Callable[[], object]],
    run: TextIO,
    longest_s: float,
) -> None:
    """Use servers and make files, each unless the run has ended, and leave the servers then.

    Args:
        servers: are stopped unless somebody else uses them by then.
        files: make what is kept.
        run: can be read once the run has ended.
        longest_s: how long the servers are waited with.
    """
    try:
        for step in (*(server.use for server in servers), *files):
            if _ended(run, 0):
                return
            step()
        _ended(run, longest_s)
    finally:
        for server in servers:
            server.leave()


def _ended(run: TextIO, within_s: float) -> bool:
    return bool(select.select([run], [], [], within_s)[0])


if __name__ == "__main__":
    main()
