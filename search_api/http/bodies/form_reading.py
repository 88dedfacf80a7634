"""A form's request in, its texts and its picture out: bounded in number and in bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile

from fastapi import Request

from sightline.search_api.http.bodies.form_parts import FormParts, FormUnreadable, PartHead, Piece
from sightline.search_api.http.problems import Problem, invalid

MAX_PARTS = 400
"""Most parts of a form: three lists of 64 tags and then some."""
MAX_FIELD_BYTES = 8_192
"""Bytes of one field that is no file."""
MAX_OTHER_BYTES = 131_072
"""Bytes of all that is no picture in a form, the parts' headers included: more than twice what all
fields at their bounds come to."""
MAX_BYTES_IN_MEMORY = 1_048_576
"""Bytes of an arriving picture that are held in memory; a larger one waits on disk."""
MAX_TOLD_CHARS = 128
"""Characters of a stranger's name for a field that a problem repeats."""
MAX_TYPE_CHARS = 128
PICTURE = "image"


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The part `image` of a form; on disk when it is large, until it is read."""

    file: SpooledTemporaryFile[bytes]
    size_bytes: int
    stated_type: bytes

    async def read(self) -> bytes:
        """All its bytes; a thread reads what lies on disk."""
        if self.size_bytes <= MAX_BYTES_IN_MEMORY:
            return self._read()
        return await asyncio.to_thread(self._read)

    @property
    def content_type(self) -> str:
        """The type that the caller states, for the record; nothing is decided by it."""
        stated = self.stated_type.decode("latin-1")
        usable = stated.isascii() and stated.isprintable() and 0 < len(stated) <= MAX_TYPE_CHARS
        return stated if usable else "application/octet-stream"

    def _read(self) -> bytes:
        self.file.seek(0)
        return self.file.read()


@dataclass(slots=True)
class Form:
    """What has been read of a form so far: its texts and its picture."""

    file: SpooledTemporaryFile[bytes]
    """Takes the bytes of the part `image`."""
    texts: dict[str, list[str]] = field(default_factory=dict)
    """Values of the parts that are no files, by name, in their order."""
    files: list[PartHead] = field(default_factory=list)
    """Heads of the parts that are files."""
    picture_bytes: int = 0
    parts: int = 0
    other_bytes: int = 0

    def begin(self, head: PartHead) -> None:
        """Note that a part has begun. Raises `Problem`: 413, too many of them."""
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise _too_large(f"a form has at most {MAX_PARTS} parts", "body")
        self.count(head.size_bytes)
        if head.is_file:
            self.files.append(head)

    def count(self, size_bytes: int) -> None:
        """Count what is no picture. Raises `Problem`: 413, it is too much in all."""
        self.other_bytes += size_bytes
        if self.other_bytes > MAX_OTHER_BYTES:
            detail = f"a form has at most {MAX_OTHER_BYTES} bytes beside the picture"
            raise _too_large(detail, "body")

    async def write(self, data: bytes) -> None:
        """Keep more of the picture: in memory at once, on disk by a thread."""
        self.picture_bytes += len(data)
        if self.picture_bytes <= MAX_BYTES_IN_MEMORY:
            self.file.write(data)
        else:
            await asyncio.to_thread(self.file.write, data)


async def read_form(request: Request, file: SpooledTemporaryFile[bytes]) -> Form:
    """Read the whole form; the picture's bytes go to `file`.

    Raises:
        Problem: 400 it cannot be read, or stops short; 413 it is too much.
    """
    form = Form(file)
    try:
        parts = FormParts(request.headers["content-type"].encode("latin-1"))
        reading = _Reading(form)
        async for chunk in request.stream():
            for piece in parts.feed(chunk):
                await reading.take(piece)
        parts.close()
    except FormUnreadable as error:
        raise Problem("malformed", f"the form cannot be read: {error}") from None
    return form


def picture_part(form: Form) -> Uploaded:
    """The part `image`.

    Raises:
        Problem: 422, it is missing, no file, doubled or empty.
    """
    heads = [head for head in form.files if head.name == PICTURE]
    if not heads or PICTURE in form.texts:
        raise invalid(PICTURE, "the part `image` must be a file")
    if len(heads) > 1:
        raise invalid(PICTURE, "image is given more than once")
    if not form.picture_bytes:
        raise Problem("bad-image", "the picture is empty", {"field": PICTURE, "reason": "empty"})
    return Uploaded(form.file, form.picture_bytes, heads[0].content_type)


class _Reading:
    """Takes a form's pieces, one part after the other."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._head = PartHead("", is_file=False, content_type=b"", size_bytes=0)
        self._value = bytearray()

    async def take(self, piece: Piece) -> None:
        """Raises `Problem` 413 for what is too much, `FormUnreadable` for what is no UTF-8."""
        if isinstance(piece, PartHead):
            self._form.begin(piece)
            self._head, self._value = piece, bytearray()
        elif not isinstance(piece, bytes):
            self._end()
        elif self._head.is_file and self._head.name == PICTURE:
            await self._form.write(piece)
        else:
            self._add(piece)

    def _add(self, data: bytes) -> None:
        self._form.count(len(data))
        self._value += data
        if len(self._value) > MAX_FIELD_BYTES:
            name = self._head.name[:MAX_TOLD_CHARS]
            raise _too_large(f"{name} has at most {MAX_FIELD_BYTES} bytes", name)

    def _end(self) -> None:
        if self._head.is_file:
            return
        try:
            text = self._value.decode()
        except UnicodeDecodeError:
            name = self._head.name[:MAX_TOLD_CHARS]
            raise FormUnreadable(f"{name} is not UTF-8") from None
        self._form.texts.setdefault(self._head.name, []).append(text)


def _too_large(detail: str, name: str) -> Problem:
    return Problem("too-large", detail, {"field": name}, {"Connection": "close"})
