"""Imports everything once, and forks into a worker for each that asks (see `asking`)."""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType

from hypothesis.configuration import notice_initialization_restarted
from hypothesis.internal.charmap import intervals_from_codec
from hypothesis.internal.conjecture.providers import _get_local_constants

from tests.forking import start_for_all
from tests.probes import ROOMS, put_probes

THIRD_PARTIES = (
    "faust",
    "openvino",
    "playwright.sync_api",
    "pyarrow.compute",
    "qdrant_client",
    "torchvision",
)
"""What tests' files import, too: each worker would, to collect them."""


def main() -> None:
    """Serve until standard input is closed; in a worker, be it to its end."""
    start_for_all()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started the run
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        listener.set_inheritable(False)
        _import_everything()
        for asked in _asked(listener):
            if os.fork():
                asked.close()
                continue
            listener.close()
            _be_a_worker(asked)
            break
    os._exit(0)  # else bindings tell at length of what nobody takes down


def _import_everything() -> None:
    gc.disable()  # nearly all that is made now stays
    put_probes()
    with warnings.catch_warnings(action="ignore"):
        for room in ROOMS:  # first: what others import of the vendors is then as ours want it
            package = import_module(f"sightline.{room}")
            for module in walk_packages(package.__path__, f"{package.__name__}."):
                if not module.name.endswith("__main__"):
                    import_module(module.name)
        for name in THIRD_PARTIES:
            import_module(name)
        _prepare_hypothesis()
    gc.freeze()  # a collection in a worker would copy the pages that all share
    gc.enable()


def _prepare_hypothesis() -> None:
    """Find which characters and constants it draws: 4 CPU-seconds in a fresh clone."""
    intervals_from_codec("utf-8")
    _get_local_constants()
    notice_initialization_restarted(warn=False)  # to a worker it has yet to begin


def _asked(listener: socket.socket) -> Iterator[socket.socket]:
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        yield listener.accept()[0]


def _be_a_worker(asked: socket.socket) -> None:
    """Do what `python -c` of execnet's popen gateway does, on the streams of whoever asked."""
    _, streams, _, _ = socket.recv_fds(asked, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["-c"]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    program = sys.modules["__main__"] = ModuleType("__main__")
    exec(eval(sys.stdin.readline()), program.__dict__)  # noqa: S102, S307 - as execnet says


if __name__ == "__main__":
    main()
