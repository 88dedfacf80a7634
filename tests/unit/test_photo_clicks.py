from __future__ import annotations

from random import Random

import numpy as np
import pytest

from benchmarks.photo_clicks import (
    CLEAN,
    DEFAULT,
    Clicks,
    Habits,
    NearestPhotos,
    catalogue_of,
    clicks_on,
    mined,
    triple_table,
)
from benchmarks.photo_features import LabelledPhotos
from sightline.stream_workers.labels.rules import LabelRules

RULES = LabelRules()


def _photos(labels: int = 4, each: int = 10) -> LabelledPhotos:
    """Labels lie in clouds that overlap."""
    random = np.random.default_rng(3)
    count = labels * each
    centres = np.repeat(random.normal(size=(labels, 16)), each, axis=0)
    hashes = [f"{random.bytes(32).hex()}" for _ in range(count)]
    names = np.repeat([f"label-{n}" for n in range(labels)], each)
    return LabelledPhotos(
        images=np.array([f"photo-{n}" for n in range(count)]),
        labels=names,
        families=np.array(["all"] * count),
        splits=np.array(["train"] * count),
        hashes=np.array(hashes),
        features=(centres + random.normal(size=(count, 16))).astype(np.float32),
    )


def _clicks(habits: Habits) -> Clicks:
    photos = _photos()
    catalogue = catalogue_of(photos, photos.features, "m1")
    return clicks_on(catalogue, habits, 300, RULES, seed=1)


@pytest.fixture(scope="module")
def clicks() -> Clicks:
    """What default people do on pages of drawn vectors."""
    return _clicks(DEFAULT)


def test_photos_are_ranked_by_cosine() -> None:
    """As a sort of all cosines does it; never the photo itself, never more than there are."""
    photos = _photos()
    unit = photos.features / np.linalg.norm(photos.features, axis=1, keepdims=True)
    nearest = NearestPhotos(photos.images.tolist(), photos.features)
    slow = sorted(((float(unit[5] @ unit[n]), n) for n in range(40) if n != 5), reverse=True)
    found = nearest("photo-5", 100)
    assert [name for name, _ in found] == [f"photo-{n}" for _, n in slow]
    assert [score for _, score in found] == pytest.approx([score for score, _ in slow], abs=1e-6)
    assert nearest("photo-5", 3) == found[:3]


def test_the_first_clicks_are_the_earliest(clicks: Clicks) -> None:
    """Whole searches, just enough of them, none older left out; more than all is all."""
    part = clicks.first(100)
    assert 100 <= part.count < 124
    assert clicks.first(10**9).searches == clicks.searches
    kept = [search for each in part.epochs.values() for _, search in each]
    rest = [search for each in clicks.epochs.values() for _, search in each]
    last = max(search.issued_at for search in kept)
    assert {s.search_id for s in rest if s.issued_at < last} <= {s.search_id for s in kept}


def test_clean_people_click_what_is_right() -> None:
    """And nothing else; so every positive is one."""
    clean = _clicks(CLEAN)
    triples = [triple for _, each in mined(clean, RULES) for _, triple in each]
    assert triples
    assert all(clean.truth.is_relevant(t.anchor_id, t.positive_id) for t in triples)


def test_the_table_has_the_mined_triples(clicks: Clicks) -> None:
    """Each once, as its event says it."""
    table = triple_table(mined(clicks, RULES), RULES)
    names = [name for _, each in mined(clicks, RULES) for name, _ in each]
    assert table["triple_id"].to_pylist() == names
    assert set(table["model_digest"].to_pylist()) == {"m1"}


def test_families_are_half_answers_only_where_asked() -> None:
    """Else a photo answers or does not."""
    photos = _photos()
    for families in (False, True):
        catalogue = catalogue_of(photos, photos.features, "m1", families=families)
        assert {picture.family for picture in catalogue.pictures} == ({"all"} if families else {""})
    page = catalogue.ranking(catalogue.pictures[0], Random(1))
    assert len(page) == 24
