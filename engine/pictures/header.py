"""Encoded bytes in, what their header claims out: format, size, frames; nothing is decoded.

The dimensions are judged before any decoder sees the bytes, since a few bytes can claim gigapixels.
Where a header is too broken to read, the walkers stop and leave the verdict to the decoder.
"""

# ruff: noqa: PLR2004 - the numbers are those of the file formats' specifications

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.orientation import UPRIGHT, orientation_of_exif
from sightline.engine.pictures.signature import NO_PICTURE, ImageFormat, sniff


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header claims; size in stored pixels, before any rotation."""

    format: ImageFormat
    width: int
    height: int
    frames: int = 1
    orientation: int = UPRIGHT
    """EXIF orientation 1-8 of a JPEG; other formats tell theirs after decoding."""
    channels: int = 3
    scans: int = 1


_FRAME_MARKERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_SCAN_OR_END = re.compile(rb"\xff[\xda\xd9]")
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
_MIN_BMP = 26


def read_header(data: bytes, *, max_frames: int) -> ImageHeader:
    """What the bytes claim to be; frames are counted up to one past `max_frames`.

    Raises:
        BadImage: not a still picture that we read, or a header without a size.
    """
    image_format = sniff(data)
    if image_format is None:
        raise BadImage(
            RejectReason.UNSUPPORTED_MEDIA,
            f"this is {NO_PICTURE}",
        )
    try:
        return _READERS[image_format](data, max_frames)
    except (struct.error, IndexError) as error:
        raise BadImage(
            RejectReason.TRUNCATED, f"the {image_format} ends within its header; send it whole"
        ) from error


def _jpeg(data: bytes, max_frames: int) -> ImageHeader:
    del max_frames  # of a multi-picture object only the first is ever decoded
    at, orientation = 2, UPRIGHT
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or data[at + 1] == 0xDA:
            raise BadImage(RejectReason.CORRUPT, "the JPEG has no frame header")
        marker = data[at + 1]
        if marker in {0x00, 0xFF} or marker in _STANDALONE:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _FRAME_MARKERS:
            height, width, channels = struct.unpack_from(">HHB", data, at + 5)
            scans = _scans(data, at) if marker in _PROGRESSIVE else 1
            return ImageHeader(ImageFormat.JPEG, width, height, 1, orientation, channels, scans)
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\x00\x00":
            orientation = orientation_of_exif(data[at + 10 : at + 2 + length])
        at += 2 + length


def _scans(data: bytes, start: int) -> int:
    scans = 0
    for match in _SCAN_OR_END.finditer(data, start):
        if match.group() == b"\xff\xd9":
            break
        scans += 1
    return max(scans, 1)


def _png(data: bytes, max_frames: int) -> ImageHeader:
    del max_frames
    if data[12:16] != b"IHDR":
        raise BadImage(RejectReason.CORRUPT, "the PNG does not begin with its header chunk")
    width, height = struct.unpack_from(">II", data, 16)
    at = 8
    while data[at + 4 : at + 8] not in {b"IDAT", b""}:
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] == b"acTL":
            (frames,) = struct.unpack_from(">I", data, at + 8)
            return ImageHeader(ImageFormat.PNG, width, height, max(frames, 1))
        at += 12 + length
    return ImageHeader(ImageFormat.PNG, width, height)


def _gif(data: bytes, max_frames: int) -> ImageHeader:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at, frames = 13 + _palette_bytes(flags), 0
    while frames <= max_frames and data[at : at + 1] in {b"!", b","}:
        if data[at] == ord("!"):
            at = _after_sub_blocks(data, at + 2)
            continue
        if at + 10 > len(data):
            break
        left, top, frame_width, frame_height, frame_flags = struct.unpack_from(
            "<HHHHB", data, at + 1
        )
        width, height = max(width, left + frame_width), max(height, top + frame_height)
        frames += 1
        at = _after_sub_blocks(data, at + 11 + _palette_bytes(frame_flags))
    return ImageHeader(ImageFormat.GIF, width, height, max(frames, 1))


def _palette_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _after_sub_blocks(data: bytes, at: int) -> int:
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return at + 1


def _webp(data: bytes, max_frames: int) -> ImageHeader:
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return ImageHeader(ImageFormat.WEBP, width & 0x3FFF, height & 0x3FFF)
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return ImageHeader(ImageFormat.WEBP, (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind != b"VP8X":
        raise BadImage(RejectReason.CORRUPT, "the WebP begins with an unknown chunk")
    sizes = struct.unpack_from("<I", data, 24)[0], struct.unpack_from("<I", data, 26)[0] >> 8
    at, frames = 12, 0
    while frames <= max_frames and at + 8 <= len(data):
        frames += data[at : at + 4] == b"ANMF"
        (length,) = struct.unpack_from("<I", data, at + 4)
        at += 8 + length + length % 2
    width, height = (size & 0xFFFFFF for size in sizes)
    return ImageHeader(ImageFormat.WEBP, width + 1, height + 1, max(frames, 1))


def _bmp(data: bytes, max_frames: int) -> ImageHeader:
    del max_frames
    (header_bytes,) = struct.unpack_from("<I", data, 14)
    core = header_bytes == 12  # OS/2's header has 16-bit sizes
    width, height = struct.unpack_from("<HH" if core else "<ii", data, 18)
    if len(data) < _MIN_BMP:
        raise BadImage(RejectReason.TRUNCATED, "the BMP ends within its header")
    return ImageHeader(ImageFormat.BMP, abs(width), abs(height))


def _tiff(data: bytes, max_frames: int) -> ImageHeader:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in {b"+\x00", b"\x00+"}
    offset_code, count_code, entry_bytes = ("Q", "Q", 20) if big else ("I", "H", 12)
    (at,) = struct.unpack_from(order + offset_code, data, 8 if big else 4)
    sizes, seen = _tiff_size(data, at, order, big=big), set[int]()
    while at and at not in seen and len(seen) <= max_frames:
        seen.add(at)
        if at + 8 > len(data):
            break
        (entries,) = struct.unpack_from(order + count_code, data, at)
        end = at + struct.calcsize(count_code) + entries * entry_bytes
        if end + struct.calcsize(offset_code) > len(data):
            break
        (at,) = struct.unpack_from(order + offset_code, data, end)
    return ImageHeader(ImageFormat.TIFF, *sizes, frames=max(len(seen), 1))


def _tiff_size(data: bytes, at: int, order: str, *, big: bool) -> tuple[int, int]:
    count_code, entry_bytes, value_at = ("Q", 20, 12) if big else ("H", 12, 8)
    (entries,) = struct.unpack_from(order + count_code, data, at)
    found: dict[int, int] = {}
    first = at + struct.calcsize(count_code)
    for entry in range(first, first + min(entries, 512) * entry_bytes, entry_bytes):
        tag, kind = struct.unpack_from(order + "HH", data, entry)
        if tag in {256, 257}:
            code = {3: "H", 4: "I", 16: "Q"}.get(kind, "H")
            (found[tag],) = struct.unpack_from(order + code, data, entry + value_at)
    return found.get(256, 0), found.get(257, 0)


def _isobmff(data: bytes, max_frames: int) -> ImageHeader:
    del max_frames  # the decoder tells
    image_format = sniff(data) or ImageFormat.HEIF
    start, end = _meta_box(data)
    width = height = 0
    at = data.find(b"ispe", start, end)
    while at >= 0:
        claimed = struct.unpack_from(">II", data, at + 8)
        if claimed[0] * claimed[1] > width * height:
            width, height = claimed
        at = data.find(b"ispe", at + 4, end)
    return ImageHeader(image_format, width, height)


def _meta_box(data: bytes) -> tuple[int, int]:
    at = 0
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, at + 8)
        end = at + length if length else len(data)
        if data[at + 4 : at + 8] == b"meta":
            return at, min(end, len(data))
        at = max(end, at + 8)
    raise BadImage(RejectReason.CORRUPT, "the file has no description of its picture")


_READERS = {
    ImageFormat.JPEG: _jpeg,
    ImageFormat.PNG: _png,
    ImageFormat.GIF: _gif,
    ImageFormat.WEBP: _webp,
    ImageFormat.BMP: _bmp,
    ImageFormat.TIFF: _tiff,
    ImageFormat.AVIF: _isobmff,
    ImageFormat.HEIF: _isobmff,
}
