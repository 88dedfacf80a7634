"""Hostile headers: what they cost in lines of Python, ours and the decoders', for each MiB."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sightline.engine.errors import BadImage
from sightline.engine.pictures.formats.budget import BASE_STEPS, HeaderBudget
from sightline.engine.pictures.formats.signature import ImageFormat
from sightline.engine.pictures.pixels import decode_stored
from tests.decoded_lines import LIMITS, decode, lines_of_decoding
from tests.pictures import encoded, png_chunk, scene

MIB = 1024 * 1024
LINES = 600_000
"""Of the first MiB, most of them the fixed part of the budget: some 50 ms. Without one the worst
took 0.4 s."""


@pytest.fixture(scope="module")
def lines_of() -> Iterator[Callable[[bytes], int]]:
    """Counts the lines that decoding runs, in a process in which coverage adds none."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        yield lambda data: fresh.submit(lines_of_decoding, data).result()


def box(kind: bytes, body: bytes = b"") -> bytes:
    """One ISO box."""
    return struct.pack(">I", 8 + len(body)) + kind + body


IHDR = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
IDAT = png_chunk(b"IDAT", zlib.compress(bytes(25 * 8)))
SOF = b"\xff\xc0\x00\x11\x08\x00\x10\x00\x10\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00"
JPEG = encoded(scene(16, 16), "JPEG")
GIF = encoded(scene(16, 16), "GIF")
WEBP = b"RIFF\0\0\0\1WEBPVP8X\x0a\0\0\0\0\0\0\0\x07\0\0\x07\0\0"
AVIF = box(b"ftyp", b"avif\0\0\0\0")


