"""Which way up: as Pillow's `exif_transpose` says, whatever carries the orientation."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin

from sightline.engine.pictures.pixels import decode_stored
from sightline.engine.settings import DecodeSettings
from tests.pictures import encoded, png_chunk

SHORT, LONG, SBYTE, ORIENTATION, RATING = 3, 4, 6, 0x0112, 0x4746
PREFIX = b"Exif\0\0"
XMP_SEGMENT = b"http://ns.adobe.com/xap/1.0/\0"
FOUR = Image.fromarray(
    np.kron(
        np.array([[[200, 0, 0], [0, 200, 0]], [[0, 0, 200], [255, 255, 255]]], dtype=np.uint8),
        np.ones((16, 24, 1), dtype=np.uint8),
    )
)
"""48 x 32, each quarter of its own colour, so that no two orientations look alike."""


def exif(value: int, kind: int = SHORT, tag: int = ORIENTATION, count: int = 1) -> bytes:
    """A big-endian EXIF block of one entry; of several numbers the value is the first."""
    form = {SBYTE: ">b3x", SHORT: ">H2x", LONG: ">I"}[kind]
    stored, behind = struct.pack(form, value), b""
    if count * (kind if kind == LONG else 2) > 4:
        stored, behind = struct.pack(">I", 26), stored * count
    return b"MM\0*" + struct.pack(">IHHHI", 8, 1, tag, kind, count) + stored + bytes(4) + behind


CUT_OFF = exif(5, count=2)[:8] + struct.pack(">HHHII", 1, ORIENTATION, SHORT, 2**31, 5) + bytes(4)
"""EXIF whose orientation lies behind the end of the file."""


SILENT = exif(5, tag=RATING)
"""EXIF that says nothing of an orientation."""


def xmp(value: int, form: str = 'tiff:Orientation="{}"/>') -> bytes:
    """An XMP packet, its orientation an attribute or an element."""
    return b"<x:xmpmeta><rdf:Description " + form.format(value).encode() + b"</x:xmpmeta>"


def jpeg(*bodies: bytes) -> bytes:
    """A JPEG with these APP1 segments, in this order."""
    plain = encoded(FOUR, "JPEG", quality=95)
    parts = [b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body for body in bodies]
    return plain[:2] + b"".join(parts) + plain[2:]


def png(*chunks: bytes) -> bytes:
    """A PNG with these chunks before its pixels."""
    plain = encoded(FOUR, "PNG")
    return plain[:33] + b"".join(chunks) + plain[33:]


def raw_profile(block: bytes) -> bytes:
    """EXIF as ImageMagick writes it into text: its length, then hex digits in lines."""
    digits = block.hex()
    lines = [digits[at : at + 72] for at in range(0, len(digits), 72)]
    return "\n".join(["", "exif", f"{len(block):8}", *lines, ""]).encode()


def text(kind: bytes, key: bytes, said: bytes) -> bytes:
    """A chunk of text: plain, compressed, or international."""
    between = {b"tEXt": b"\0", b"zTXt": b"\0\0", b"iTXt": b"\0\0\0\0\0"}[kind]
    return png_chunk(kind, key + between + (zlib.compress(said) if kind == b"zTXt" else said))


def made(image_format: str, block: bytes = b"", packet: bytes = b"") -> bytes:
    """A WebP or AVIF by Pillow's own encoder."""
    options = {"exif": block} if block else {}
    lossless = {"lossless": True} if image_format == "WEBP" else {"quality": 95}
    return encoded(FOUR, image_format, xmp=packet, **options, **lossless)


