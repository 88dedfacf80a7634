"""Embedded colour profiles: what is embedded, hashed and shown is what the profile means."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms

from sightline.engine.pictures.colour import MAX_PROFILE_BYTES, ColourUse, conversion_of
from sightline.engine.pictures.prepare import prepare, render
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from tests.icc import GREY, PRIMARIES, in_bmp, in_gif, profile
from tests.pictures import decoded_to_srgb, encoded, scene

LIMITS = DecodeSettings()
FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 98, "subsampling": "4:4:4"},
    "HEIF": {"quality": 98, "chroma": 444},
    "GIF": {},
    "BMP": {},
}
BY_HAND = {"GIF": in_gif, "BMP": in_bmp}
"""Pillow writes no profile into these."""


@cache
def srgb() -> bytes:
    """The profile of sRGB itself."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@cache
def patches() -> Image.Image:
    """48 colours well inside the cube: 320 x 240."""
    colours = np.random.default_rng(2).integers(20, 236, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(np.kron(colours, np.ones((40, 40, 1), dtype=np.uint8)))


def converted(picture: Image.Image, icc: bytes) -> NDArray[np.int16]:
    """The slow way: all of it, by littlecms."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    target = ImageCms.createProfile("sRGB")
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    done = ImageCms.profileToProfile(picture, source, target, intent, "RGB")
    assert done is not None
    return np.asarray(done, dtype=np.int16)


def stored(picture: Image.Image, image_format: str, icc: bytes | None) -> bytes:
    """A file with that profile."""
    if image_format == "HEIF":
        pillow_heif.register_heif_opener()
    if icc is not None and image_format in BY_HAND:
        return BY_HAND[image_format](encoded(picture, image_format), icc)
    more: dict[str, Any] = {} if icc is None else {"icc_profile": icc}
    return encoded(picture, image_format, **FORMATS.get(image_format, {}), **more)


def off(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Root mean square of 255 levels."""
    return float(np.sqrt(((one.astype(float) - other.astype(float)) ** 2).mean()))


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("space", ["wide", "wider", "swapped"])
def test_pixels_mean_what_the_profile_says(space: str, image_format: str) -> None:
    """In the vector's crop and in the rendition, whatever the format."""
    icc = profile(PRIMARIES[space])
    data = stored(patches(), image_format, icc)
    plain = np.asarray(patches(), dtype=np.int16)
    wanted = converted(patches(), icc)
    assert off(plain, wanted) > 6
    decoded = decoded_to_srgb(data)
    assert off(np.asarray(decoded.image), wanted) < 3
    rendition = Image.open(io.BytesIO(render(data, limits=LIMITS, max_side=1600)))
    assert off(np.asarray(rendition)[20::40, 20::40], wanted[20::40, 20::40]) < 3
    assert "icc_profile" not in rendition.info
    prepared = prepare(data, limits=LIMITS, framing=Framing(224))
    same = prepare(
        encoded(Image.fromarray(wanted.astype(np.uint8)), "PNG"),
        limits=LIMITS,
        framing=Framing(224),
    )
    assert off(prepared.crop, same.crop) < 5  # resized before, not after
    assert prepared.colours is ColourUse.CONVERTED


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("icc", [srgb, lambda: profile(PRIMARIES["srgb-like"], gamma=None)])
def test_srgb_pictures_are_untouched(icc: Callable[[], bytes], image_format: str) -> None:
    """Bit for bit, with whichever profile that means sRGB."""
    with_profile = prepare(
        stored(scene(), image_format, icc()), limits=LIMITS, framing=Framing(224)
    )
    without = prepare(stored(scene(), image_format, None), limits=LIMITS, framing=Framing(224))
    assert (with_profile.crop == without.crop).all()
    assert with_profile.perceptual_hash == without.perceptual_hash
    assert (with_profile.colours, without.colours) == (ColourUse.SRGB, ColourUse.NONE)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF"])
def test_grey_has_profiles_too(image_format: str) -> None:
    """A grey of gamma 1 is brighter than its numbers."""
    grey = scene().convert("L")
    icc = profile(GREY, gamma=1.0)
    decoded = decoded_to_srgb(stored(grey, image_format, icc))
    assert decoded.colours is ColourUse.CONVERTED
    assert off(np.asarray(decoded.image), converted(grey, icc)) < 3


@pytest.mark.parametrize(("mode", "image_format"), [("L", "PNG"), ("LA", "PNG"), ("P", "PNG")])
def test_a_grey_or_palette_picture_may_have_a_profile_of_rgb(mode: str, image_format: str) -> None:
    """Grey stays grey; a palette's colours are converted."""
    icc = profile(PRIMARIES["wide"])
    picture = scene().convert(mode)
    decoded = decoded_to_srgb(stored(picture, image_format, icc))
    assert decoded.colours is ColourUse.CONVERTED
    assert off(np.asarray(decoded.image), converted(picture.convert("RGB"), icc)) < 1


def test_colours_are_converted_before_they_mix_with_white() -> None:
    """Half-transparent red of the swapped primaries is half-transparent blue on white."""
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    data = stored(picture, "PNG", profile(PRIMARIES["swapped"]))
    level = np.asarray(decoded_to_srgb(data).image)[0, 0]
    assert level.tolist() == pytest.approx([127, 127, 255], abs=8)


def test_large_pictures_are_converted_in_bands() -> None:
    """As small ones are, also with alpha."""
    icc = profile(PRIMARIES["swapped"])
    large = Image.new("RGBA", (2_500, 2_000), (200, 30, 30, 255))
    data = stored(large, "PNG", icc)
    level = np.asarray(decoded_to_srgb(data).image)
    wanted = converted(Image.new("RGB", (1, 1), (200, 30, 30)), icc)[0, 0]
    assert (level == wanted).all()


def parts(jpeg: bytes, *numbered: tuple[int, int, bytes]) -> bytes:
    """A JPEG whose profile lies in these segments."""
    segments = b"".join(
        b"\xff\xe2" + (16 + len(body)).to_bytes(2, "big") + b"ICC_PROFILE\0" + bytes((n, of)) + body
        for n, of, body in numbered
    )
    return jpeg[:2] + segments + jpeg[2:]


def test_a_profile_may_come_in_parts_in_any_order() -> None:
    """Each JPEG segment holds 64 KB; where one is missing or doubled the profile is ignored."""
    icc = profile(PRIMARIES["swapped"])
    half, jpeg = len(icc) // 2, encoded(scene(), "JPEG")
    one, two = (1, 2, icc[:half]), (2, 2, icc[half:])
    for segments, use in (
        ((one, two), ColourUse.CONVERTED),
        ((two, one), ColourUse.CONVERTED),
        ((one,), ColourUse.IGNORED),
        ((one, one), ColourUse.IGNORED),
        ((one, two, two), ColourUse.IGNORED),
        (((0, 0, icc),), ColourUse.IGNORED),
    ):
        assert decoded_to_srgb(parts(jpeg, *segments)).colours is use


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_what_cannot_be_used_is_ignored(mode: str) -> None:
    """Broken, empty, too large, or of other colours than the picture has."""
    good = profile(PRIMARIES["swapped"])
    for icc in (b"", b"profile", good[:200], good + bytes(MAX_PROFILE_BYTES)):
        assert conversion_of(icc, mode).use is ColourUse.IGNORED
    assert conversion_of(profile(GREY), "RGB").use is ColourUse.IGNORED
    assert conversion_of(good, "CMYK").use is ColourUse.IGNORED
    link = good[:12] + b"link" + good[16:]
    assert conversion_of(link, mode).use is ColourUse.IGNORED


def test_a_broken_profile_costs_no_picture() -> None:
    """It is shown as stored."""
    for image_format in FORMATS:
        data = stored(scene(), image_format, b"no profile at all")
        decoded = decoded_to_srgb(data)
        assert off(np.asarray(decoded.image), np.asarray(scene())) < 5
        assert decoded.colours is not ColourUse.CONVERTED


@pytest.mark.parametrize("space", [b"KNIL", b"BGRs", b" niW"])
def test_a_bmp_names_files_and_spaces_in_vain(space: bytes) -> None:
    """A linked profile is a path of the writer's machine: it is not opened; others are sRGB."""
    data = in_bmp(encoded(scene(), "BMP"), b"C:\\profile.icc\0", space=space)
    assert decoded_to_srgb(data).colours is ColourUse.NONE


def test_a_profile_that_its_file_cuts_is_ignored() -> None:
    """In a GIF and in a BMP, whatever they claim of its length."""
    icc = profile(PRIMARIES["wide"])
    cut = in_bmp(encoded(scene(), "BMP"), icc)[:-200]
    assert decoded_to_srgb(cut).colours is ColourUse.IGNORED
    short = in_gif(encoded(scene(), "GIF"), icc[:-200])
    assert decoded_to_srgb(short).colours is ColourUse.IGNORED


@given(data=st.data())
def test_mutilated_profiles_raise_nothing(data: st.DataObject) -> None:
    """Whatever bytes say that they are a profile, a picture comes out."""
    icc = bytearray(profile(PRIMARIES[data.draw(st.sampled_from(sorted(PRIMARIES)))]))
    place = st.integers(0, len(icc) - 1)
    for at, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=12)):
        icc[at] = value
    conversion = conversion_of(
        bytes(icc[: data.draw(place)] if data.draw(st.booleans()) else icc), "RGB"
    )
    assert conversion.applied(scene(16, 12)).size == (16, 12)
