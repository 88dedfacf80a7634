"""How long each stage of an answer took: for `Server-Timing` and the metrics."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sightline.engine.metrics import Metrics


class Stopwatch:
    """Adds up seconds by stage, in order of first use; one per request."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}
        self._inner = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body as a stage, without the stages inside it, also when it raises."""
        outer, self._inner = self._inner, 0.0
        started = time.perf_counter()
        try:
            yield
        finally:
            whole = time.perf_counter() - started
            self._stages[name] = self._stages.get(name, 0.0) + whole - self._inner
            self._inner = outer + whole

    def header(self) -> str:
        """The value of `Server-Timing`, milliseconds, ending with the total."""
        total = time.perf_counter() - self._started
        stages = {**self._stages, "total": total}
        return ", ".join(f"{name};dur={seconds * 1000:.2f}" for name, seconds in stages.items())

    def report(self, metrics: Metrics) -> None:
        """Adds the seconds of each stage to the metrics."""
        for name, seconds in self._stages.items():
            metrics.search_stage_seconds.labels(name).observe(seconds)