def tiff(tag: int, value: int | bytes, kind: int, **options: str) -> bytes:
    """A TIFF with that tag."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag], tags.tagtype[tag] = value, kind
    return encoded(FOUR, "TIFF", tiffinfo=tags, **options)


ELEMENT = "><tiff:Orientation>{}</tiff:Orientation></rdf:Description>"
CARRIERS = {
    "jpeg: EXIF": lambda o: jpeg(PREFIX + exif(o)),
    "jpeg: EXIF, a LONG": lambda o: jpeg(PREFIX + exif(o, LONG)),
    "jpeg: EXIF, a signed byte": lambda o: jpeg(PREFIX + exif(o, SBYTE)),
    "jpeg: EXIF, the first of two": lambda o: jpeg(PREFIX + exif(o, count=2)),
    "jpeg: EXIF, the first of nine elsewhere": lambda o: jpeg(PREFIX + exif(o, count=9)),
    "jpeg: EXIF, none of none": lambda o: jpeg(PREFIX + exif(o, count=0)),
    "jpeg: XMP and EXIF that is cut off": lambda o: jpeg(PREFIX + CUT_OFF, XMP_SEGMENT + xmp(o)),
    "jpeg: EXIF, named twice": lambda o: jpeg(PREFIX * 2 + exif(o)),
    "jpeg: the first EXIF": lambda o: jpeg(PREFIX + exif(o), PREFIX + exif(9 - o)),
    "jpeg: EXIF and another that is silent": lambda o: jpeg(PREFIX + exif(o), PREFIX + SILENT),
    "jpeg: XMP": lambda o: jpeg(XMP_SEGMENT + xmp(o)),
    "jpeg: XMP, an element": lambda o: jpeg(XMP_SEGMENT + xmp(o, ELEMENT)),
    "jpeg: XMP and EXIF that is silent": lambda o: jpeg(PREFIX + SILENT, XMP_SEGMENT + xmp(o)),
    "jpeg: XMP before EXIF that is silent": lambda o: jpeg(XMP_SEGMENT + xmp(o), PREFIX + SILENT),
    "jpeg: EXIF against XMP": lambda o: jpeg(XMP_SEGMENT + xmp(9 - o), PREFIX + exif(o)),
    "jpeg: the last XMP": lambda o: jpeg(XMP_SEGMENT + xmp(9 - o), XMP_SEGMENT + xmp(o)),
    "jpeg: XMP's extension": lambda o: jpeg(b"http://ns.adobe.com/xmp/extension/\0" + xmp(o)),
    "png: EXIF": lambda o: png(png_chunk(b"eXIf", exif(o))),
    "png: EXIF, a LONG": lambda o: png(png_chunk(b"eXIf", exif(o, LONG))),
    "png: XMP": lambda o: png(text(b"iTXt", b"XML:com.adobe.xmp", xmp(o))),
    "png: XMP in plain text": lambda o: png(text(b"tEXt", b"XML:com.adobe.xmp", xmp(o))),
    "png: XMP and EXIF that is silent": lambda o: png(
        png_chunk(b"eXIf", SILENT), text(b"iTXt", b"XML:com.adobe.xmp", xmp(o))
    ),
    "png: a raw profile": lambda o: png(
        text(b"zTXt", b"Raw profile type exif", raw_profile(PREFIX + exif(o)))
    ),
    "png: a raw profile in plain text": lambda o: png(
        text(b"tEXt", b"Raw profile type exif", raw_profile(PREFIX + exif(o, LONG)))
    ),
    "png: a raw profile of XMP": lambda o: png(
        text(b"tEXt", b"Raw profile type xmp", raw_profile(xmp(o)))
    ),
    "png: EXIF against a raw profile": lambda o: png(
        text(b"tEXt", b"Raw profile type exif", raw_profile(PREFIX + exif(9 - o))),
        png_chunk(b"eXIf", exif(o)),
    ),
    "png: XMP and a raw profile that is silent": lambda o: png(
        text(b"zTXt", b"Raw profile type exif", raw_profile(PREFIX + SILENT)),
        text(b"iTXt", b"XML:com.adobe.xmp", xmp(o)),
    ),
    "png: a raw profile against XMP": lambda o: png(
        text(b"zTXt", b"Raw profile type exif", raw_profile(PREFIX + exif(o))),
        text(b"iTXt", b"XML:com.adobe.xmp", xmp(9 - o)),
    ),
    "png: EXIF, named twice": lambda o: png(png_chunk(b"eXIf", PREFIX + exif(o))),
    "webp: EXIF": lambda o: made("WEBP", PREFIX + exif(o)),
    "webp: EXIF, a LONG": lambda o: made("WEBP", PREFIX + exif(o, LONG)),
    "webp: XMP": lambda o: made("WEBP", packet=xmp(o)),
    "webp: XMP and EXIF that is silent": lambda o: made("WEBP", PREFIX + SILENT, xmp(o)),
    "avif: EXIF": lambda o: made("AVIF", PREFIX + exif(o)),
    "avif: EXIF, a LONG": lambda o: made("AVIF", PREFIX + exif(o, LONG)),
    "avif: XMP": lambda o: made("AVIF", packet=xmp(o)),
    "avif: XMP and EXIF that is silent": lambda o: made("AVIF", PREFIX + SILENT, xmp(o)),
    "tiff: a tag": lambda o: tiff(ORIENTATION, o, SHORT),
    "tiff: a LONG": lambda o: tiff(ORIENTATION, o, LONG),
    "tiff: a tag, packed": lambda o: tiff(ORIENTATION, o, SHORT, compression="tiff_lzw"),
    "tiff: XMP": lambda o: tiff(700, xmp(o), 1),
    "tiff: XMP, packed": lambda o: tiff(700, xmp(o, ELEMENT), 1, compression="tiff_lzw"),
}
UPRIGHT = {"jpeg: XMP's extension", "jpeg: EXIF, none of none", "png: a raw profile of XMP"}
"""Where no orientation is looked for."""


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_picture_is_turned_as_pillow_turns_it(carrier: str) -> None:
    """Size and pixels, for each orientation and each place that may name it."""
    seen = set()
    for orientation in range(1, 9):
        data = CARRIERS[carrier](orientation)
        ours = decode_stored(data, limits=DecodeSettings(), detail=64.0)
        theirs = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
        assert (ours.width, ours.height) == ours.image.size == theirs.size, orientation
        difference = np.asarray(ours.image).astype(int) - np.asarray(theirs)
        assert np.abs(difference).mean() < 1, orientation
        seen.add(theirs.tobytes())
    assert len(seen) == (1 if carrier in UPRIGHT else 8)
