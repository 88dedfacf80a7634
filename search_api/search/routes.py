"""`POST /v1/search`: by upload (multipart) or by an indexed image (JSON)."""

from __future__ import annotations

from contextlib import AsyncExitStack

from fastapi import APIRouter, Request
from starlette.responses import Response

from sightline.engine.settings import Scope
from sightline.search_api.http.bodies.typed import (
    JSON,
    MULTIPART,
    content_type,
    json_body,
    multipart_body,
)
from sightline.search_api.http.documents.searches import SearchAnswer
from sightline.search_api.http.keys import has_scope, require
from sightline.search_api.http.limits.admission import CallerOf
from sightline.search_api.http.openapi import answers, body, form_of, json_of
from sightline.search_api.http.problems import Problem
from sightline.search_api.http.request_fields import ImageSearch, UploadSearch
from sightline.search_api.search.answering import Asking
from sightline.search_api.search.searching import Searching
from sightline.search_api.search.stopwatch import Stopwatch

_BODY = body(
    json_of(
        ImageSearch,
        similar={"image_id": "f-3b2d1c", "limit": 24},
        filtered={"image_id": "f-3b2d1c", "tags_any": ["shoes"], "tags_none": ["sold"]},
    ),
    form_of(UploadSearch, limit=24, tags_any=["shoes"], crop="0.1,0.2,0.5,0.5"),
)
_ANSWERS = answers(
    {200: SearchAnswer},
    "unauthorized",
    "forbidden",
    "not-found",
    "stale",
    "too-large",
    "unsupported-media",
    "bad-image",
    "unavailable",
    "overloaded",
)


def search_router(searching: Searching) -> APIRouter:
    """The route, bound to what answers it."""
    router = APIRouter(tags=["search"])

    @router.post("/v1/search", openapi_extra=_BODY, responses=_ANSWERS, response_class=Response)
    async def search(request: Request, caller: CallerOf) -> Response:
        """Find the images that look most like one. Scope `search`."""
        require(caller, Scope.SEARCH)
        asking = Asking(
            Stopwatch(),
            request.headers.get("traceparent"),
            names_users=has_scope(caller, Scope.USERS),
        )
        kind = content_type(request)
        if kind == MULTIPART:
            async with AsyncExitStack() as form:
                with asking.watch.stage("receive"):
                    reading = multipart_body(request, UploadSearch)
                    fields, picture = await form.enter_async_context(reading)
                return await searching.by_upload(fields, picture, asking)
        if kind == JSON:
            return await searching.by_image(await json_body(request, ImageSearch), asking)
        raise Problem(
            "unsupported-media", f"send {MULTIPART} with an `image`, or {JSON} with an `image_id`"
        )

    return router
