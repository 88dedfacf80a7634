"""How many arenas the C library's malloc keeps for the threads of a long-lived process."""

from __future__ import annotations

import ctypes
import os

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h
_VARIABLES = ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


def keep_arenas_few() -> None:
    """Let malloc keep one arena a core, at least two, not eight; call before threads begin.

    Each arena keeps what its threads once needed. A node of 80 threads on two cores had 311 MB
    after 2,000 pictures, not 321, for the same CPU time (measured). Who set one of glibc's
    variables has their way; other C libraries are left alone.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version") and not any(name in os.environ for name in _VARIABLES):
        libc.mallopt(_ARENA_MAX, max(2, len(os.sched_getaffinity(0))))
