"""Position bias: recovered where it can be known, weight 1 and a reason where it cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from sightline.engine.label_data.propensity import (
    PREFIX,
    PositionBias,
    PropensityCurve,
    latest_curve,
    load_curve,
    picture_key,
    store_curve,
)
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.infra.commands.propensity_lines import propensity_lines
from sightline.schemas.labels import SearchesClosed, Verdict
from sightline.training.propensity.fit import FitSettings, fit, harvest, log_bias
from sightline.training.propensity.picture import propensity_picture
from sightline.training.propensity.views import Views, views_of
from tests.label_rows import closed, closed_message, graded, marker, search

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TRUTH = [1.0, 0.8, 0.6, 0.45, 0.35, 0.28]


def clicked_views(random: Random, *, searches: int, anchors: int, shuffle: bool = True) -> Views:
    """Pages of six images; examined by `TRUTH`, relevance of (anchor, image) fixed."""
    views = Views()
    relevance = {(a, i): random.uniform(0.05, 0.9) for a in range(anchors) for i in range(6)}
    for _ in range(searches):
        anchor = random.randrange(anchors)
        order = list(range(6))
        if shuffle:
            first, second = random.sample(range(6), 2)
            order[first], order[second] = order[second], order[first]
        page = []
        for place, image in enumerate(order):
            looked = random.random() < TRUTH[place]
            clicks = int(looked and random.random() < relevance[anchor, image])
            page.append(graded(f"i{image}", place + 1, clicks=clicks))
        views.add(search("s", *page, anchor_id=f"a{anchor}"), 7)
    return views


def fitted(views: Views, **changes: float) -> PropensityCurve:
    """With the usual settings."""
    settings = FitSettings(**{"bootstrap": 60, **changes})  # type: ignore[arg-type]
    return fit(views, settings, now=NOW, topics=("searches.closed.v1",))


def test_the_curve_is_recovered_from_images_at_several_places() -> None:
    """Within a tenth of the truth, intervals around it nearly everywhere, weights its inverse."""
    curve = fitted(clicked_views(Random(1), searches=8_000, anchors=60))
    found = [place.propensity or 0 for place in curve.positions]
    assert found == pytest.approx(TRUTH, rel=0.1)
    inside = [
        (place.low or 0) <= truth <= (place.high or 0)
        for place, truth in zip(curve.positions, TRUTH, strict=True)
    ]
    assert sum(inside) >= 5
    assert curve.fitted
    assert curve.weight(6) == pytest.approx(1 / found[5], rel=1e-3)
    assert curve.weight(1) == 1
    assert curve.weight(99) == 1


def test_of_two_places_it_is_the_ratio_of_the_paper() -> None:
    """Clicks ÷ times shown, summed over the images seen at both: here 0.9 to 1.5."""
    views = Views()
    views.images = {
        ("a", "x"): {1: (2, 2), 2: (4, 2)},
        ("a", "y"): {1: (2, 1), 2: (5, 2)},
        ("a", "z"): {2: (9, 9)},
    }
    data = harvest(views)
    assert np.exp(log_bias(data, np.ones(len(data.anchor)))) == pytest.approx([1, 0.9 / 1.5])


def test_a_place_is_tied_to_the_first_through_others() -> None:
    """Seen at 1 and 2, and at 2 and 3, but never at 1 and 3: the ratios multiply."""
    views = Views()
    views.images = {
        ("a", "x"): {1: (10, 8), 2: (10, 4)},
        ("a", "y"): {2: (10, 6), 3: (10, 3)},
        ("a", "z"): {4: (10, 5), 5: (10, 5)},
    }
    data = harvest(views)
    bias = np.exp(log_bias(data, np.ones(len(data.anchor))))
    assert bias[:3] == pytest.approx([1, 0.5, 0.25])
    assert np.isnan(bias[3:]).all()


def test_without_images_at_several_places_every_weight_is_one() -> None:
    """A ranking that never changes says nothing of the places, and the curve says so."""
    curve = fitted(clicked_views(Random(2), searches=2_000, anchors=5, shuffle=False))
    assert not curve.fitted
    assert {place.weight for place in curve.positions} == {1.0}
    assert all(place.why for place in curve.positions)
    assert b"too little is known" in propensity_picture(curve)


def test_too_few_clicks_and_too_wide_intervals_weigh_one() -> None:
    """Each with what was missing."""
    views = clicked_views(Random(3), searches=60, anchors=3)
    few = fitted(views, min_pairs=1, min_clicks=10_000)
    assert {place.why for place in few.positions if "clicks" not in (place.why or "")} == set()
    wide = fitted(views, min_pairs=1, min_clicks=1, max_spread=1.0001)
    assert any("interval" in (place.why or "") for place in wide.positions)
    assert {place.weight for place in wide.positions} == {1.0}


def test_weights_are_clipped() -> None:
    """A place that hardly anybody looks at does not drown the others."""
    curve = fitted(clicked_views(Random(1), searches=8_000, anchors=60), max_weight=2.0)
    assert max(place.weight for place in curve.positions) == 2.0


def test_places_that_lack_the_same_share_a_line() -> None:
    """Between those that are known; with the least and the most that there was."""
    known = PositionBias(position=1, fitted=True, propensity=1, low=0.9, high=1.1)
    whys = [f"{n} images were also shown elsewhere, 50 are needed" for n in (30, 2, 7)]
    whys += ["no images tie this place to the first", "9 clicks on such images, 30 are needed"]
    lacking = [PositionBias(position=n, fitted=False, why=why) for n, why in enumerate(whys, 2)]
    curve = fitted(Views()).model_copy(update={"positions": (known, *lacking)})
    assert [line.strip() for line in propensity_lines(curve)] == [
        "1  1.000 (0.900 to 1.100)",
        "2-4  weight 1: 2 to 30 images were also shown elsewhere, 50 are needed",
        "5  weight 1: no images tie this place to the first",
        "6  weight 1: 9 clicks on such images, 30 are needed",
        "too little is known: every weight is 1",
    ]


def test_a_fit_does_not_depend_on_the_order_of_reading() -> None:
    """Partitions come as they like: the same searches give the same curve, intervals too."""
    random = Random(5)
    searches = []
    for number in range(400):
        images = random.sample(range(6), 6)
        page = [graded(f"i{i}", n, clicks=random.randrange(2)) for n, i in enumerate(images, 1)]
        searches.append(search(f"s{number}", *page, anchor_id=f"a{number % 9}"))
    records = [closed_message(closed(0, 7, one), n, n % 3) for n, one in enumerate(searches)]
    records.append(closed_message(marker(0, 7), 9, 0))
    curve = fitted(views_of(records), min_pairs=1, min_clicks=1)
    assert curve.fitted
    random.shuffle(records)
    assert fitted(views_of(records), min_pairs=1, min_clicks=1) == curve


def test_nothing_at_all_is_an_empty_curve() -> None:
    """A deployment without searches."""
    curve = fitted(Views())
    assert not curve.fitted
    assert ET.fromstring(propensity_picture(curve)).tag.endswith("svg")  # noqa: S314 - our own


def test_only_people_in_closed_epochs_count_and_each_search_once() -> None:
    """Bots, open epochs and repeats are left out; unreadable records are passed over."""
    person, bot = search("s1", graded("p", 1)), search("s2", verdict=Verdict.TOO_MANY)
    records: list[SearchesClosed] = [
        closed(0, 7, person, bot),
        closed(0, 7, person),
        closed(0, 8, search("s3")),
        closed(1, 7, search("s4")),
    ]
    messages = [closed_message(data, n, 0) for n, data in enumerate(records)]
    messages.append(closed_message(marker(0, 7), 9, 0))
    views = views_of(messages)
    assert (views.searches, views.first_epoch, views.last_epoch) == (1, 7, 7)
    assert views.images == {("lamp-4700", "p"): {1: (1, 0)}}


def test_fits_are_versions_and_the_same_fit_is_stored_once(tmp_path: Path) -> None:
    """Nothing is overwritten; the picture lies beside the numbers and shows the intervals."""
    store = DirectoryObjectStore(tmp_path)
    store.ensure_bucket("b-b")
    curve = fitted(clicked_views(Random(1), searches=3_000, anchors=30))
    drawn = propensity_picture(curve)
    assert latest_curve(store, "b-b") is None
    first = store_curve(store, "b-b", curve, drawn)
    later = curve.model_copy(update={"fitted_at": datetime(2026, 4, 1, tzinfo=UTC)})
    assert store_curve(store, "b-b", later, drawn) == first
    second = store_curve(store, "b-b", curve.model_copy(update={"searches": 1}), drawn)
    assert (first.version, second.version) == (1, 2)
    assert load_curve(store, "b-b", 1) == first
    assert latest_curve(store, "b-b") == second
    assert len(list(store.list("b-b", PREFIX))) == 4
    root = ET.fromstring(store.get("b-b", picture_key(1)))  # noqa: S314 - our own
    circles = [element for element in root.iter() if element.tag.endswith("circle")]
    assert len(circles) == len(curve.positions)
