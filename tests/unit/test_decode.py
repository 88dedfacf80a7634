import io
import struct
import subprocess
import sys
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sightline.engine.errors import BadImage, RejectReason
from sightline.engine.pictures.near_duplicates import hash_bits, near_any
from sightline.engine.pictures.pixels import checked_header
from sightline.engine.pictures.prepare import prepare, render
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from sightline.schemas.searches import CropBox
from tests.pictures import decoded_to_srgb, encoded, png_chunk, scene

LIMITS = DecodeSettings()
SIZE = 224


def crop_of(data: bytes) -> NDArray[np.uint8]:
    """What the network would see."""
    return prepare(data, limits=LIMITS, framing=Framing(SIZE)).crop


def rejected(data: bytes, limits: DecodeSettings = LIMITS) -> RejectReason:
    """Why the bytes are refused."""
    with pytest.raises(BadImage) as caught:
        prepare(data, limits=limits, framing=Framing(SIZE))
    return caught.value.reason


def look_alike(one: str, other: str, *, bits: int) -> bool:
    """Whether two hashes differ in at most so many bits."""
    return near_any(hash_bits(one), [hash_bits(other)], bits=bits)


def distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean difference in levels of 255."""
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """A PNG written by hand, for depths that Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), *extra, png_chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image_format", "options", "tolerance"),
    [
        ("JPEG", {"quality": 95}, 3.0),
        ("JPEG", {"quality": 95, "progressive": True}, 3.0),
        ("PNG", {}, 0.0),
        ("WEBP", {"lossless": True}, 0.0),
        ("TIFF", {}, 0.0),
        ("BMP", {}, 0.0),
        ("AVIF", {"quality": 95}, 4.0),
    ],
)
def test_every_format_gives_the_same_crop(
    image_format: str, options: dict[str, Any], tolerance: float
) -> None:
    """A picture looks the same to the network whatever it was stored as."""
    plain = crop_of(encoded(scene(), "PNG"))
    assert distance(crop_of(encoded(scene(), image_format, **options)), plain) <= tolerance


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone(image_format: str, orientation: int) -> None:
    """The eight EXIF orientations of one scene give one crop, hash and upright size."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse transposition of each
    stored = scene()
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossy = {"lossless": True} if image_format == "WEBP" else {"quality": 95}
    lossy = lossy if image_format not in {"PNG", "TIFF"} else {}
    prepared = prepare(
        encoded(stored, image_format, exif=exif, **lossy), limits=LIMITS, framing=Framing(SIZE)
    )
    upright = prepare(encoded(scene(), "PNG"), limits=LIMITS, framing=Framing(SIZE))
    assert (prepared.width, prepared.height) == (320, 240)
    assert distance(prepared.crop, upright.crop) < 4
    assert look_alike(prepared.perceptual_hash, upright.perceptual_hash, bits=8)


SIX = {
    "SHORT": (3, b"\x06\0\0\0", b"\0\x06\0\0"),
    "LONG": (4, b"\x06\0\0\0", b"\0\0\0\x06"),
    "SSHORT": (8, b"\x06\0\0\0", b"\0\x06\0\0"),
    "SLONG": (9, b"\x06\0\0\0", b"\0\0\0\x06"),
}
"""An orientation of 6 in each whole-number type of TIFF, little-endian and big-endian."""


def exif_of(order: str, kind: int, value: bytes, tag: int = 0x0112) -> bytes:
    """An EXIF block of one entry."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "IHHHI", 8, 1, tag, kind, 1) + value + bytes(4)


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_exif(*blocks: bytes) -> bytes:
    """A lying JPEG of 320 x 240 with these EXIF segments."""
    jpeg = encoded(scene(), "JPEG")
    segments = [segment(0xE1, b"Exif\0\0" + block) for block in blocks]
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", SIX)
def test_orientation_is_read_in_every_whole_number_type(kind: str, order: str) -> None:
    """Phones write LONG where EXIF says SHORT."""
    code, little, big = SIX[kind]
    exif = exif_of(order, code, little if order == "<" else big)
    assert prepare(with_exif(exif), limits=LIMITS, framing=Framing(SIZE)).width == 240
    for image_format in ("PNG", "WEBP", "AVIF"):
        data = encoded(scene(), image_format, exif=b"Exif\0\0" + exif)
        assert prepare(data, limits=LIMITS, framing=Framing(SIZE)).width == 240


