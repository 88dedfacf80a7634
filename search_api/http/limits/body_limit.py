"""Counts a request's bytes as they come in, and stops the reading at the limit."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.search_api.http.problems import Problem

MAX_DIGITS = 20


class BodyLimit:
    """ASGI middleware: 413 from the stated length where there is one, else from what arrives.

    Nothing over `max_bytes` is ever buffered, whatever a chunked request turns out to be.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if _stated_length(scope) > self._max_bytes:
            return await self._problem().answer()(scope, receive, send)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self._max_bytes:
                    raise self._problem()
            return message

        return await self._app(scope, counted, send)

    def _problem(self) -> Problem:
        return Problem(
            "too-large",
            f"a request has at most {self._max_bytes} bytes",
            {"field": "body"},
            {"Connection": "close"},
        )


def _stated_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < MAX_DIGITS else 0
    return 0
