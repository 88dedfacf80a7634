"""What libtiff has to say of a stranger's picture is not said to the log."""

from __future__ import annotations

import random
import struct
from contextlib import suppress

import pillow_heif
import pytest

from sightline.engine.errors import BadImage
from sightline.engine.pictures.prepare import prepare, render
from sightline.engine.pictures.quiet_libtiff import quiet_libtiff
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from tests.nasty_files import FORMATS
from tests.pictures import encoded, scene

ROWS, WIDTH = 5_000, 300
FAX_3, FAX_4, LZW, JPEG = 3, 4, 5, 7


def tiff(compression: int, data: bytes) -> bytes:
    """A picture of one bit and one strip, packed in a way that libtiff unpacks."""
    long, short, at = 4, 3, 8 + 2 + 12 * 9 + 4
    tags = (
        *((256, long, WIDTH), (257, long, ROWS), (258, short, 1), (259, short, compression)),
        *((262, short, 0), (273, long, at), (277, short, 1), (278, long, ROWS)),
        (279, long, len(data)),
    )
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


@pytest.mark.parametrize("compression", [FAX_3, FAX_4, LZW, JPEG])
def test_a_broken_tiff_is_not_told_row_by_row(
    compression: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whether it is rejected or read as far as it goes: nothing of it reaches stderr."""
    data = tiff(compression, random.Random(5).randbytes(3_000))
    with suppress(BadImage):
        prepare(data, limits=DecodeSettings(), framing=Framing(32))
    with suppress(BadImage):
        render(data, limits=DecodeSettings(), max_side=320)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("image_format", FORMATS.values())
def test_no_decoder_writes_to_stderr(image_format: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Of no format, however its bytes are cut and changed."""
    pillow_heif.register_heif_opener()
    whole, chance = encoded(scene().resize((120, 90)), image_format), random.Random(7)
    for _ in range(30):
        data = bytearray(whole[: chance.randrange(len(whole) // 2, len(whole))])
        for _ in range(4):
            data[chance.randrange(len(data))] = chance.randrange(256)
        with suppress(BadImage):
            prepare(bytes(data), limits=DecodeSettings(), framing=Framing(32))
    assert capfd.readouterr().err == ""


def test_libtiff_is_found() -> None:
    """Wherever it lies; a repeat finds it again."""
    assert quiet_libtiff()
