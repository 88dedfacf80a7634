"""A body that trickles in is cut off: 408, however little of it is still to come."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.search_api.http.problems import Problem


class BodyDeadline:
    """ASGI middleware: 408 when a request's body keeps its reader waiting for too long.

    Args:
        app: reads the body.
        timeout_s: spent waiting for the body, in all; what the app does in between costs no client
            anything.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `receive` that does not wait for ever."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        loop, left_s, whole = asyncio.get_running_loop(), self._timeout_s, False

        async def timed() -> Message:
            nonlocal left_s, whole
            if whole:  # what is awaited now is the end of the connection
                return await receive()
            began = loop.time()
            try:
                async with asyncio.timeout(left_s):
                    message = await receive()
            except TimeoutError:
                raise self._problem() from None
            left_s -= loop.time() - began
            whole = not message.get("more_body", False)
            return message

        return await self._app(scope, timed, send)

    def _problem(self) -> Problem:
        return Problem(
            "too-slow",
            f"a request's body must arrive within {self._timeout_s:g} s",
            {"field": "body"},
            {"Connection": "close"},
        )
