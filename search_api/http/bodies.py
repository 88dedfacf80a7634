"""A request's body in, its typed fields and picture out: bounded, and wrong input is named."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from sightline.search_api.http.problems import Problem, invalid, of_validation
from sightline.search_api.http.request_fields import Asked
from sightline.search_api.http.validation_words import WORDS

M = TypeVar("M", bound=Asked)

MAX_JSON_BYTES = 65_536
"""Of a JSON body: several times what all fields at their bounds come to."""
MAX_PARTS = 400
"""Of a multipart body: three lists of 64 tags and then some."""
MAX_PART_BYTES = 8_192
"""Of one field that is no file."""
MAX_TYPE_CHARS = 128
MAX_DIGITS = 20
MULTIPART = "multipart/form-data"
JSON = "application/json"
TEXT = "text/plain"

_LISTS = frozenset({"tags", "tags_any", "tags_all", "tags_none"})
_INTEGERS = frozenset({"limit", "version"})
_DOCUMENTS = frozenset({"attributes", "location"})
_BOX_SIDES = ("x", "y", "w", "h")


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The part `image` of a multipart body; on disk when it is large, until it is read."""

    file: UploadFile

    async def read(self) -> bytes:
        """All its bytes."""
        return await self.file.read()

    @property
    def content_type(self) -> str:
        """As the caller states it, for the record; nothing is decided by it."""
        stated = self.file.content_type or "application/octet-stream"
        return (
            stated
            if len(stated) <= MAX_TYPE_CHARS and stated.isascii() and stated.isprintable()
            else "application/octet-stream"
        )


def content_type(request: Request) -> str:
    """The media type, lower case, without parameters; `""` when none is stated."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def json_body(request: Request, model: type[M]) -> M:
    """A JSON body.

    Raises:
        Problem: 400 no JSON, 413 over `MAX_JSON_BYTES`, 415 another type, 422 naming the field.
    """
    if content_type(request) not in (JSON, "application/merge-patch+json"):
        raise Problem("unsupported-media", f"send {JSON}")
    return _validated(model, await _bounded(request))


async def beacon_body(request: Request, model: type[M]) -> M:
    """A JSON body that may call itself text: `sendBeacon` then asks no leave of the other origin.

    Raises:
        Problem: as `json_body`.
    """
    if content_type(request) not in (JSON, TEXT):
        raise Problem("unsupported-media", f"send {JSON}, or the same as {TEXT}")
    return _validated(model, await _bounded(request))


async def _bounded(request: Request) -> bytes:
    """The body; of one that is too large not more than the bound is kept."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_JSON_BYTES:
            detail = f"a JSON body has at most {MAX_JSON_BYTES} bytes"
            raise Problem("too-large", detail, {"field": "body"}, {"Connection": "close"})
    return bytes(raw)


@asynccontextmanager
async def multipart_body(request: Request, model: type[M]) -> AsyncIterator[tuple[M, Uploaded]]:
    """A multipart body with the picture in the part `image`; temporary files go at the end.

    Raises:
        Problem: 400 not readable as multipart, 415 another type, 422 naming the field.
    """
    if content_type(request) != MULTIPART:
        raise Problem("unsupported-media", f"send {MULTIPART} with a part `image`")
    form = await _form(request)
    try:
        yield _fields(form, model), _picture(form)
    finally:
        await form.close()


class _WholeForm(MultiPartParser):
    """Starlette's parser takes a body that stops short for a whole one; this one knows."""

    whole = False

    def on_end(self) -> None:
        """The closing boundary has come."""
        self.whole = True

    async def parsed(self) -> FormData:
        """The form. Raises `MultiPartException`, also where it stops short."""
        form = await self.parse()
        if not self.whole:
            raise MultiPartException("it ends before its closing boundary")
        return form

    def discard(self) -> None:
        """Close the temporary files, also of a part that has not ended."""
        for file in self._files_to_close_on_error:
            file.close()


async def _form(request: Request) -> FormData:
    parser = _WholeForm(
        request.headers,
        request.stream(),
        max_files=1,
        max_fields=MAX_PARTS,
        max_part_size=MAX_PART_BYTES,
    )
    try:
        return await parser.parsed()
    except MultiPartException as error:
        parser.discard()
        raise Problem("malformed", f"the form cannot be read: {error.message}") from None
    except ValueError:  # what codecs make of names; some are none for text (`charset=undefined`)
        parser.discard()
        raise Problem("malformed", "the form cannot be read in the charset it states") from None
    except BaseException:  # the client went away, or sent too much
        parser.discard()
        raise


def _picture(form: FormData) -> Uploaded:
    given = form.get("image")
    if not isinstance(given, UploadFile):
        raise invalid("image", "the part `image` must be a file")
    if not given.size:
        raise Problem("bad-image", "the picture is empty", {"field": "image", "reason": "empty"})
    return Uploaded(given)


def _fields(form: FormData, model: type[M]) -> M:
    given: dict[str, Any] = {}
    for name in form:
        if name == "image":
            continue
        parts = form.getlist(name)
        if name not in model.model_fields:
            raise _unknown(name, model, is_file=isinstance(parts[0], UploadFile))
        given[name] = _value(name, parts)
    return _validated(model, json.dumps(given).encode())


def _unknown(name: str, model: type[Asked], *, is_file: bool) -> Problem:
    hint = "the picture goes in `image`" if is_file else model.HINTS.get(name)
    detail = "unknown part" if is_file else WORDS["extra_forbidden"]
    return invalid(name, f"{name}: {detail}" + (f"; {hint}" if hint else ""))


def _value(name: str, parts: list[UploadFile | str]) -> Any:
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) < len(parts):
        raise invalid(name, f"{name} must be text, not a file")
    if name in _LISTS:
        return texts
    if len(texts) > 1:
        raise invalid(name, f"{name} is given more than once")
    if name == "crop":
        return _box(texts[0])
    if name in _INTEGERS:
        return _integer(name, texts[0])
    return _document(name, texts[0]) if name in _DOCUMENTS else texts[0]


def _integer(name: str, text: str) -> int:
    if not (text.isascii() and text.lstrip("-").isdigit() and len(text) <= MAX_DIGITS):
        raise invalid(name, f"{name} must be a whole number")
    return int(text)


def _box(text: str) -> dict[str, float]:
    sides = text.split(",")
    try:
        numbers = [float(side) for side in sides]
    except ValueError:
        numbers = []
    if len(numbers) != len(_BOX_SIDES) or not all(abs(number) <= 1 for number in numbers):
        raise invalid("crop", "crop is `x,y,w,h`, four fractions of the picture from 0 to 1")
    return dict(zip(_BOX_SIDES, numbers, strict=True))


def _document(name: str, text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise invalid(name, f"{name} must be JSON") from None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _validated(model: type[M], raw: bytes) -> M:
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise of_validation(error, model.HINTS) from None
