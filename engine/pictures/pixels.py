"""Encoded bytes in, upright sRGB pixels out, in no more detail than asked: the only decoder.

JPEG goes through libjpeg-turbo's scaled decoding (simplejpeg, releases the GIL); whatever that
refuses, and every other format, goes through Pillow or libheif. Hostile bytes end in `BadImage`,
whatever the decoders raise.
"""

from __future__ import annotations

import io
import math
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import pillow_heif
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.colour import AS_STORED, ColourUse, Conversion, conversion_of
from sightline.engine.pictures.formats.claims import ImageHeader
from sightline.engine.pictures.formats.jpeg import MAX_SCANS
from sightline.engine.pictures.formats.metadata import UPRIGHT
from sightline.engine.pictures.formats.signature import ImageFormat
from sightline.engine.pictures.header import read_header
from sightline.engine.pictures.orientation import (
    TRANSPOSITIONS,
    orientation_of_decoded,
    swaps_sides,
)
from sightline.engine.pictures.quiet_libtiff import quiet_libtiff
from sightline.engine.pictures.to_rgb import rgb_on_white
from sightline.engine.pictures.transparent_colour import clear_in_eight_bits
from sightline.engine.settings import DecodeSettings

# Pillow warns about odd metadata, and they are not the picture. Said once, here: the filters are
# those of the whole process, and each change of them races with what other threads decode.
warnings.filterwarnings("ignore", module=r"PIL\.")
quiet_libtiff()

MAX_SIDE = 262_144
"""Each row costs time and memory of its own, however short it is: 40 million rows of one pixel cost
3 to 8 s and 800 MB."""
_MAX_SCANNED_PIXELS = 1_500_000_000
"""Each scan of a JPEG is a pass over all its pixels, however few bytes it has: 1.2 ns for each of
them (measured). So at most two seconds, and fifteen scans at the bound of pixels."""
os.environ.setdefault("LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER", "16")
# The same for JPEG within TIFF, which libtiff reads by itself, and bounds in no other way.
_LARGE_PIXELS = 24_000_000
_LARGE_PICTURES = threading.Lock()
"""Pictures above the phone-camera range are decoded one at a time: memory stays bounded however
many threads decode."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """An RGB picture, perhaps reduced, and the size it had before."""

    image: Image.Image
    width: int
    height: int
    orientation: int = UPRIGHT
    colours: ColourUse = ColourUse.NONE
    """What is done with its embedded colour profile."""
    to_srgb: Conversion = AS_STORED
    """What is still to be done: whoever makes the picture smaller converts afterwards, for less."""


def decode_stored(data: bytes, *, limits: DecodeSettings, detail: float) -> Pixels:
    """Decode safely: upright, alpha on white; the first frame of an animation.

    Args:
        data: the encoded file.
        limits: bounds, checked against the header before anything is decoded.
        detail: pixels that the short side must keep; a picture with fewer is not reduced.

    Returns:
        The picture, whose colours are still to be made sRGB where `to_srgb` says so.

    Raises:
        BadImage: with the reason and a sentence for a person.
    """
    header = checked_header(data, limits)
    large = header.width * header.height > _LARGE_PIXELS
    with _LARGE_PICTURES if large else nullcontext(), _decoder_errors(header.format):
        return _upright(_decode(data, header, limits, detail))


def checked_header(data: bytes, limits: DecodeSettings) -> ImageHeader:
    """The header, within the bounds.

    Raises:
        BadImage: empty, unsupported, over a bound, or too broken to read.
    """
    if not data:
        raise BadImage(RejectReason.EMPTY, "the file has no bytes; upload it again")
    if len(data) > limits.max_bytes:
        raise BadImage(
            RejectReason.TOO_MANY_BYTES,
            f"the file has {len(data):,} bytes, at most {limits.max_bytes:,} are accepted",
        )
    header = read_header(data, max_frames=limits.max_frames)
    _check_size(header.width, header.height, limits)
    _check_frames(header.frames, limits)
    _check_scans(header)
    return header


def _check_scans(header: ImageHeader) -> None:
    scanned = header.scans * header.width * header.height
    if header.scans > 1 and (header.scans > MAX_SCANS or scanned > _MAX_SCANNED_PIXELS):
        raise BadImage(
            RejectReason.CORRUPT, "the JPEG has too many scans for its pixels; encode it again"
        )


def _check_size(width: int, height: int, limits: DecodeSettings) -> None:
    if width < 1 or height < 1:
        raise BadImage(RejectReason.CORRUPT, f"the header claims {width} x {height} pixels")
    if max(width, height) > MAX_SIDE:
        raise BadImage(
            RejectReason.TOO_MANY_PIXELS,
            f"the picture is {max(width, height):,} pixels long, at most {MAX_SIDE:,} are accepted",
        )
    if width * height > limits.max_pixels:
        raise BadImage(
            RejectReason.TOO_MANY_PIXELS,
            f"the picture has {width:,} x {height:,} pixels, at most {limits.max_pixels:,} "
            "in all are accepted; send a smaller one",
        )


def _check_frames(frames: int, limits: DecodeSettings) -> None:
    if frames > limits.max_frames:
        raise BadImage(
            RejectReason.TOO_MANY_FRAMES,
            f"the animation has more than {limits.max_frames:,} frames; send a still picture",
        )


@contextmanager
def _decoder_errors(image_format: ImageFormat) -> Iterator[None]:
    """Map whatever a decoder raises over hostile bytes to `BadImage`."""
    try:
        yield
    except BadImage:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise BadImage(
            RejectReason.TOO_MANY_PIXELS, f"the {image_format} unpacks to too much; send it smaller"
        ) from error
    # Decoders of hostile bytes raise anything (struct.error, KeyError, ZeroDivisionError, …), and
    # all of it means one thing: these bytes are no whole picture.
    except Exception as error:
        raise BadImage(*_verdict(image_format, str(error))) from error


def _verdict(image_format: ImageFormat, said: str) -> tuple[RejectReason, str]:
    lower = said.lower()
    if "too large for" in lower or "data too large" in lower:
        return RejectReason.TOO_MANY_BYTES, f"the {image_format}'s metadata unpack to too much"
    if "truncated" in lower or "premature" in lower or "end of file" in lower:
        return RejectReason.TRUNCATED, f"the {image_format} ends too early; send it whole"
    return RejectReason.CORRUPT, f"the {image_format} is damaged and cannot be decoded"


def _decode(data: bytes, header: ImageHeader, limits: DecodeSettings, detail: float) -> Pixels:
    if header.format is ImageFormat.JPEG:
        fast = _decode_jpeg(data, header, detail)
        if fast is not None:
            return fast
    if header.format is ImageFormat.HEIF:
        return _decode_heif(data, limits, detail)
    return _decode_with_pillow(data, header, limits, detail)


def _decode_jpeg(data: bytes, header: ImageHeader, detail: float) -> Pixels | None:
    """Grey and three-channel JPEG without a single warning; all else is Pillow's to judge."""
    if header.channels not in {1, 3}:
        return None
    ratio = min(1.0, detail / min(header.width, header.height))
    try:
        pixels = simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_width=math.ceil(header.width * ratio),
            min_height=math.ceil(header.height * ratio),
            strict=True,
        )
    except ValueError:
        return None
    conversion = conversion_of(header.icc_profile, "L" if header.channels == 1 else "RGB")
    size = (header.width, header.height, header.orientation)
    height, width, _ = pixels.shape
    image = Image.new("RGB", (width, height), None)  # not filled, as `fromarray` does first
    image.frombytes(pixels)
    return Pixels(image, *size, conversion.use, conversion)


