"""A picture's embedded colour profile in, a conversion to sRGB out, for what people and nets see.

Profiles come from strangers: they are bounded in size, and one that cannot be used is ignored. A
profile that means sRGB, as most do, converts nothing: those pictures stay bit for bit as stored.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

import numpy as np
from PIL import Image, ImageCms

MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""The largest in use, of printing presses, have 2 to 3 MB; screens and cameras a few kB."""
_KEPT = 16
"""Conversions kept for the next picture; one from four inks holds some 7 MB of tables."""
_MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_CLASSES = {"scnr", "mntr", "prtr", "spac"}
_SAME_LEVELS = 2
"""The tables of the sRGB profiles in use differ by so many of 255 levels."""


class ColourUse(StrEnum):
    """What was done with a picture's embedded colour profile."""

    NONE = "none"
    """It has none: taken as sRGB."""
    SRGB = "srgb"
    """It means sRGB: nothing was done."""
    CONVERTED = "converted"
    """Pixels were converted to sRGB."""
    IGNORED = "ignored"
    """Broken, too large, or for other colours than the picture has: taken as sRGB."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """How the colours of one picture become sRGB."""

    use: ColourUse
    mode: str = "RGB"
    """Pillow's mode of the colours that go in."""
    transform: ImageCms.ImageCmsTransform | None = None

    def applied(self, image: Image.Image) -> Image.Image:
        """RGB pixels in sRGB; the very image where nothing is to be done."""
        if self.transform is None:
            return image if image.mode == "RGB" else image.convert("RGB")
        stored = image if image.mode == self.mode else image.convert(self.mode)
        converted = ImageCms.applyTransform(stored, self.transform)
        if converted is None:
            raise AssertionError("not in place, so that there is a picture")
        return converted


AS_STORED = Conversion(ColourUse.NONE)
_IGNORED = Conversion(ColourUse.IGNORED)
_SRGB = Conversion(ColourUse.SRGB)
_INKS = ("CMYK",)


def conversion_of(profile: bytes | None, image_mode: str) -> Conversion:
    """The conversion that a profile asks for, or why there is none.

    Args:
        profile: as embedded; None: the picture has none.
        image_mode: Pillow's mode of the decoded picture.
    """
    if profile is None:
        return AS_STORED
    if not 0 < len(profile) <= MAX_PROFILE_BYTES:
        return _IGNORED
    conversion = _CONVERSIONS.of(profile)
    if conversion.transform is None:
        return conversion
    is_grey = image_mode in {"1", "L", "LA", "La", "I", "F"} or image_mode.startswith("I;16")
    fits = {"CMYK": image_mode == "CMYK", "L": is_grey, "RGB": image_mode != "CMYK"}
    return conversion if fits[conversion.mode] else _IGNORED


class _Conversions:
    """The conversions of the profiles seen last; safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, Conversion] = OrderedDict()

    def of(self, profile: bytes) -> Conversion:
        digest = sha256(profile).digest()
        with self._lock:
            if (known := self._kept.get(digest)) is not None:
                self._kept.move_to_end(digest)
                return known
        made = _made(profile)
        with self._lock:
            self._kept[digest] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


_CONVERSIONS = _Conversions()


def _made(profile: bytes) -> Conversion:
    # littlecms refuses broken profiles with errors of several types, and Pillow adds its own.
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _MODES.get(source.profile.xcolor_space)
        if mode is None or source.profile.device_class.strip() not in _CLASSES:
            return _IGNORED
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        conversion = Conversion(ColourUse.CONVERTED, mode, transform)
        return _SRGB if _changes_nothing(conversion) else conversion
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError, AttributeError):
        return _IGNORED


def _changes_nothing(conversion: Conversion) -> bool:
    """Whether colours across the whole cube come out as they went in."""
    if conversion.mode in _INKS:
        return False
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    if conversion.mode == "L":
        probe = Image.fromarray(np.arange(256, dtype=np.uint8)[None, :])
    else:
        cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
        probe = Image.fromarray(cube.reshape(1, -1, 3))
    seen = np.asarray(conversion.applied(probe), dtype=np.int16)
    given = np.asarray(probe.convert("RGB"), dtype=np.int16)
    return int(np.abs(seen - given).max()) <= _SAME_LEVELS
