"""How much longer than on a quiet machine the tests wait before they call something broken.

`SIGHTLINE_TEST_PATIENCE=5` says it; without it, the machine is timed once a run: the process that
starts the tests leaves its answer in the environment, for its workers and the processes they start.
Patience costs nothing where all is well, since what waits goes on as soon as it may.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

VARIABLE = "SIGHTLINE_TEST_PATIENCE"
_QUIET_S = 0.15
"""What `_timed_s` takes on two quiet cores of 2023."""
_SPARE = 2.0
"""The tests themselves keep every core busy, and what is quiet now may not be in ten minutes."""
_MOST = 30.0


def patient(seconds: float) -> float:
    """A bound for a wait that takes at most `seconds` on a quiet machine."""
    return seconds * float(os.environ[VARIABLE])


def _timed_s() -> float:
    """The time that it takes to start an interpreter and to count."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-I", "-c", "import json"], check=True)
    sum(number * number for number in range(1_500_000))
    return time.perf_counter() - started


def _measured() -> float:
    slower = max(_timed_s() / _QUIET_S, os.getloadavg()[0] / (os.cpu_count() or 1))
    return round(min(_MOST, _SPARE * max(1.0, slower)), 1)


if VARIABLE not in os.environ:
    os.environ[VARIABLE] = str(_measured())
