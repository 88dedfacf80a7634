"""What a network sees of a picture: the centre square or all of it, and by which filter."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from sightline.engine.pictures.prepare import prepare
from sightline.engine.records.framing import Framing, Interpolation
from sightline.engine.settings import DecodeSettings
from tests.pictures import encoded, scene

LIMITS = DecodeSettings()
TALL = scene(120, 200, 3)
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def crop_of(framing: Framing) -> NDArray[np.uint8]:
    """What `prepare` makes of a picture of 120 x 200."""
    return prepare(encoded(TALL, "PNG"), limits=LIMITS, framing=framing).crop


def test_the_usual_framing_keeps_the_digest_of_indexes_made_before() -> None:
    """An index names it; another text for the same pixels would refuse every index there is."""
    told = "upright;srgb-by-profile;on-white;short-side=256/224;bilinear-antialias;centre-crop"
    expected = hashlib.sha256(f"{told};detail=2;size=224".encode()).hexdigest()
    assert Framing(224).digest == expected


def test_every_part_of_a_framing_names_another_space() -> None:
    """Size, resize and filter."""
    every = [
        Framing(224),
        Framing(299),
        Framing(224, 224),
        Framing(224, "stretch"),
        Framing(224, 224, "bicubic"),
        Framing(224, "stretch", "bicubic"),
    ]
    assert len({framing.digest for framing in every}) == len(every)


@pytest.mark.parametrize(("interpolation", "worst"), [("bilinear", 1), ("bicubic", 4)])
def test_a_centre_crop_is_cut_from_the_resized_picture(
    interpolation: Interpolation, worst: int
) -> None:
    """Short side to 60, then the middle 48 x 48: as resizing all and cutting then."""
    framing = Framing(48, 60, interpolation)
    whole = TALL.resize((60, 100), FILTERS[interpolation])
    expected = np.asarray(whole.crop((6, 26, 54, 74)), np.int16)
    off = np.abs(crop_of(framing) - expected)
    assert off.max() <= worst
    assert off.mean() < 0.05


def test_a_stretched_picture_is_seen_whole() -> None:
    """Both sides to the square's, whatever its shape."""
    expected = np.asarray(TALL.resize((48, 48), Image.Resampling.BICUBIC))
    assert np.array_equal(crop_of(Framing(48, "stretch", "bicubic")), expected)
