"""Features of pictures: found by id, and made from what the store holds."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.engine.errors import ObjectDenied, PartUnavailable
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.pictures.prepare import prepare
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings
from sightline.schemas.searches import CropBox
from sightline.training.datasets.feature_cache import FeatureCache
from sightline.training.datasets.features import MISSING, PictureFeatures
from sightline.training.datasets.picture_features import FeatureMaker
from sightline.training.datasets.pictures import Picture
from tests.pictures import encoded, scene

FEATURES = PictureFeatures(
    images=("a", "b", "c"),
    features=np.arange(6, dtype=np.float32).reshape(3, 2),
    hashes=("0" * 64, "f" * 64, ""),
)


def test_rows_are_found_by_id() -> None:
    """In the order asked for; an unknown picture has none."""
    assert FEATURES.lookup(["c", "x", "a"]).tolist() == [2, MISSING, 0]


def test_some_of_the_pictures() -> None:
    """By number or mask, every column alike."""
    for rows in (np.array([0, 2]), np.array([True, False, True])):
        some = FEATURES.chosen(rows)
        assert (some.images, some.hashes) == (("a", "c"), ("0" * 64, ""))
        assert some.features.tolist() == [[0, 1], [4, 5]]


class Network:
    """A runtime whose features are the mean colour of the crop; it counts what it was given."""

    name, precision, batched = "fake", "fp32", False

    def __init__(self) -> None:
        self.seen = 0

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(n, size, size, 3) to (n, 3)."""
        self.seen += len(crops)
        means: NDArray[np.float32] = crops.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
        return means


class Guarded(MemoryObjectStore):
    """A store that does not hand out `closed`."""

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """As the store does, or with an error."""
        if key == "closed":
            raise ObjectDenied("no")
        return super().get(bucket, key, max_bytes=max_bytes)


LIMITS = DecodeSettings(max_bytes=200_000)
PICTURES = {name: encoded(scene(seed=seed), "PNG") for seed, name in enumerate("abcdefghijk")}


@pytest.fixture
def store() -> Guarded:
    """Eleven pictures, and objects that are none."""
    store = Guarded()
    store.ensure_bucket("b")
    for name, data in PICTURES.items():
        store.put("b", name, data)
    store.put("b", "text", b"no picture")
    store.put("b", "huge", bytes(200_001))
    return store


def maker(store: Guarded, network: Network, folder: Path, *, version: str = "1") -> FeatureMaker:
    """Three threads over a cache of this network."""
    return FeatureMaker(
        store=store,
        runtime=network,
        framing=Framing(32),
        limits=LIMITS,
        cache=FeatureCache(folder, version),
        threads=3,
    )


def stored(name: str, **changes: Any) -> Picture:
    """Where a picture lies, by its name."""
    return Picture(bucket="b", key=name, **changes)


def test_features_are_made_once(store: Guarded, tmp_path: Path) -> None:
    """Equal bits from the network and from the cache, in the order of ids, for one network."""
    network = Network()
    pictures = {name: stored(name) for name in PICTURES}
    first = maker(store, network, tmp_path).features_of(["k", *"jihgfedcba", "k"], pictures)
    again = maker(store, network, tmp_path).features_of(list(pictures), pictures)
    assert (network.seen, first.kept, again.kept) == (11, 0, 11)
    assert first.features.images == again.features.images == tuple("abcdefghijk")
    assert np.array_equal(first.features.features, again.features.features)
    assert first.features.hashes == again.features.hashes
    for at, data in enumerate(PICTURES.values()):
        prepared = prepare(data, limits=LIMITS, framing=Framing(32))
        assert first.features.hashes[at] == prepared.perceptual_hash
        expected = network.features(prepared.crop[None])[0]
        assert np.array_equal(first.features.features[at], expected)
    maker(store, other := Network(), tmp_path, version="2").features_of(list(pictures), pictures)
    assert other.seen == 11


def test_a_known_hash_needs_no_store(store: Guarded, tmp_path: Path) -> None:
    """Gone from the store, but its bytes were seen before."""
    known = {"a": stored("a", sha256=sha256(PICTURES["a"]).hexdigest())}
    maker(store, Network(), tmp_path).features_of(["a"], known)
    store.delete("b", "a")
    assert maker(store, Network(), tmp_path).features_of(["a"], known).kept == 1


def test_a_crop_is_another_picture(store: Guarded, tmp_path: Path) -> None:
    """Its features and hash are of that part."""
    box = CropBox(x=0, y=0, w=0.25, h=0.25)
    pictures = {"whole": stored("a"), "part": stored("a", crop=box)}
    made = maker(store, Network(), tmp_path).features_of(list(pictures), pictures)
    assert made.features.images == ("part", "whole")
    assert made.features.hashes[0] != made.features.hashes[1]
    assert made.features.hashes[0] == prepare(
        PICTURES["a"], limits=LIMITS, framing=Framing(32), box=box
    ).perceptual_hash  # fmt: skip


def test_what_is_gone_or_broken_is_counted_and_stops_no_other(
    store: Guarded, tmp_path: Path
) -> None:
    """One of each kind, and one that is well."""
    pictures = {
        "a": stored("a"),
        "gone": stored("gone"),
        "closed": stored("closed"),
        "text": stored("text"),
        "huge": stored("huge"),
        "other": stored("b", sha256="0" * 64),
    }
    made = maker(store, Network(), tmp_path).features_of([*pictures, "unknown"], pictures)
    assert made.features.images == ("a",)
    assert made.left_out == {
        "no_public_image": 1,
        "object_changed": 1,
        "object_denied": 1,
        "object_missing": 1,
        "too_many_bytes": 1,
        "unsupported_media": 1,
    }


def test_a_store_that_is_away_is_no_missing_picture(store: Guarded, tmp_path: Path) -> None:
    """What a run would train on must not depend on the weather."""
    store.down = True
    with pytest.raises(PartUnavailable):
        maker(store, Network(), tmp_path).features_of(["a"], {"a": stored("a")})


def test_a_damaged_file_of_the_cache_is_made_anew(store: Guarded, tmp_path: Path) -> None:
    """Half a file, as a full disk leaves it; and no draft stays behind."""
    pictures = {"a": stored("a")}
    maker(store, Network(), tmp_path).features_of(["a"], pictures)
    (file,) = (path for path in tmp_path.rglob("*") if path.is_file())
    whole = file.read_bytes()
    file.write_bytes(whole[:50])
    assert maker(store, Network(), tmp_path).features_of(["a"], pictures).kept == 0
    assert file.read_bytes() == whole


def test_no_pictures_are_no_rows(store: Guarded, tmp_path: Path) -> None:
    """Nothing asked, nothing found."""
    made = maker(store, Network(), tmp_path).features_of([], {})
    assert (len(made.features), made.left_out) == (0, {})
