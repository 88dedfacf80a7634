"""Colour profiles for tests, written by hand after ICC.1:2001-04: primaries and one curve."""

from __future__ import annotations

import struct

Primaries = tuple[tuple[float, float, float], ...]
"""XYZ of red, green and blue, adapted to D50; one triple only: grey."""

PRIMARIES: dict[str, Primaries] = {
    "wide": ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)),
    "wider": ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249)),
    "swapped": ((0.1431, 0.0606, 0.7141), (0.3851, 0.7169, 0.0971), (0.4361, 0.2225, 0.0139)),
    "srgb-like": ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)),
}
GREY: Primaries = ((0.9642, 1.0, 0.8249),)
_WHITE = (0.9642, 1.0, 0.8249)


def profile(primaries: Primaries, *, gamma: float | None = 2.2) -> bytes:
    """A display profile; `gamma` None: the curve of sRGB in 1,024 steps."""
    is_grey = len(primaries) == 1
    tags = {b"wtpt": _xyz(_WHITE), b"desc": _text(b"test"), b"cprt": b"text" + bytes(4) + b"none\0"}
    if is_grey:
        tags[b"kTRC"] = _curve(gamma)
    else:
        for letter, xyz in zip(b"rgb", primaries, strict=True):
            tags[bytes([letter]) + b"XYZ"] = _xyz(xyz)
            tags[bytes([letter]) + b"TRC"] = _curve(gamma)
    return _file(tags, b"GRAY" if is_grey else b"RGB ")


def in_gif(data: bytes, icc: bytes) -> bytes:
    """The GIF with a profile in an extension before its picture."""
    at = 13 + (3 << (data[10] & 7) + 1)
    parts = (icc[start : start + 255] for start in range(0, len(icc), 255))
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    return data[:at] + b"!\xff\x0bICCRGBG1012" + blocks + b"\0" + data[at:]


def in_bmp(data: bytes, icc: bytes, *, space: bytes = b"DEBM") -> bytes:
    """The BMP of 24 bits under a BITMAPV5HEADER, with a profile behind its pixels."""
    pixels = data[54:]
    end = 14 + 124 + len(pixels)
    head = struct.pack("<2sI4xII", b"BM", end + len(icc), 138, 124) + data[18:54] + bytes(16)
    head += space + bytes(48) + struct.pack("<IIII", 4, 124 + len(pixels), len(icc), 0)
    return head + pixels + icc


def _file(tags: dict[bytes, bytes], space: bytes) -> bytes:
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        padded = value + bytes(-len(value) % 4)
        table += name + struct.pack(">II", at + len(body), len(value))
        body += padded
    size = at + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"test", 0x02400000, b"mntr", space, b"XYZ ")
    head += struct.pack(">6H4s", 2026, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + _xyz(_WHITE)[8:]
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + table + body


def _xyz(values: tuple[float, float, float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65_536) for value in values))


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    levels = [_linear(step / 1023) for step in range(1024)]
    return b"curv" + struct.pack(">II1024H", 0, 1024, *(round(x * 65_535) for x in levels))


def _linear(level: float) -> float:
    """IEC 61966-2-1."""
    return level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4


def _text(text: bytes) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 78)
