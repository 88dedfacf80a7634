"""How many threads a long-lived process gives to numpy's products."""

from __future__ import annotations

import importlib
import os
import sys

_THREADS = "OPENBLAS_NUM_THREADS"


def keep_products_to_one_thread() -> None:
    """Load numpy so that no product of matrices wakes threads; call before anything loads it.

    OpenBLAS shares even 64 rows among threads of its own, which then spin for the next product on
    cores that searches want: a new projection of an image took 170-310 µs of CPU, and 17 in one
    thread (measured). Who set the variable has their way, and child processes do not inherit it.
    """
    if _THREADS in os.environ or "numpy" in sys.modules:
        return
    os.environ[_THREADS] = "1"
    try:
        importlib.import_module("numpy")
    finally:
        del os.environ[_THREADS]
