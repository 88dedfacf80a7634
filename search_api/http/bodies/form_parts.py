"""A multipart form's bytes in, its parts out, piece by piece: work only in proportion to the bytes.

As RFC 2046 and 7578 say: what stands before the first delimiter or behind the last one is passed
over, and so are blanks behind a delimiter. Nothing is decoded here but names, which are UTF-8:
Python's other codecs take minutes over a few megabytes of the wrong text.
Why no library does this: docs/adr/0015.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from sightline.search_api.http.header_values import HeaderValue, header_value

MAX_HEAD_BYTES = 4_096
"""Bytes of one part's headers: a field's name and a long file name."""
MAX_PADDING = 256
"""Blanks between a delimiter and the end of its line."""
_LINE_END = b"\r\n"
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_READ_AS_UTF8 = frozenset({b"utf-8", b"utf8", b"us-ascii", b"ascii"})
_AS_THEY_ARE = frozenset({b"7bit", b"8bit", b"binary"})


class FormUnreadable(ValueError):
    """The bytes are no multipart form that is read here; the message says why."""


class PartEnd(Enum):
    """The part whose head came last is complete."""

    PART_END = auto()


@dataclass(frozen=True, slots=True)
class PartHead:
    """Says that a part of the form begins, and what its headers tell."""

    name: str
    is_file: bool
    content_type: bytes
    """The type that the part's headers state; `b""`: they state none."""
    size_bytes: int
    """The size of the part's headers, not of its content."""


Piece = PartHead | bytes | PartEnd


class _Expected(Enum):
    FIRST_DELIMITER = auto()
    LINE_END = auto()
    HEAD = auto()
    DATA = auto()
    NOTHING = auto()


class FormParts:
    """Splits one form; `feed` it what arrives, then ask whether it is `complete`.

    Args:
        content_type: the request's header: it names the boundary, and no charset but UTF-8.

    Raises:
        FormUnreadable: no usable boundary, or another charset.
    """

    def __init__(self, content_type: bytes) -> None:
        self._delimiter = _LINE_END + b"--" + _boundary(content_type)
        self._buffer = bytearray(_LINE_END)  # so that the first delimiter begins like the others
        self._expected = _Expected.FIRST_DELIMITER
        self._inside = False
        self._to_skip = 0

    @property
    def complete(self) -> bool:
        """Whether the delimiter that closes the form has been read."""
        return self._expected is _Expected.NOTHING

    def close(self) -> None:
        """Nothing follows. Raises `FormUnreadable`: the closing delimiter has not come."""
        if not self.complete:
            raise FormUnreadable("it ends before its closing boundary")

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """What became complete with these bytes; a part's data comes in pieces of any size.

        Raises:
            FormUnreadable: it breaks the format.
        """
        if self.complete:
            return  # RFC 2046: what follows is to be ignored
        self._buffer += chunk
        step = {
            _Expected.FIRST_DELIMITER: self._preamble,
            _Expected.LINE_END: self._line_end,
            _Expected.HEAD: self._head,
            _Expected.DATA: self._data,
        }
        while not self.complete:
            before = self._expected, len(self._buffer)
            yield from step[self._expected]()
            if before == (self._expected, len(self._buffer)):
                return

    def _preamble(self) -> Iterator[Piece]:
        self._until_delimiter()
        yield from ()

    def _data(self) -> Iterator[Piece]:
        data = self._until_delimiter()
        said = data[self._to_skip :]
        self._to_skip -= len(data) - len(said)
        if said:
            yield said

    def _until_delimiter(self) -> bytes:
        """What surely stands before the next delimiter; both are taken from the buffer."""
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            self._expected, end = _Expected.LINE_END, at + len(self._delimiter)
        else:
            at = end = max(0, len(self._buffer) - len(self._delimiter) + 1)
        data = bytes(self._buffer[:at])
        del self._buffer[:end]
        return data

    def _line_end(self) -> Iterator[Piece]:
        if len(self._buffer) < len(_LINE_END):
            return
        if self._buffer.startswith(b"--"):
            self._expected = _Expected.NOTHING
            if self._inside:
                yield PartEnd.PART_END
            return
        at = self._buffer.find(_LINE_END, 0, MAX_PADDING)
        if self._buffer[: max(0, at)].strip(b" \t") or (at < 0 and len(self._buffer) > MAX_PADDING):
            raise FormUnreadable("a line begins with the boundary and goes on")
        if at < 0:
            return
        # The line's end stays: a part without any headers begins with an empty line.
        del self._buffer[:at]
        self._expected = _Expected.HEAD
        if self._inside:
            yield PartEnd.PART_END
        self._inside = True

    def _head(self) -> Iterator[Piece]:
        at = self._buffer.find(_LINE_END * 2, 0, MAX_HEAD_BYTES)
        if at >= 0:
            head = bytes(self._buffer[len(_LINE_END) : at])
            # The empty line's end stays: of a part without data it begins the next delimiter.
            del self._buffer[: at + len(_LINE_END)]
            self._to_skip = len(_LINE_END)
            self._expected = _Expected.DATA
            yield _part_head(head)
        elif len(self._buffer) > MAX_HEAD_BYTES:
            raise FormUnreadable(f"a part's headers are over {MAX_HEAD_BYTES} bytes")


def _boundary(content_type: bytes) -> bytes:
    try:
        stated = header_value(content_type).parameters
    except ValueError as error:
        raise FormUnreadable(f"Content-Type: {error}") from None
    _refuse_other_charset(stated.get(b"charset", b"utf-8"))
    boundary = stated.get(b"boundary", b"")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise FormUnreadable("Content-Type names no boundary of 1 to 70 characters")
    return boundary


def _refuse_other_charset(charset: bytes) -> None:
    if charset.lower() not in _READ_AS_UTF8:
        raise FormUnreadable("only UTF-8 is read: leave the charset out")


def _part_head(raw: bytes) -> PartHead:
    headers = _headers(raw)
    disposition = _value(headers.get(b"content-disposition", b""))
    if disposition.main != b"form-data" or b"name" not in disposition.parameters:
        raise FormUnreadable("a part names no field in its Content-Disposition")
    stated = headers.get(b"content-type", b"")
    is_file = bool({b"filename", b"filename*"} & disposition.parameters.keys())
    if not is_file:
        _refuse_other_charset(_value(stated).parameters.get(b"charset", b"utf-8"))
    if headers.get(b"content-transfer-encoding", b"binary").lower() not in _AS_THEY_ARE:
        raise FormUnreadable("a part has a Content-Transfer-Encoding: send the bytes as they are")
    try:
        name = disposition.parameters[b"name"].decode()
    except UnicodeDecodeError:
        raise FormUnreadable("a field's name is not UTF-8") from None
    return PartHead(name, is_file, stated, len(raw))


def _headers(raw: bytes) -> dict[bytes, bytes]:
    """By name in lower case; a line that begins with a blank goes on with the one before."""
    headers: dict[bytes, bytes] = {}
    for line in re.sub(rb"\r\n[ \t]+", b" ", raw).split(_LINE_END):
        name, colon, value = line.partition(b":")
        if line and not (colon and name.strip()):
            raise FormUnreadable("a part's header cannot be read")
        headers.setdefault(name.strip().lower(), value.strip())
    return headers


def _value(raw: bytes) -> HeaderValue:
    try:
        return header_value(raw)
    except ValueError as error:
        raise FormUnreadable(f"a part's header: {error}") from None
