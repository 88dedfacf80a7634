"""JPEG: markers up to the first scan, in which decoders look for everything but pixels."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.formats.budget import HeaderBudget
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.metadata import EXIF_PREFIX, orientation_of
from sightline.engine.pictures.formats.signature import ImageFormat

_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_STANDALONE = {0x00, 0x01, *range(0xD0, 0xD9)}
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_APP1, _APP2, _APP14, _COMMENT = 0xE1, 0xE2, 0xEE, 0xFE
_METADATA = {*range(0xE1, 0xF0), _COMMENT} - {_APP14}
"""Segments that change no pixel; Adobe's says how colours are stored, JFIF's is kept for order."""
_FILL = re.compile(rb"\xff+")
_NEXT_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""What compressed data never holds: neither a stuffed byte nor a restart, nor a fill byte."""
MAX_SCANS = 200
"""Encoders write about ten."""
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_MOST_PARTS = 255
_ICC = b"ICC_PROFILE\x00"


class _Segment(NamedTuple):
    marker: int
    start: int
    """The offset in bytes at which the marker begins."""
    end: int


def read_jpeg(data: bytes, max_frames: int, budget: HeaderBudget) -> ImageHeader:
    """Size, orientation, profile and scans. Raises `BadImage`, `struct.error`, `IndexError`."""
    del max_frames  # of a multi-picture object only the first is ever decoded
    frame: _Segment | None = None
    exif = xmp = slice(0)
    icc: list[bytes] = []
    spans: list[tuple[int, int]] = [(0, 2)]
    for segment in _segments(data, budget):
        body = segment.start + 4
        if segment.marker in _FRAME_MARKERS:
            frame = frame or segment
        if segment.marker == _APP1 and not exif.stop and data.startswith(EXIF_PREFIX, body):
            exif = slice(body, segment.end)
        if segment.marker == _APP1 and data.startswith(_XMP, body):
            xmp = slice(body, segment.end)  # of several the last, as for Pillow
        if segment.marker == _APP2 and data.startswith(_ICC, body):
            icc.append(data[body + len(_ICC) : segment.end])
        if segment.marker not in _METADATA:
            spans.append((segment.start, segment.end))
    if frame is None:
        raise BadImage(RejectReason.CORRUPT, "the JPEG has no frame header")
    height, width, channels = struct.unpack_from(">HHB", data, frame.start + 5)
    return ImageHeader(
        ImageFormat.JPEG,
        width,
        height,
        orientation=orientation_of(data[exif], data[xmp]),
        channels=channels,
        scans=_scans(data, segment.start, frame.marker, channels, budget),
        icc_profile=_joined(icc) if icc else None,
        picture_at=tuple(spans),
    )


def _segments(data: bytes, budget: HeaderBudget) -> Iterator[_Segment]:
    """Each segment before the first scan; the last one reaches to the end of the file."""
    at = 2
    while True:
        found = data.find(b"\xff", at)
        fill = _FILL.match(data, found) if found >= 0 else None
        if fill is None:
            raise BadImage(RejectReason.TRUNCATED, "the JPEG ends before its first scan")
        budget.step(fill.end() - at)
        at, marker = fill.end(), data[fill.end()]
        if marker in _STANDALONE:
            continue
        if marker == _START_OF_SCAN:
            yield _Segment(marker, at - 1, len(data))
            return
        (length,) = struct.unpack_from(">H", data, at + 1)
        yield _Segment(marker, at - 1, at + 1 + length)
        at += 1 + max(length, 2)


def _scans(data: bytes, first: int, frame: int, channels: int, budget: HeaderBudget) -> int:
    """Scans up to the end of the picture, at most one more than any picture may have.

    Decoders stop after the first where it has all channels and the frame is not progressive. Else
    they go on to the end: segment by segment, as what a segment holds may read like a marker.
    """
    if frame not in _PROGRESSIVE and data[first + 4] >= channels:
        return 1
    scans, at = 0, first
    while scans <= MAX_SCANS and data[at + 1] != _END_OF_IMAGE:
        scans += data[at + 1] == _START_OF_SCAN
        (length,) = struct.unpack_from(">H", data, at + 2)
        found = _NEXT_MARKER.search(data, at + 2 + max(length, 2))
        if found is None:
            break
        budget.step(found.start() - at)
        at = found.start()
    return scans


def _joined(parts: list[bytes]) -> bytes:
    """A profile from its numbered parts; nothing where one is missing or there twice."""
    if len(parts) > _MOST_PARTS:
        return b""
    parts = sorted(parts)
    if [part[:2] for part in parts] != [bytes((n, len(parts))) for n in range(1, len(parts) + 1)]:
        return b""
    return b"".join(part[2:] for part in parts)
