"""Admission: so many requests are answered at once, as many again wait, the rest is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Gauge

from sightline.engine.errors import Overloaded, Part


class Gate:
    """Bounds what is under way to `limit`, and what waits to `limit` again (docs/api.md).

    Used on one event loop only.

    Args:
        limit: requests answered at once.
        in_flight: shows how many, by `state`.
    """

    def __init__(self, limit: int, in_flight: Gauge) -> None:
        self._limit = limit
        self._free = asyncio.Semaphore(limit)
        self._inside = 0
        self._answered = in_flight.labels("answered")
        self._waiting = in_flight.labels("waiting")

    @property
    def inside(self) -> int:
        """Counts the requests that are being answered, or wait to be."""
        return self._inside

    @asynccontextmanager
    async def enter(self, part: Part) -> AsyncIterator[None]:
        """Hold a place while the body runs.

        Raises:
            Overloaded: twice the limit are inside already; names `part`, which they wait for.
        """
        if self._inside >= 2 * self._limit:
            raise Overloaded(part, f"{self._inside} requests are under way or waiting")
        self._inside += 1
        self._report()
        try:
            async with self._free:
                yield
        finally:
            self._inside -= 1
            self._report()

    def _report(self) -> None:
        self._answered.set(min(self._inside, self._limit))
        self._waiting.set(max(0, self._inside - self._limit))
