"""Failures in, RFC 9457 problem documents out: the one place that knows HTTP status codes."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from sightline.engine.errors import (
    BadImage,
    Conflict,
    IdReserved,
    NotFound,
    ObjectDenied,
    ObjectMissing,
    ObjectRefused,
    Overloaded,
    PartUnavailable,
    RejectReason,
    SightlineError,
    TooLarge,
    Unreadable,
)
from sightline.search_api.http.allowed_methods import allowed_methods
from sightline.search_api.http.validation_words import NONE, words_for

MEDIA_TYPE = "application/problem+json"
URN = "urn:sightline:problem:"
_LOG = logging.getLogger(__name__)

PROBLEM_TYPES: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "unauthorized": (401, "A valid API key is needed"),
    "forbidden": (403, "The API key may not do this"),
    "bad-search-id": (403, "The search id does not authorise this"),
    "not-found": (404, "There is nothing here that you may see"),
    "method-not-allowed": (405, "This address does not take that method"),
    "too-slow": (408, "The request took too long to arrive"),
    "version-conflict": (409, "The image's version stands against this"),
    "stale": (412, "The image has changed since you read it"),
    "too-large": (413, "The request is too large"),
    "unsupported-media": (415, "Not a kind of content that is taken here"),
    "invalid": (422, "A field of the request is wrong"),
    "bad-image": (422, "The image cannot be used"),
    "precondition-required": (428, "If-Match is needed"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "Something went wrong here"),
    "unavailable": (503, "A part of the system is not available"),
    "overloaded": (503, "Too many requests wait already"),
}
"""Every problem type: its name after the URN, status and title; `docs/api.md` lists them."""

UNFORESEEN = "this was not foreseen; the log says more"

_OF_KIND: dict[type[SightlineError], tuple[str, str | None]] = {
    NotFound: ("not-found", None),
    ObjectMissing: ("not-found", "its bytes are gone"),
    ObjectRefused: ("not-found", "its bytes cannot be read"),
    ObjectDenied: ("not-found", "its bytes cannot be read"),
    Conflict: ("version-conflict", None),
    IdReserved: ("forbidden", None),
    Unreadable: ("version-conflict", "what is kept of it cannot be read; an admin may delete it"),
    TooLarge: ("too-large", "its bytes are over a bound"),
}
"""Its problem, and what is said of it where its own words name buckets, keys or topics."""
_BY_STATUS = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    413: "too-large",
    415: "unsupported-media",
}


class Problem(Exception):
    """One problem, raised anywhere below a route and answered as a document.

    Args:
        kind: a key of `PROBLEM_TYPES`.
        detail: a sentence that the caller can act on.
        facts: further members of the document: `field`, `part`, `reason`, `image_id`.
        headers: of the answer.
    """

    def __init__(
        self,
        kind: str,
        detail: str,
        facts: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.facts = dict(facts or {})
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """Lists the members of the problem document, the status among them."""
        status, title = PROBLEM_TYPES[self.kind]
        core = {"type": URN + self.kind, "title": title, "status": status, "detail": self.detail}
        return core | self.facts

    def answer(self) -> Response:
        """Builds the HTTP response that carries the problem document."""
        status, _ = PROBLEM_TYPES[self.kind]
        body = json.dumps(self.document(), ensure_ascii=False).encode("utf-8", "replace")
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(body, status, headers, MEDIA_TYPE)


def invalid(field_name: str, detail: str) -> Problem:
    """Builds the problem of an invalid field (status 422), and names the field."""
    return Problem("invalid", detail, {"field": field_name})


def retry_after(seconds: float) -> dict[str, str]:
    """The header, in whole seconds, at least one."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def of_validation(
    error: ValidationError | RequestValidationError, hints: Mapping[str, str] = NONE
) -> Problem:
    """The first complaint of pydantic: 400 where the body is no JSON, else 422 and the field.

    Args:
        error: what pydantic says.
        hints: as `words_for`.
    """
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Problem(
            "malformed", f"the body is not JSON: {first.get('ctx', {}).get('error', '')}"
        )
    location = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    name = ".".join(location) or "body"
    return invalid(name, f"{name}: {words_for(first, hints)}")


def of_error(error: SightlineError) -> Problem:
    """One of our own errors as a problem; what is not foreseen here is 500."""
    if isinstance(error, BadImage):
        return _of_bad_image(error)
    if isinstance(error, PartUnavailable):
        return _of_part(error)
    for kind, (problem, detail) in _OF_KIND.items():
        if isinstance(error, kind):
            return Problem(problem, detail or str(error))
    _LOG.error("unforeseen error", exc_info=error)
    return Problem("internal", UNFORESEEN)


def install_problems(app: FastAPI) -> None:
    """Answer every failure of the app as a problem document."""

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)  # noqa: S101 (registered for this class alone)
        return error.answer()

    async def ours(_: Request, error: Exception) -> Response:
        assert isinstance(error, SightlineError)  # noqa: S101
        return of_error(error).answer()

    async def validation(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError | ValidationError)  # noqa: S101
        return of_validation(error).answer()

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        of_all = (request.method, request.scope["path"]) == ("OPTIONS", "*")
        if of_all or error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            return _other_method(request)
        return _of_http(request, error).answer()

    async def gone(_: Request, error: Exception) -> Response:
        del error  # nobody reads this; without it a client could fill the log with our faults
        return Problem("malformed", "the body stops short").answer()

    async def unforeseen(_: Request, error: Exception) -> Response:
        _LOG.error("unforeseen error", exc_info=error)
        return Problem("internal", UNFORESEEN).answer()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(SightlineError, ours)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, gone)
    app.add_exception_handler(Exception, unforeseen)


def _of_bad_image(error: BadImage) -> Problem:
    facts = {"field": "image", "reason": str(error.reason)}
    if error.reason is RejectReason.UNSUPPORTED_MEDIA:
        return Problem("unsupported-media", str(error), facts)
    if error.reason is RejectReason.TOO_MANY_BYTES:
        return Problem("too-large", str(error), facts)
    return Problem("bad-image", str(error), facts)


def _of_part(error: PartUnavailable) -> Problem:
    """The part and when to come back, not what the vendor said: that may name hosts."""
    kind = "overloaded" if isinstance(error, Overloaded) else "unavailable"
    what = "has too much to do" if kind == "overloaded" else "is not available"
    detail = f"the {error.part} {what}; try again later"
    return Problem(kind, detail, {"part": str(error.part)}, retry_after(error.retry_after_s))


def _other_method(request: Request) -> Response:
    """To `OPTIONS` the methods that the address takes; to any other the same as a problem."""
    allow = {"Allow": ", ".join(allowed_methods(request))}
    if request.method == "OPTIONS":
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=allow)
    detail = f"{request.url.path} does not take {request.method}"
    return Problem("method-not-allowed", detail, headers=allow).answer()


def _of_http(request: Request, error: HTTPException) -> Problem:
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        kind = "internal" if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else "malformed"
    missing = kind == "not-found"
    detail = f"no such address: {request.url.path}" if missing else str(error.detail)
    return Problem(kind, detail, headers=dict(error.headers or {}))