def _decode_with_pillow(
    data: bytes, header: ImageHeader, limits: DecodeSettings, detail: float
) -> Pixels:
    if header.format is ImageFormat.JPEG:
        # Pillow reads metadata in Python, at a cost that grows with their square: it gets none.
        data = b"".join(data[start:end] for start, end in header.picture_at)
    with Image.open(io.BytesIO(data), formats=[header.format]) as image:
        size = image.size
        _check_size(*size, limits)
        if header.format is ImageFormat.AVIF:
            _check_frames(getattr(image, "n_frames", 1), limits)
        ratio = max(1.0, min(size) / detail)
        image.draft(None, (int(size[0] / ratio), int(size[1] / ratio)))
        image.load()  # once: a second load of a broken PNG would succeed
        profile = header.icc_profile
        if header.format is ImageFormat.JPEG:
            orientation = header.orientation
        else:  # a TIFF has been turned by now
            size, orientation = image.size, orientation_of_decoded(image)
            profile = image.info.get("icc_profile", profile)
        if header.format is ImageFormat.PNG:
            clear_in_eight_bits(image, data, header.bits)
        conversion = conversion_of(profile, image.mode)
        rgb, to_srgb = rgb_on_white(image, detail=detail, conversion=conversion)
        return Pixels(rgb, *size, orientation, conversion.use, to_srgb)


def _decode_heif(data: bytes, limits: DecodeSettings, detail: float) -> Pixels:
    pillow_heif.options.DECODE_THREADS = 1  # one core a thread; the callers are the threads
    heif = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
    _check_frames(len(heif), limits)
    _check_size(heif.size[0], heif.size[1], limits)
    image = heif.to_pillow()  # libheif has turned it upright
    conversion = conversion_of(image.info.get("icc_profile"), image.mode)
    rgb, to_srgb = rgb_on_white(image, detail=detail, conversion=conversion)
    return Pixels(rgb, *image.size, UPRIGHT, conversion.use, to_srgb)


def _upright(stored: Pixels) -> Pixels:
    if stored.orientation not in TRANSPOSITIONS:
        return stored
    image = stored.image.transpose(TRANSPOSITIONS[stored.orientation])
    sides = (stored.width, stored.height)
    if swaps_sides(stored.orientation):
        sides = sides[::-1]
    return Pixels(image, *sides, UPRIGHT, stored.colours, stored.to_srgb)
