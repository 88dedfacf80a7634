"""Arenas of malloc: few with us, as many as were asked for where somebody asks."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from tests.patience import patient

FEW = max(2, len(os.sched_getaffinity(0)))
THREADS = FEW + 3
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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this is no glibc")
@pytest.mark.parametrize(
    ("told", "variables", "least", "most"),
    [
        (["few"], {}, FEW, FEW),
        ([], {}, FEW + 1, THREADS + 1),
        (["few"], {"MALLOC_ARENA_MAX": "1"}, 1, 1),
        (["few"], {"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, 1, 1),
    ],
    ids=["ours", "the library's", "as the variable says", "as the tunable says"],
)
def test_threads_share_arenas(
    told: list[str], variables: dict[str, str], least: int, most: int
) -> None:
    """The threads each allocate while all of them live; the library tells its arenas as XML."""
    asked = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")
    environment = {name: value for name, value in os.environ.items() if name not in asked}
    said = subprocess.run(
        [sys.executable, "-c", ARENAS, str(THREADS), *told],
        env=environment | variables,
        capture_output=True,
        check=True,
        text=True,
        timeout=patient(60),
    ).stdout
    assert least <= said.count("<heap nr=") <= most
