"""How often a request that waits for the index looks again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sightline.engine.ports import Clock

FIRST_LOOK_S = 0.002
LAST_LOOK_S = 0.05
"""A waiting request looks again after 2 ms, then ever more seldom, at last every 50 ms."""


async def holds_within(
    holds: Callable[[], Awaitable[bool]], timeout_s: float, clock: Clock
) -> bool:
    """Whether it holds at once or before the time is over; it is looked at once in any case."""
    deadline = clock.monotonic() + timeout_s
    pause_s = FIRST_LOOK_S
    while not await holds():
        if clock.monotonic() >= deadline:
            return False
        await asyncio.sleep(pause_s)
        pause_s = min(LAST_LOOK_S, pause_s * 1.5)
    return True
