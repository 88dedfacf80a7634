from __future__ import annotations

import subprocess
import sys

import numpy as np

from sightline.engine.embedding.projections import Projection

_OTHER_THREADS_CPU = """
import time
import numpy as np
from sightline.engine.embedding.projections import Projection
drawn = np.random.default_rng(1)
projection = Projection(
    drawn.normal(size=1280).astype(np.float32), drawn.normal(size=(1280, 512)).astype(np.float32)
)
features = drawn.normal(size=(100, 1280)).astype(np.float32)
process, thread = time.process_time(), time.thread_time()
projection(features)
own = time.thread_time() - thread
print(time.process_time() - process - own < own / 2)
"""


def test_a_projection_keeps_to_the_thread_that_asks() -> None:
    """A linear-algebra library's own threads would spin beside those that decode and search."""
    told = subprocess.run(
        [sys.executable, "-c", _OTHER_THREADS_CPU], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "True"


def test_a_projection_is_the_product_to_single_precision() -> None:
    """Against the same sum in double precision."""
    drawn = np.random.default_rng(2)
    mean, matrix = drawn.normal(size=1280), drawn.normal(size=(1280, 64))
    features = drawn.normal(size=(3, 1280)).astype(np.float32)
    found = Projection(mean.astype(np.float32), matrix.astype(np.float32))(features)
    assert np.allclose(found, (features - mean) @ matrix, rtol=1e-4, atol=1e-3)