def many(part: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """A MiB of that part."""
    return before + part * (MIB // len(part)) + after


def tags(count: int, size: int) -> bytes:
    """A TIFF whose entries all name the same bytes."""
    entries = ((256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8))
    sane = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in (*entries, (279, 64))]
    odd = [struct.pack("<HHII", 1_000 + n, 7, size, 8) for n in range(count)]
    body = b"".join(sane + odd)
    return b"II*\0" + struct.pack("<IH", 8, count + 9) + body + bytes(4) + bytes(size)


def bmp_of_runs(runs: bytes, width: int = 10_000, height: int = 4_000) -> bytes:
    """A BMP of 256 greys, its pixels compressed to these run lengths."""
    greys = b"".join(bytes((grey, grey, grey, 0)) for grey in range(256))
    start = 54 + len(greys)
    sizes = (start + len(runs), 0, 0, start, 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", *sizes) + greys + runs


HOSTILE: dict[str, Callable[[], bytes]] = {
    "jpeg: fill bytes": lambda: many(b"\xff", b"\xff\xd8\xff"),
    "jpeg: stuffed bytes": lambda: many(b"\xff\x00", b"\xff\xd8\xff\xe0\x00\x02"),
    "jpeg: restart markers": lambda: many(b"\xff\xd0", b"\xff\xd8\xff\xe0\x00\x02"),
    "jpeg: empty segments": lambda: many(b"\xff\xe0\x00\x02", b"\xff\xd8"),
    "jpeg: segments behind the frame": lambda: many(
        b"\xff\xe0\x00\x02", b"\xff\xd8" + SOF, JPEG[2:]
    ),
    "jpeg: frames": lambda: many(SOF, b"\xff\xd8", JPEG[2:]),
    "jpeg: scans": lambda: many(b"\xff\xda", b"\xff\xd8" + SOF.replace(b"\xc0", b"\xc2")),
    "jpeg: EXIF": lambda: many(b"\xff\xe1\x00\x0aExif\0\0II", b"\xff\xd8", JPEG[2:] + b"\0"),
    "jpeg: XMP": lambda: many(
        b"\xff\xe1\x00\x2fhttp://ns.adobe.com/xap/1.0/\0tiff:Orientation", b"\xff\xd8", JPEG[2:]
    ),
    "jpeg: Photoshop": lambda: many(
        b"\xff\xed\xff\xfe" + b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0\0\0\0\0" * 5_459 + bytes(12),
        b"\xff\xd8",
        JPEG[2:-2],  # cut: so that Pillow is asked too
    ),
    "jpeg: comments": lambda: many(b"\xff\xfe\x00\x04ab", b"\xff\xd8", JPEG[2:-2]),
    "png: empty chunks": lambda: many(png_chunk(b"teSt"), IHDR),
    "png: chunks before the picture": lambda: many(
        png_chunk(b"teSt"), IHDR, IDAT + png_chunk(b"IEND")
    ),
    "png: chunks behind the picture": lambda: many(
        png_chunk(b"tEXt", b"a\0b"), IHDR + IDAT, png_chunk(b"IEND")
    ),
    "png: raw profiles": lambda: many(
        png_chunk(b"tEXt", b"Raw profile type exif\0\nexif\n8\n" + b"4d4d002a0000\n" * 99),
        IHDR + IDAT,
        png_chunk(b"IEND"),
    ),
    "png: chunks of an animation": lambda: many(
        png_chunk(b"teSt"),
        IHDR + png_chunk(b"acTL", struct.pack(">II", 1, 0)),
        IDAT + png_chunk(b"IEND"),
    ),
    "png: empty pictures": lambda: many(png_chunk(b"IDAT"), IHDR, IDAT + png_chunk(b"IEND")),
    "gif: sub-blocks of a byte": lambda: many(b"\x01x", b"GIF89a\1\0\1\0\0\0\0!\xff"),
    "gif: bytes that mean nothing": lambda: many(b"\xff", b"GIF89a\1\0\1\0\0\0\0"),
    "gif: empty extensions": lambda: many(b"!\xff\0", b"GIF89a\1\0\1\0\0\0\0"),
    "gif: a long comment": lambda: many(
        b"\xff" + bytes(255), GIF[:781] + b"!\xfe", b"\0" + GIF[781:]
    ),
    "gif: frames": lambda: many(b",\0\0\0\0\1\0\1\0\0\2\0", b"GIF89a\1\0\1\0\0\0\0"),
    "webp: empty chunks": lambda: many(b"JUNK\0\0\0\0", WEBP),
    "tiff: entries": lambda: tags(60_000, 16),
    "tiff: entries that share their bytes": lambda: tags(3_000, MIB),
    "bmp: run lengths": lambda: bmp_of_runs(many(b"\x01\0")),
    "bmp: ends of lines": lambda: bmp_of_runs(many(b"\0\0")),
    "avif: sizes": lambda: AVIF + box(b"meta", many(b"ispe" + bytes(4) + b"\0\0\0\1\0\0\0\1")),
    "avif: overlapping sizes": lambda: AVIF + box(b"meta", many(b"ispe")),
    "avif: empty boxes": lambda: many(box(b"free"), AVIF),
    "avif: boxes of no size": lambda: many(b"\0\0\0\1free\0\0\0\0\0\0\0\0", AVIF),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_costs_little(case: str, lines_of: Callable[[bytes], int]) -> None:
    """However many parts a MiB claims to have."""
    data = HOSTILE[case]()
    assert lines_of(data) < LINES * len(data) / MIB


def test_run_lengths_of_a_small_picture_are_read() -> None:
    """Icons and drawings of old: within the bound they cost what other formats do."""
    rows = b"".join(bytes((2, grey)) * 40 + b"\0\0" for grey in range(200))
    seen = decode_stored(bmp_of_runs(rows + b"\0\1", 80, 200), limits=LIMITS, detail=200.0).image
    assert [seen.getpixel((40, y)) for y in (0, 199)] == [(199, 199, 199), (0, 0, 0)]
    with pytest.raises(BadImage, match="save it as PNG"):
        decode_stored(bmp_of_runs(rows * 10), limits=LIMITS, detail=64.0)


HEADS = {
    ImageFormat.JPEG: (b"\xff\xd8", b"\xff\xd8" + SOF, JPEG[:-2]),
    ImageFormat.PNG: (IHDR, IHDR + IDAT),
    ImageFormat.GIF: (GIF[:13], GIF[:-1]),
    ImageFormat.WEBP: (WEBP,),
    ImageFormat.TIFF: (
        b"II*\0\x08\0\0\0",
        b"MM\0+\0\x08\0\0\0\0\0\0\0\0\0\x10",
        b"II+\0\x08\0\0\0" + b"\xff" * 8,
    ),
    ImageFormat.AVIF: (AVIF, AVIF + b"\0\0\0\0meta"),
    ImageFormat.HEIF: (
        box(b"ftyp", b"heic\0\0\0\0"),
        box(b"ftyp", b"heic\0\0\0\0") + b"\0\0\0\0meta",
    ),
    ImageFormat.BMP: (b"BM" + bytes(12), encoded(scene(16, 16), "BMP")),
}
TOKENS: tuple[bytes, ...] = (
    b"\xff",
    b"\0",
    b"\1",
    b"\xe1",
    b"\xda",
    b"!",
    b",",
    b"Exif\0\0",
    b"ICC_PROFILE\0\1\1",
)
TOKENS += (
    b"tEXt",
    b"iTXt",
    b"acTL",
    b"IDAT",
    b"ANMF",
    b"ispe",
    b"free",
    b"meta",
    b"\0\2",
    b"\0\0\0\x08",
)


@pytest.mark.parametrize("head", [head for heads in HEADS.values() for head in heads])
def test_a_head_alone_is_refused_or_read(head: bytes) -> None:
    """Also one that names a place past the end of any file: never an error of Python's."""
    decode(head)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), image_format=st.sampled_from(sorted(HEADS)))
def test_no_header_costs_more(
    data: st.DataObject, image_format: ImageFormat, lines_of: Callable[[bytes], int]
) -> None:
    """A sound beginning of any format, and then any few bytes over and over."""
    head = data.draw(st.sampled_from(HEADS[image_format]))
    piece = st.sampled_from(TOKENS) | st.binary(min_size=1, max_size=6)
    part = b"".join(data.draw(st.lists(piece, min_size=1, max_size=6)))
    hostile = head + part * (MIB // 4 // len(part))
    assert lines_of(hostile) < LINES


def test_a_larger_file_costs_no_more_where_pixels_are_one_part(
    lines_of: Callable[[bytes], int],
) -> None:
    """A JPEG of 8 MiB of segments is given up on after as many as one of 1 MiB."""
    small = HOSTILE["jpeg: empty segments"]()
    assert lines_of(small * 8) < LINES


def test_the_budget_grows_with_the_file_and_ends() -> None:
    """Steps and bytes are both bounded."""
    budget = HeaderBudget(MIB, of_small_parts=True)
    steps = budget.steps
    assert BASE_STEPS < steps <= BASE_STEPS + MIB // 128
    for _ in range(steps):
        budget.step()
    with pytest.raises(BadImage, match="more parts"):
        budget.step()
    with pytest.raises(BadImage, match="more parts"):
        HeaderBudget(MIB, of_small_parts=False).step(4 * MIB)


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP"])
def test_a_long_honest_animation_fits(image_format: str) -> None:
    """1,000 small frames, each with its own parts."""
    frames = [scene(12, 12, seed) for seed in range(1_000)]
    lossless = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], **lossless)
    assert decode_stored(data, limits=LIMITS, detail=64.0).width == 12
