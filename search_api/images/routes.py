"""`/v1/images`: upload, change, delete; status, content and thumbnail."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from sightline.producers.images.ids import new_id
from sightline.schemas.fields import MAX_VERSION, AddressableId
from sightline.search_api.http.bodies.typed import json_body, multipart_body
from sightline.search_api.http.documents.images import ImageDocument
from sightline.search_api.http.if_match import IfMatch
from sightline.search_api.http.limits.admission import CallerOf, WriterOf
from sightline.search_api.http.openapi import answers, body, form_of, json_of
from sightline.search_api.http.query_parameters import InDecimals, InDigits
from sightline.search_api.http.request_fields import ImageFields, ImagePatch, WaitQuery
from sightline.search_api.images.answers import AnswerWait, ImageAnswers
from sightline.search_api.images.writes import ImageWrites

ImageIdPath = Annotated[AddressableId, Path(description="The image.", examples=["summer-dress-17"])]


async def _wait(
    wait: Annotated[
        WaitQuery | None, Query(description="Answer only when the index has the write.")
    ] = None,
    timeout_s: Annotated[
        float,
        InDecimals,
        Query(ge=0, le=60, allow_inf_nan=False, description="How many seconds `wait` waits."),
    ] = 10.0,
) -> AnswerWait:
    return AnswerWait.of(wait, timeout_s)


async def _if_match(request: Request) -> IfMatch:
    return IfMatch.of(request)


WaitOf = Annotated[AnswerWait, Depends(_wait)]
IfMatchOf = Annotated[IfMatch, Depends(_if_match)]
VersionParameter = Annotated[
    int | None,
    InDigits,
    Query(ge=0, le=MAX_VERSION, description="The delete's version, if you count them."),
]
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The version that you have read, in quotes; another one is 412.",
    "schema": {"type": "string", "pattern": '^(\\*|"[0-9]{1,16}")$'},
    "example": '"3"',
}
_ANYWHERE = ("unauthorized", "forbidden", "unavailable")
_PICTURES = (*_ANYWHERE, "not-found", "overloaded")
_UPLOADS = (*_ANYWHERE, "version-conflict", "stale", "too-large", "unsupported-media", "bad-image")
_CHANGES = (
    *_ANYWHERE,
    "not-found",
    "version-conflict",
    "stale",
    "too-large",
    "unsupported-media",
    "precondition-required",
    "bad-image",
)
_WRITTEN: dict[int, Any] = {200: ImageDocument, 202: ImageDocument}
_FORM = form_of(ImageFields, visibility="public", tags=["dress", "summer"])
_PATCH = json_of(ImagePatch, hide={"visibility": "private"}, retag={"tags": ["dress", "sale"]})


def image_router(writes: ImageWrites, reads: ImageAnswers) -> APIRouter:
    """The routes, bound to what answers them."""
    router = APIRouter(prefix="/v1/images", tags=["images"])

    @router.post(
        "",
        openapi_extra=body(_FORM),
        responses=answers(_WRITTEN, *_UPLOADS),
        response_class=Response,
        status_code=202,
    )
    async def create(request: Request, caller: WriterOf, wait: WaitOf) -> Response:
        """Upload a new image; its id is assigned. Scope `write`."""
        async with multipart_body(request, ImageFields) as (fields, picture):
            written = await writes.uploading.create(new_id(), fields, picture, caller)
        return await reads.written(written, caller, wait)

    @router.put(
        "/{image_id}",
        openapi_extra=body(_FORM) | {"parameters": [IF_MATCH]},
        responses=answers(_WRITTEN, *_UPLOADS, "not-found"),
        response_class=Response,
        status_code=202,
    )
    async def put(
        image_id: ImageIdPath,
        request: Request,
        caller: WriterOf,
        wanted: IfMatchOf,
        wait: WaitOf,
    ) -> Response:
        """Upload an image under your id, new or anew; a repeat changes nothing. Scope `write`."""
        async with multipart_body(request, ImageFields) as (fields, picture):
            written = await writes.uploading.put(image_id, fields, picture, caller, wanted)
        return await reads.written(written, caller, wait)

    @router.patch(
        "/{image_id}",
        openapi_extra=body(_PATCH) | {"parameters": [IF_MATCH]},
        responses=answers(_WRITTEN, *_CHANGES),
        response_class=Response,
        status_code=202,
    )
    async def patch(
        image_id: ImageIdPath,
        request: Request,
        caller: WriterOf,
        wanted: IfMatchOf,
        wait: WaitOf,
    ) -> Response:
        """Change what the body names of an image, and keep the rest. Scope `write`."""
        changes = await json_body(request, ImagePatch)
        written = await writes.changing.change(image_id, changes, caller, wanted)
        return await reads.written(written, caller, wait)

    @router.delete(
        "/{image_id}",
        openapi_extra={"parameters": [IF_MATCH]},
        responses=answers(_WRITTEN, *_CHANGES),
        response_class=Response,
        status_code=202,
    )
    async def delete(
        image_id: ImageIdPath,
        caller: WriterOf,
        wanted: IfMatchOf,
        wait: WaitOf,
        version: VersionParameter = None,
    ) -> Response:
        """Delete an image for good; deleting again changes nothing. Scope `write`."""
        written = await writes.deleting.delete(image_id, version, caller, wanted)
        return await reads.written(written, caller, wait)

    _add_reads(router, reads)
    return router


def _add_reads(router: APIRouter, reads: ImageAnswers) -> None:
    @router.get(
        "/{image_id}",
        responses=answers({200: ImageDocument}, "not-found", *_ANYWHERE),
        response_class=Response,
    )
    async def status(image_id: ImageIdPath, caller: CallerOf) -> Response:
        """What became of an image, with the time of every stage. Any scope."""
        known = await reads.known(image_id, caller)
        return reads.document(known, caller)

    @router.get(
        "/{image_id}/content",
        responses=answers({200: "JPEG, at most 1600 pixels long"}, *_PICTURES),
        response_class=Response,
    )
    async def content(image_id: ImageIdPath, request: Request, caller: CallerOf) -> Response:
        """The image, re-encoded without metadata. Any scope that sees it."""
        return await reads.content(image_id, caller, request.headers.getlist("if-none-match"))

    @router.get(
        "/{image_id}/thumbnail",
        responses=answers({200: "JPEG, at most 320 pixels long"}, *_PICTURES),
        response_class=Response,
    )
    async def thumbnail(image_id: ImageIdPath, request: Request, caller: CallerOf) -> Response:
        """A small rendition of the image. Any scope that sees it."""
        return await reads.thumbnail(image_id, caller, request.headers.getlist("if-none-match"))
