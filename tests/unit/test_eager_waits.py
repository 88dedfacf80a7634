"""What a label stage's consumer waits for begins at once and is not begun twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mode import Service
from mode.services import WaitResults

from sightline.stream_workers.labels.stage.eager_waits import EagerWaits


class _Waiting(EagerWaits, Service):
    """Nothing but the waiting."""


Wait = Callable[..., Awaitable[WaitResults]]


def _waiting(use: Callable[[Wait], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        return await use(_Waiting().wait_first)

    return asyncio.run(run())


def test_what_needs_no_pause_makes_no_task() -> None:
    """It runs in the task of whoever waits, and what it raced with is never begun."""

    async def named() -> str:
        return str(asyncio.current_task())

    async def use(wait: Wait) -> bool:
        first = named()
        answer = await wait(first, asyncio.Event().wait())
        return (answer.done, answer.results, answer.stopped) == (
            [first],
            [str(asyncio.current_task())],
            False,
        )

    assert _waiting(use)


def test_what_pauses_goes_on_where_it_was() -> None:
    """Each step is made once, whatever it pauses for, and its answer is what is waited for."""
    steps: list[int] = []

    async def slow(opened: asyncio.Event) -> int:
        steps.append(1)
        await asyncio.sleep(0)
        steps.append(2)
        await opened.wait()
        steps.append(3)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.001)
        return sum(steps)

    async def use(wait: Wait) -> WaitResults:
        opened = asyncio.Event()
        asyncio.get_running_loop().call_soon(opened.set)
        return await wait(slow(opened), asyncio.Event().wait())

    assert _waiting(use).results == [6]
    assert steps == [1, 2, 3]


@pytest.mark.parametrize("pauses", [0, 1])
def test_what_fails_fails_the_wait(pauses: int) -> None:
    """At once or later, as Faust has it."""

    async def failing() -> None:
        for _ in range(pauses):
            await asyncio.sleep(0)
        raise ValueError("broken")

    async def use(wait: Wait) -> None:
        with pytest.raises(ValueError, match="broken"):
            await wait(failing(), asyncio.Event().wait())

    _waiting(use)


def test_who_comes_second_ends_the_wait() -> None:
    """Records that find no room are let go as soon as the flow of records is to stop."""

    async def use(wait: Wait) -> list[Any]:
        ended: list[str] = []

        async def full() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("let go")

        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.01, stop.set)
        answer = await wait(full(), stop.wait())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return [*answer.results, *ended]

    assert _waiting(use) == [True, "let go"]


def test_an_event_is_waited_for_as_ever() -> None:
    """What is no coroutine is Faust's alone."""

    async def use(wait: Wait) -> list[Any]:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_soon(stop.set)
        return list((await wait(stop)).results)

    assert _waiting(use) == [True]
