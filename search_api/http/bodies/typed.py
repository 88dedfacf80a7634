"""A request's body in, its typed fields and picture out: bounded, and wrong input is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import SpooledTemporaryFile
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError

from sightline.schemas import strict_json
from sightline.search_api.http.bodies.form_fields import json_of_form
from sightline.search_api.http.bodies.form_reading import (
    MAX_BYTES_IN_MEMORY,
    MAX_TOLD_CHARS,
    Uploaded,
    picture_part,
    read_form,
)
from sightline.search_api.http.if_match import refuse_condition
from sightline.search_api.http.problems import Problem, of_validation
from sightline.search_api.http.request_fields import RequestModel

M = TypeVar("M", bound=RequestModel)

MAX_JSON_BYTES = 65_536
"""Most bytes of a JSON body: several times what all fields at their bounds come to."""
MULTIPART = "multipart/form-data"
JSON = "application/json"
TEXT = "text/plain"


def content_type(request: Request) -> str:
    """The media type, lower case, without parameters; `""` when none is stated."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_body(request: Request, model: type[M]) -> M:
    """Read a JSON body.

    Raises:
        Problem: 400 no JSON, 412 posted with `If-Match`, 413 over `MAX_JSON_BYTES`, 415 another
            type, 422 naming the field.
    """
    if content_type(request) not in (JSON, "application/merge-patch+json"):
        raise Problem("unsupported-media", f"send {JSON}")
    return _validated(model, await _bounded(request))


async def beacon_body(request: Request, model: type[M]) -> M:
    """Read JSON that may call itself text: `sendBeacon` then asks no leave of the other origin.

    Raises:
        Problem: as `json_body`.
    """
    if content_type(request) not in (JSON, TEXT):
        raise Problem("unsupported-media", f"send {JSON}, or the same as {TEXT}")
    return _validated(model, await _bounded(request))


@asynccontextmanager
async def multipart_body(request: Request, model: type[M]) -> AsyncIterator[tuple[M, Uploaded]]:
    """Read a form with the picture in the part `image`; its temporary file goes at the end.

    Raises:
        Problem: 400 not readable as a form, 412 posted with `If-Match`, 413 too much beside the
            picture, 415 another type, 422 naming the field.
    """
    if content_type(request) != MULTIPART:
        raise Problem("unsupported-media", f"send {MULTIPART} with a part `image`")
    _refuse_unheeded(request)
    with SpooledTemporaryFile[bytes](MAX_BYTES_IN_MEMORY) as file:
        form = await read_form(request, file)
        yield _validated(model, json_of_form(form, model)), picture_part(form)


async def _bounded(request: Request) -> bytes:
    """The body; of one that is too large not more than the bound is kept."""
    _refuse_unheeded(request)
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_JSON_BYTES:
            detail = f"a JSON body has at most {MAX_JSON_BYTES} bytes"
            raise Problem("too-large", detail, {"field": "body"}, {"Connection": "close"})
    return bytes(raw)


def _refuse_unheeded(request: Request) -> None:
    """What a header says and nobody would heed: 415 for a compressed body, 412 for a condition.

    A body's bytes are read as they are; and what is posted to has no version of its own. Nor is a
    part of a picture put in the place of the whole (RFC 9110, 14.5: 400), or a body read as the
    first of two types.
    """
    if request.method == "POST":
        refuse_condition(request)
    if "content-range" in request.headers or len(request.headers.getlist("content-type")) > 1:
        raise Problem("malformed", "send the whole content, of one type")
    encodings = ",".join(request.headers.getlist("content-encoding")).lower().split(",")
    if not {each.strip() for each in encodings} <= {"", "identity"}:
        detail = "send the body as it is, without Content-Encoding"
        raise Problem("unsupported-media", detail, headers={"Accept-Encoding": "identity"})


def _validated(model: type[M], raw: bytes) -> M:
    """Strictly: neither `true` nor `"1"` is a number here, and no field stands there twice."""
    try:
        asked = model.model_validate_json(raw, strict=True)
        strict_json.loads(raw.decode())
    except ValidationError as error:
        raise of_validation(error, model.HINTS) from None
    except strict_json.DoubledKey as error:
        told = f"{error.key[:MAX_TOLD_CHARS]} is given twice"
        raise Problem("malformed", f"the body names a field twice: {told}") from None
    except ValueError as error:
        raise Problem("malformed", str(error)) from None
    return asked
