"""Around every answer: counted and timed by route, with headers that keep browsers careful."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.engine.metrics import Metrics

_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_CAREFUL = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox")


class ObservedRequests:
    """ASGI middleware; metrics carry the route's template, never an image's id."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a `send` that watches."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, status = time.perf_counter(), 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _with_care(list(message["headers"]))
                self._count(scope, status, time.perf_counter() - started)
            await send(message)

        return await self._app(scope, receive, watched)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"]
        if route == "unmatched" or method not in _METHODS:
            method = "any"  # else a stranger's inventions would each be a series for ever
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.request_seconds.labels(method, route).observe(seconds)


def _with_care(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    stated = {name.lower() for name, _ in headers}
    return [*headers, *(one for one in (*_CAREFUL, _POLICY) if one[0] not in stated)]