def test_the_first_exif_segment_counts() -> None:
    """As for libvips and Pillow; what a second one says or leaves out changes nothing."""
    six, one = exif_of("<", 3, b"\x06\0\0\0"), exif_of("<", 3, b"\x01\0\0\0")
    other = exif_of("<", 3, b"\x05\0\0\0", tag=0x0100)
    for second in (one, other, b"garbage"):
        assert prepare(with_exif(six, second), limits=LIMITS, framing=Framing(SIZE)).width == 240
        assert prepare(with_exif(second, six), limits=LIMITS, framing=Framing(SIZE)).width == 320


def test_exif_that_says_upright_outweighs_xmp() -> None:
    """XMP is asked only where EXIF says nothing."""
    xmp = b"<x:xmpmeta tiff:Orientation='6'/>"
    said = exif_of("<", 3, b"\x01\0\0\0")
    silent = exif_of("<", 3, b"\x05\0\0\0", tag=0x0100)
    for exif, width in ((said, 320), (silent, 240)):
        data = encoded(scene(), "WEBP", exif=b"Exif\0\0" + exif, xmp=xmp)
        assert prepare(data, limits=LIMITS, framing=Framing(SIZE)).width == width


def test_crop_is_that_of_the_textbook() -> None:
    """Short side to 256, antialiased bilinear, centre crop 224, within a level of rounding."""
    picture = scene(1000, 700)
    resized = picture.resize((365, 256), Image.Resampling.BILINEAR)
    left, top = round((365 - 224) / 2), 16
    expected = np.asarray(resized.crop((left, top, left + 224, top + 224)))
    difference = np.abs(crop_of(encoded(picture, "PNG")).astype(int) - expected)
    # 700 is less than twice 448, so nothing was reduced and only the order of rounding differs
    assert difference.max() <= 2


def test_scaled_jpeg_decoding_stays_close() -> None:
    """Decoding a large JPEG at a fraction of its size changes little."""
    picture = scene(3200, 2400)
    data = encoded(picture, "JPEG", quality=95)
    whole = encoded(Image.open(io.BytesIO(data)).convert("RGB"), "BMP")
    limits = DecodeSettings()
    assert distance(prepare(data, limits=limits, framing=Framing(SIZE)).crop, crop_of(whole)) < 1.5


def test_sixteen_bit_grey_is_not_white() -> None:
    """A 16-bit grey ramp keeps its levels."""
    ramp = np.linspace(0, 65535, 256 * 256).reshape(256, 256).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in ramp)
    crop = crop_of(png(256, 256, 16, 0, rows))
    assert distance(crop[..., 0], crop[..., 1]) == 0
    assert crop.mean() == pytest.approx(127, abs=2)
    assert crop[0].mean() < 30
    assert crop[-1].mean() > 220


def test_sixteen_bit_colour_keeps_its_colours() -> None:
    """16-bit RGB is scaled to 8 bits."""
    row = b"\0" + struct.pack(">HHH", 65535, 32768, 0) * 64
    assert crop_of(png(64, 64, 16, 2, row * 64))[10, 10].tolist() == [255, 128, 0]


@pytest.mark.parametrize("sides", [(1, 262_145), (262_145, 1), (1, 100_000_000)])
def test_a_picture_of_too_many_rows_is_refused_by_its_header(sides: tuple[int, int]) -> None:
    """Rows cost by their number: a hundred million of a pixel are within the other bound."""
    assert rejected(png(*sides, 8, 0, b"")) is RejectReason.TOO_MANY_PIXELS


