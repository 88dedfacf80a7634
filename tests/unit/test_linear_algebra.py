"""Long-lived processes wake no threads for a product of matrices."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PRODUCT = """
import os
from sightline.engine.linear_algebra import keep_products_to_one_thread
keep_products_to_one_thread()
import numpy as np
np.ones((64, 1280), np.float32) @ np.ones((1280, 512), np.float32)
print(len(os.listdir("/proc/self/task")), os.environ.get("OPENBLAS_NUM_THREADS"))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads as Linux tells them")
def test_products_take_one_thread_and_children_inherit_nothing() -> None:
    """In a process of its own: here numpy is loaded already."""
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", _PRODUCT],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == ["1", "None"]
