"""A form is split alike however it arrives, by RFC 2046 and 7578, and in bounded work."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.search_api.http.bodies.form_parts import (
    MAX_HEAD_BYTES,
    FormParts,
    FormUnreadable,
    PartEnd,
    PartHead,
)

pytestmark = pytest.mark.unit

TYPE = b"multipart/form-data; boundary=b"
FIELD = b'Content-Disposition: form-data; name="%s"\r\n\r\n%s'
FILE = b'Content-Disposition: form-data; name="%s"; filename="f"\r\n\r\n%s'
SHORT = b"--b\r\n" + FIELD % (b"a", b"1") + b"\r\n--b--"


def split(body: bytes, *, by: int = 0, kind: bytes = TYPE) -> list[tuple[str, bool, bytes]]:
    """Name, whether it is a file, and the data of each part, fed `by` bytes at a time."""
    parts, found = FormParts(kind), list[tuple[str, bool, bytes]]()
    ended = 0
    for start in range(0, len(body), by or len(body) or 1):
        for piece in parts.feed(body[start : start + (by or len(body))]):
            if isinstance(piece, PartHead):
                found.append((piece.name, piece.is_file, b""))
            elif isinstance(piece, PartEnd):
                ended += 1
            else:
                name, is_file, data = found.pop()
                found.append((name, is_file, data + piece))
    parts.close()
    assert ended == len(found)
    return found


ONE_PART = st.tuples(
    st.sampled_from(["a", "image", "é", ""]),
    st.booleans(),
    st.binary(max_size=40) | st.sampled_from([b"\r\n", b"\r\n--", b"--", b"\r\n--a", b"\r", b""]),
)


@given(parts=st.lists(ONE_PART, max_size=4), by=st.integers(1, 60), around=st.binary(max_size=9))
def test_the_size_of_the_pieces_changes_nothing(
    parts: list[tuple[str, bool, bytes]], by: int, around: bytes
) -> None:
    """What stands before the first delimiter and behind the last one is passed over."""
    body = around.replace(b"--b", b"") + b"\r\n"
    for name, is_file, data in parts:
        if b"\r\n--b" in b"\r\n" + data:
            return
        body += b"--b\r\n" + (FILE if is_file else FIELD) % (name.encode(), data) + b"\r\n"
    assert split(body + b"--b--" + around, by=by) == parts


@pytest.mark.parametrize("by", [0, 1])
@pytest.mark.parametrize(
    "body",
    [
        SHORT,
        b"\r\n" + SHORT,
        b"This is a multi-part message.\r\n" + SHORT,
        b"--a\r\n-b\r\n" + SHORT,
        SHORT + b"\r\n",
        SHORT + b"\r\nThe end.\r\n--b\r\nno part",
        SHORT.replace(b"--b\r\n", b"--b \t\r\n"),
        SHORT.replace(b"form-data; name", b"FORM-DATA ;NAME").replace(b"Content-D", b"content-d"),
        SHORT.replace(b'; name="a"', b';\r\n\tname="a"'),
        SHORT.replace(b'"a"', b"a"),
        SHORT.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=UTF-8\r\n\r\n"),
    ],
)
def test_the_same_form_is_written_in_many_ways(body: bytes, by: int) -> None:
    """Preamble, epilogue, padding, folded headers, case, quotes."""
    assert split(body, by=by) == [("a", False, b"1")]


def test_a_part_without_data_needs_no_empty_line_of_its_own() -> None:
    """RFC 2046: the line end before a delimiter belongs to the delimiter."""
    head = b'--b\r\nContent-Disposition: form-data; name="a"\r\n'
    assert split(head + b"\r\n--b--") == split(head + b"\r\n\r\n--b--") == [("a", False, b"")]


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=" + b"b" * 71,
        b'multipart/form-data; boundary="b "',
        b"multipart/form-data; boundary=b; boundary=c",
        b"multipart/form-data; boundary=b; charset=punycode",
        b"multipart/form-data; boundary=b; charset=idna",
        b"multipart/form-data; boundary=b; charset=utf-16",
        b"multipart/form-data; boundary=b; charset=latin-1",
        b'multipart/form-data; boundary=b; charset="',
        b"multipart/form-data; boundary=\xff",
    ],
)
def test_a_type_without_one_boundary_or_of_another_charset_is_refused(kind: bytes) -> None:
    """Before a byte of the body is read."""
    with pytest.raises(FormUnreadable):
        FormParts(kind)


@pytest.mark.parametrize("charset", [b"", b"; charset=utf-8", b'; charset="US-ASCII"', b";"])
def test_utf_8_may_be_said(charset: bytes) -> None:
    """ASCII is a part of it."""
    assert split(SHORT, kind=TYPE + charset)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        SHORT[:-2],
        b"--b--"[:4],
        SHORT.replace(b"name=", b"nome="),
        SHORT.replace(b"form-data", b"attachment"),
        SHORT.replace(b'"a"', b'"\xff"'),
        SHORT.replace(b"--b\r\n", b"--bb\r\n"),
        SHORT.replace(b"\r\n\r\n", b"\r\nContent-Type: text/plain; charset=punycode\r\n\r\n"),
        SHORT.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
        SHORT.replace(b"\r\n\r\n", b"\r\nnonsense\r\n\r\n"),
        SHORT.replace(b"\r\n\r\n", b"x" * MAX_HEAD_BYTES + b"\r\n\r\n"),
        SHORT.replace(b"--b\r\n", b"--b" + b" " * 999 + b"\r\n"),
    ],
)
@pytest.mark.parametrize("by", [0, 1, 7])
def test_what_is_no_whole_form_is_refused(body: bytes, by: int) -> None:
    """With a reason, never another exception."""
    with pytest.raises(FormUnreadable):
        split(body, by=by)


def test_near_delimiters_are_not_looked_at_again_and_again() -> None:
    """The buffer never keeps more than a delimiter of what was looked through."""
    parts = FormParts(TYPE)
    list(parts.feed(b"--b\r\n" + FILE % (b"image", b"")))
    for _ in range(100):
        list(parts.feed(b"\r\n--" * 5_000))
        assert len(parts._buffer) <= len(b"\r\n--b")
