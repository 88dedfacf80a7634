"""Arenas of malloc: few with us, as many as were asked for where somebody asks."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.patience import patient

CORES = len(os.sched_getaffinity(0))
FEW = max(2, CORES)
THREADS = 8 * CORES
ARENAS = """
import ctypes, sys, threading
from sightline.engine.memory_arenas import keep_arenas_few

libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
if "few" in sys.argv:
    keep_arenas_few()
together = threading.Barrier(int(sys.argv[1]) + 1)

def allocate():
    libc.malloc(100_000)
    together.wait()

threads = [threading.Thread(target=allocate, daemon=True) for _ in range(int(sys.argv[1]))]
for thread in threads:
    thread.start()
together.wait()
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


@pytest.mark.parametrize(
    ("told", "variable", "least", "most"),
    [(["few"], None, FEW, FEW), ([], None, FEW + 1, THREADS + 1), (["few"], "5", 5, 5)],
    ids=["ours", "the library's", "as the variable says"],
)
def test_threads_share_arenas(told: list[str], variable: str | None, least: int, most: int) -> None:
    """The threads each allocate while all of them live; the library tells its arenas as XML."""
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    said = subprocess.run(
        [sys.executable, "-c", ARENAS, str(THREADS), *told],
        env=environment if variable is None else environment | {"MALLOC_ARENA_MAX": variable},
        capture_output=True,
        check=True,
        text=True,
        timeout=patient(60),
    ).stdout
    assert least <= said.count("<heap nr=") <= most