def test_a_strip_of_a_picture_is_read() -> None:
    """Long scans are within all bounds."""
    assert decoded_to_srgb(png(1, 262_144, 8, 0, b"\0\7" * 262_144)).height == 262_144


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_transparent_grey_is_white_at_every_depth(depth: int) -> None:
    """One level of the stored samples means transparent; its neighbours do not."""
    clear, other = 1, 0
    bits = "".join(f"{level:0{depth}b}" for level in [clear, other] * 32)
    row = b"\0" + int(bits, 2).to_bytes(8 * depth, "big")
    transparent = png_chunk(b"tRNS", struct.pack(">H", clear))
    seen = decoded_to_srgb(png(64, 64, depth, 0, row * 64, transparent)).image
    assert [seen.getpixel((0, 0)), seen.getpixel((1, 0))] == [(255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_is_white_at_every_depth(depth: int) -> None:
    """One colour of the stored samples means transparent."""
    code = ">3B" if depth == 8 else ">3H"
    clear, other = (0x1234, 0x5678, 0x9ABC), (0x2234, 0x5678, 0x9ABC)
    levels = [tuple(x >> (16 - depth) for x in colour) for colour in (clear, other)]
    row = b"\0" + b"".join(struct.pack(code, *colour) for colour in levels) * 32
    transparent = png_chunk(b"tRNS", struct.pack(">3H", *levels[0]))
    seen = decoded_to_srgb(png(64, 64, depth, 2, row * 64, transparent)).image
    assert seen.getpixel((0, 0)) == (255, 255, 255)
    assert seen.getpixel((1, 0)) == (0x22, 0x56, 0x9A)


@pytest.mark.parametrize("channel", range(3))
def test_a_colour_that_is_nearly_the_transparent_one_stays(channel: int) -> None:
    """Of 16 bits all are compared, though 8 are kept: the dark of a photo is no hole in it."""
    near = [0, 0, 0]
    near[channel] = 1
    row = b"\0" + struct.pack(">6H", 0, 0, 0, *near) * 32
    transparent = png_chunk(b"tRNS", bytes(6))
    seen = decoded_to_srgb(png(64, 64, 16, 2, row * 64, transparent)).image
    assert [seen.getpixel((0, 0)), seen.getpixel((1, 0))] == [(255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_white(mode: str) -> None:
    """What is fully transparent looks as on a white page, whatever colour hides beneath."""
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    options = {"transparency": 0} if mode == "P" else {}
    picture = Image.new("P", (64, 64)) if mode == "P" else clear.convert(mode)
    assert crop_of(encoded(picture, "PNG", **options)).min() == 255


def test_half_transparency_is_mixed_with_white() -> None:
    """Half-transparent black is mid grey."""
    assert crop_of(encoded(Image.new("RGBA", (64, 64), (0, 0, 0, 128)), "PNG")).mean() == 127


def test_cmyk_becomes_rgb() -> None:
    """A CMYK JPEG has the colours of its RGB original, neither inverted nor dark."""
    data = encoded(scene().convert("CMYK"), "JPEG", quality=95)
    assert distance(crop_of(data), crop_of(encoded(scene(), "PNG"))) < 4


def test_first_frame_of_an_animation() -> None:
    """Of a GIF, an animated WebP and an APNG the first frame counts."""
    frames = [scene(seed=1), scene(seed=2)]
    still = crop_of(encoded(frames[0], "PNG"))
    for image_format in ("GIF", "WEBP", "PNG"):
        data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
        assert distance(crop_of(data), still) < 8


def test_box_looks_at_a_part() -> None:
    """Cropping by the box equals sending the part, and hashes the part."""
    picture = scene(640, 480)
    part = encoded(picture.crop((160, 120, 480, 360)), "PNG")
    box = CropBox(x=0.25, y=0.25, w=0.5, h=0.5)
    boxed = prepare(encoded(picture, "PNG"), limits=LIMITS, framing=Framing(SIZE), box=box)
    alone = prepare(part, limits=LIMITS, framing=Framing(SIZE))
    assert distance(boxed.crop, alone.crop) < 1
    assert look_alike(boxed.perceptual_hash, alone.perceptual_hash, bits=8)
    assert (boxed.width, boxed.height) == (640, 480)


@pytest.mark.parametrize("side", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_tiny_and_thin_pictures(side: tuple[int, int]) -> None:
    """Any shape gives a crop, also through the smallest box."""
    data = encoded(Image.new("RGB", side, "teal"), "PNG")
    box = CropBox(x=1.0 - 1e-3, y=1.0 - 1e-3, w=1e-3, h=1e-3)
    for given in (None, box):
        assert prepare(data, limits=LIMITS, framing=Framing(SIZE), box=given).crop.shape == (
            SIZE,
            SIZE,
            3,
        )


def test_near_duplicates_hash_alike_and_others_do_not() -> None:
    """A smaller, harder compressed copy stays within 40 bits; another scene does not."""
    original = prepare(
        encoded(scene(), "PNG"), limits=LIMITS, framing=Framing(SIZE)
    ).perceptual_hash
    copy = encoded(scene().resize((200, 150)), "JPEG", quality=40)
    other = encoded(scene(seed=9), "PNG")
    of_copy = prepare(copy, limits=LIMITS, framing=Framing(SIZE)).perceptual_hash
    of_other = prepare(other, limits=LIMITS, framing=Framing(SIZE)).perceptual_hash
    assert look_alike(original, of_copy, bits=40)
    assert not look_alike(original, of_other, bits=40)


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"<?xml version='1.0'?><svg/>",
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isommp42",
        b"\x1aE\xdf\xa3" + bytes(60),
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"ID3\x04\x00" + bytes(60),
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"PK\x03\x04",
        b"hello",
        b"\xff",
    ],
)
def test_what_is_no_still_picture(data: bytes) -> None:
    """Documents, video, audio and vector graphics are unsupported media."""
    assert rejected(data) is RejectReason.UNSUPPORTED_MEDIA


def test_bounds_are_checked_before_decoding() -> None:
    """Too many bytes, pixels or frames, and nothing at all, each have their reason."""
    frames = [scene(8, 8, seed) for seed in range(5)]
    animation = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    picture = encoded(scene(), "PNG")
    assert rejected(b"") is RejectReason.EMPTY
    assert rejected(picture, DecodeSettings(max_bytes=100)) is RejectReason.TOO_MANY_BYTES
    assert rejected(picture, DecodeSettings(max_pixels=999)) is RejectReason.TOO_MANY_PIXELS
    assert rejected(animation, DecodeSettings(max_frames=4)) is RejectReason.TOO_MANY_FRAMES
    assert prepare(animation, limits=DecodeSettings(max_frames=5), framing=Framing(SIZE)).width == 8


@pytest.mark.parametrize("image_format", ["WEBP", "PNG", "TIFF", "AVIF"])
def test_frames_of_every_animated_format_are_bounded(image_format: str) -> None:
    """A thousand-page file is refused for its frames."""
    frames = [scene(16, 16, seed) for seed in range(6)]
    data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:])
    assert rejected(data, DecodeSettings(max_frames=3)) is RejectReason.TOO_MANY_FRAMES


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP"])
def test_a_header_that_claims_gigapixels_is_refused(image_format: str) -> None:
    """The claim is enough: the decoder never sees the bytes."""
    data = encoded(scene(64, 48), image_format)
    assert rejected(data, DecodeSettings(max_pixels=64 * 48 - 1)) is RejectReason.TOO_MANY_PIXELS


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "GIF", "BMP"])
def test_half_a_file_is_rejected(image_format: str) -> None:
    """A cut file is never indexed as half a grey picture."""
    data = encoded(scene(), image_format)
    assert rejected(data[: len(data) // 2]) in {RejectReason.TRUNCATED, RejectReason.CORRUPT}


def test_a_progressive_jpeg_of_endless_scans_is_refused() -> None:
    """Scans are passes over the whole picture: hundreds of them are an attack."""
    data = encoded(scene(), "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    bomb = data[:start] + data[start:-2] * 300 + b"\xff\xd9"
    assert rejected(bomb) is RejectReason.CORRUPT


def scanned(side: int, scans: int, *, frame: int, between: bytes = b"") -> bytes:
    """A JPEG of three channels in scans of one channel each, of hardly any bytes."""
    size = struct.pack(">BHHB", 8, side, side, 3)
    channels = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    tables = segment(0xDB, bytes([0, *[1] * 64])) + segment(frame, size + channels)
    whole = [segment(0xDA, bytes((1, n % 3 + 1, 0, 0, 63, 0))) + b"\0\0" for n in range(scans)]
    return b"\xff\xd8" + tables + between.join(whole) + b"\xff\xd9"


SEQUENTIAL, ARITHMETIC, PROGRESSIVE = 0xC0, 0xC9, 0xC2


@pytest.mark.parametrize("frame", [SEQUENTIAL, ARITHMETIC, PROGRESSIVE])
def test_scans_are_bounded_whatever_the_coding(frame: int) -> None:
    """Where all channels are not in the first, each is a pass over all pixels."""
    limits = DecodeSettings()
    assert checked_header(scanned(9_900, 15, frame=frame), limits).scans == 15
    for bomb in (scanned(9_900, 16, frame=frame), scanned(16, 201, frame=frame)):
        assert rejected(bomb) is RejectReason.CORRUPT


def test_what_a_segment_holds_is_no_marker() -> None:
    """Neither an end of the picture that hides the scans behind it, nor a scan."""
    end = segment(0xFE, b"\xff\xd9")
    assert rejected(scanned(16, 201, frame=PROGRESSIVE, between=end)) is RejectReason.CORRUPT
    start = segment(0xFE, b"\xff\xda" * 300)
    header = checked_header(scanned(16, 3, frame=PROGRESSIVE, between=start), DecodeSettings())
    assert header.scans == 3
    film = encoded(scene(), "JPEG", progressive=True) + b"\xff\xda" * 300
    assert checked_header(film, DecodeSettings()).scans < 15


def tiff_of(side: int, strip: bytes, compression: int, *more: tuple[int, int]) -> bytes:
    """A TIFF of one strip of grey, or of one tile, and further entries of whole numbers."""
    data = strip + bytes(len(strip) % 2)
    place = (324, 325) if any(tag == 322 for tag, _ in more) else (273, 279)
    numbers = [(256, side), (257, side), (258, 8), (259, compression), (262, 1), (277, 1)]
    entries = sorted([*numbers, (place[0], 8), (place[1], len(strip)), (278, side), *more])
    packed = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    directory = struct.pack("<H", len(entries)) + packed + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


def test_scans_of_a_jpeg_within_a_tiff_are_bounded() -> None:
    """Libtiff reads those by itself."""
    jpeg = encoded(scene(64, 64).convert("L"), "JPEG", progressive=True)
    start = jpeg.index(b"\xff\xda")
    assert prepare(tiff_of(64, jpeg, 7), limits=LIMITS, framing=Framing(SIZE)).width == 64
    bomb = jpeg[:start] + jpeg[start:-2] * 4 + b"\xff\xd9"
    assert rejected(tiff_of(64, bomb, 7)) is RejectReason.CORRUPT


def test_a_tile_larger_than_its_picture_counts() -> None:
    """It is unpacked whole, however little of it is the picture."""
    tile = zlib.compress(bytes(64 * 64))
    small = tiff_of(16, tile, 8, (322, 64), (323, 64))
    assert prepare(small, limits=LIMITS, framing=Framing(SIZE)).width == 16
    bomb = tiff_of(16, tile, 8, (322, 65_520), (323, 65_520))
    assert rejected(bomb) is RejectReason.TOO_MANY_PIXELS


def test_rendition_is_clean() -> None:
    """Upright, within the bound, no EXIF, no comment, nothing after the end, equal every time."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "at home"
    data = encoded(scene(), "JPEG", exif=exif, comment=b"secret") + b"PK\x03\x04 trailing"
    clean = render(data, limits=LIMITS, max_side=128)
    picture = Image.open(io.BytesIO(clean))
    assert picture.size == (96, 128)
    assert not picture.getexif()
    assert "comment" not in picture.info
    assert b"trailing" not in clean
    assert clean.endswith(b"\xff\xd9")
    assert render(data, limits=LIMITS, max_side=128) == clean


def test_rendition_never_enlarges() -> None:
    """A small picture keeps its size."""
    clean = render(encoded(scene(40, 30), "PNG"), limits=LIMITS, max_side=512)
    assert Image.open(io.BytesIO(clean)).size == (40, 30)


def test_broken_exif_is_no_reason_to_reject() -> None:
    """Garbage where EXIF should be leaves the picture as stored."""
    data = encoded(scene(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff garbage")
    assert distance(crop_of(data), crop_of(encoded(scene(), "PNG"))) < 4


ODD_PNG = png(1, 1, 8, 0, b"\x00\x80", png_chunk(b"acTL", bytes(8)))
"""An animation of no frames: Pillow reads the picture, and warns."""


def test_decoding_changes_no_filter_of_warnings() -> None:
    """They are the whole process's: every thread that decodes would change them for all others."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        before = list(warnings.filters)
        assert crop_of(ODD_PNG).shape == (SIZE, SIZE, 3)
        assert list(warnings.filters) == before


def test_odd_metadata_warns_nobody() -> None:
    """Not even where a process makes errors of warnings: the picture is whole."""
    script = f"""
from sightline.engine.records.framing import Framing
from sightline.engine.pictures.prepare import prepare
from sightline.engine.settings import DecodeSettings
prepare({ODD_PNG!r}, limits=DecodeSettings(), framing=Framing(32))
"""
    command = [sys.executable, "-W", "error::UserWarning", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
