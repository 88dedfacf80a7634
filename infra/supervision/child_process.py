"""A child process and its parent: what it is told, that it ends with it, and how it leaves.

Standard streams are read and written here by their descriptors. Python's own stream objects hold a
lock while a thread waits in them, and an interpreter that finds such a lock taken while it ends
dies of it: `Fatal Python error: _enter_buffered_busy`.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable

MAX_LINE_BYTES = 1_048_576
_STDERR = 2
_FAILED = 1


def read_line(descriptor: int) -> bytes:
    """One line, and nothing of what follows it; less where the stream ends before."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
        read = os.read(descriptor, 1)
        if not read:
            break
        line += read
    return bytes(line)


def end_with_parent(descriptor: int) -> None:
    """End this process, wherever it is, when the stream ends: its parent holds the other side."""

    def watch() -> None:
        while os.read(descriptor, 4096):
            pass
        os._exit(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def leave(work: Callable[[], object]) -> None:
    """Do the work, then end at once with its exit code: no thread is waited for or cut off.

    An interpreter that ends in the usual way stops its daemon threads wherever they are, also
    within a lock that it then needs itself.
    """
    code = _FAILED
    try:
        work()
        code = 0
    except SystemExit as ended:
        code = _code(ended)
    except BaseException:  # noqa: BLE001 - told, as the interpreter would, and the process ends
        os.write(_STDERR, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(code)


def _code(ended: SystemExit) -> int:
    if ended.code is None:
        return 0
    return ended.code if isinstance(ended.code, int) else _FAILED
