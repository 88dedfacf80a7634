"""Calls that queue an event, as coroutines that end when the event is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import wraps
from typing import Any, ParamSpec, TypeVar

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")


def awaited(
    call: Callable[Asked, Future[Answer]],
) -> Callable[Asked, Coroutine[Any, Any, Answer]]:
    """The same call for asyncio: with the same arguments, it returns what the future ends in."""

    @wraps(call)
    async def acknowledged(*args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        return await asyncio.wrap_future(call(*args, **kwargs))

    return acknowledged
