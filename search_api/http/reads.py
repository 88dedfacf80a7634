"""GET and HEAD as RFC 9110 says, for every route: HEAD is GET without its body, and 304.

A route's ETag is compared here once its answer has begun, weakly with `If-None-Match`, strongly
with `If-Match`; a route whose answer is costly may look at `unchanged` before.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.search_api.http.entity_tags import ANY, Anything, EntityTags, entity_tags
from sightline.search_api.http.problems import Problem

_OK, _NOT_MODIFIED, _REFUSED = 200, 304, 400
_OF_CONTENT = ("content-length", "content-type", "content-language", "content-encoding")
_TOLD_OUTSIDE = ("route", "endpoint", "path_params")
"""What the router finds out, and what is around us counts by."""


class Reads:
    """ASGI middleware that answers GET and HEAD of every route by RFC 9110."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass GET and HEAD on as GET, and shorten the answer."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return await self._app(scope, receive, send)
        inner = {**scope, "method": "GET"}
        bodiless = refused = False

        async def shortened(message: Message) -> None:
            nonlocal bodiless, refused
            if refused:
                return
            if message["type"] == "http.response.start":
                scope.update({name: inner[name] for name in _TOLD_OUTSIDE if name in inner})
                if refused := _is_another(scope, message):
                    await _stale(message)(scope, receive, send)
                    return
                # A refusal goes on whole: a server sends no body to HEAD, whatever it is handed.
                bodiless = scope["method"] == "HEAD" and message["status"] < _REFUSED
                if _is_unchanged(scope, message):
                    bodiless = True
                    message = _not_modified(message)
            elif bodiless and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        return await self._app(inner, receive, shortened)


def unchanged(if_none_match: Iterable[str], tag: str) -> bool:
    """Whether the caller has what the ETag `tag` names already.

    Args:
        if_none_match: every line of the header. One that cannot be read names nothing.
        tag: as in the answer's `ETag`.
    """
    return _names(entity_tags(if_none_match), tag)


def _names(wanted: EntityTags | Anything | None, tag: str) -> bool:
    return wanted is not None and (wanted is ANY or tag.removeprefix("W/") in wanted.weak)


def _is_another(scope: Scope, message: Message) -> bool:
    """Whether the answer has none of the ETags of `If-Match`, by which a part is asked again."""
    given = Headers(raw=scope["headers"]).getlist("if-match")
    if not given or message["status"] != _OK:
        return False
    wanted = entity_tags(given)
    if wanted is ANY:
        return False
    return wanted is None or Headers(raw=message["headers"]).get("etag") not in wanted.strong


def _stale(message: Message) -> Response:
    tag = Headers(raw=message["headers"]).get("etag")
    detail = "it is another one than If-Match names; read it without"
    headers = {} if tag is None else {"ETag": tag}
    return Problem("stale", detail, {"field": "If-Match"}, headers).answer()


def _is_unchanged(scope: Scope, message: Message) -> bool:
    given = Headers(raw=scope["headers"]).getlist("if-none-match")
    if not given or message["status"] != _OK:
        return False
    answer, wanted = Headers(raw=message["headers"]), entity_tags(given)
    if wanted is ANY:
        return True
    # What may not be stored is never the same: a status changes within a version, its ETag.
    stored = "no-store" not in answer.get("cache-control", "")
    return stored and "etag" in answer and _names(wanted, answer["etag"])


def _not_modified(message: Message) -> Message:
    headers = MutableHeaders(raw=list(message["headers"]))
    for name in _OF_CONTENT:
        del headers[name]
    return {**message, "status": _NOT_MODIFIED, "headers": headers.raw}
