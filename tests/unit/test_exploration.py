"""Pages that chance varies: how far, how often, for whom, and what position bias gains by it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.clock import ManualClock
from sightline.engine.exploration import explored_variant, is_explored, swapped, with_newcomer
from sightline.engine.records import Hit
from sightline.engine.search_ids import IssuedSearch, SearchIds
from sightline.engine.settings import ApiSettings
from sightline.producers.click_simulator.catalogue import CatalogueShape, SimulatedCatalogue
from sightline.producers.click_simulator.simulated_log import SimulatedLog, Site
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.search_api.http.request_fields import ImageSearch
from sightline.search_api.search.exploring import BELOW, Exploring
from sightline.search_api.search.rerank import RankedPage
from sightline.training.propensity.fit import FitSettings, fit
from sightline.training.propensity.views import Views
from tests.label_rows import graded, search
from tests.unit.test_rerank import hit

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIELDS = ImageSearch(image_id="anchor")
SECRET = b"the secret of us all"
IDS = SearchIds(SECRET)
NONCE_BYTES = 12
LOOKED = [1.0, 0.8, 0.6, 0.45, 0.35, 0.28]


@given(st.integers(0, 30), st.integers(0, 2**32))
def test_nothing_moves_by_more_than_one_place(length: int, seed: int) -> None:
    """Nothing is lost, and the same chance gives the same page."""
    page = swapped(range(length), Random(seed))
    assert sorted(page) == list(range(length))
    assert all(abs(image - place) <= 1 for place, image in enumerate(page))
    assert page == swapped(range(length), Random(seed))


def test_every_place_is_compared_with_the_next() -> None:
    """Each two neighbours change places in a quarter of the pages."""
    pages = [swapped(range(6), Random(seed)) for seed in range(4_000)]
    for place in range(5):
        share = sum(page[place] == place + 1 and page[place + 1] == place for page in pages) / 4_000
        assert share == pytest.approx(0.25, abs=0.03)


@given(st.integers(0, 9), st.integers(0, 3), st.integers(0, 2**32))
def test_a_newcomer_takes_one_place(length: int, newcomers: int, seed: int) -> None:
    """Any but the first; all others keep their order, and the last one goes."""
    page = with_newcomer(range(length), [f"new{n}" for n in range(newcomers)], Random(seed))
    assert len(page) == length
    if not newcomers or length < 2:
        assert page == tuple(range(length))
        return
    (place,) = [at for at, image in enumerate(page) if isinstance(image, str)]
    assert place > 0
    assert (*page[:place], *page[place + 1 :]) == tuple(range(length - 1))


def exploring(share: float, secret: bytes = SECRET, **settings: float) -> Exploring:
    """By a chance that a secret seeds."""
    asked = ApiSettings(explore_share=share, **settings)
    return Exploring(asked, ManualClock(NOW), SearchIds(secret))


def test_it_is_off_unless_somebody_wants_it() -> None:
    """No page is varied by default, and no `exact` one ever, nor one of an experiment."""
    assert exploring(ApiSettings().explore_share).nonce(FIELDS, "default") is None
    every = exploring(1)
    assert every.chance(every.nonce(FIELDS, "default")) is not None
    assert every.nonce(FIELDS, "clicks-in-may.control") is None
    assert every.nonce(FIELDS.model_copy(update={"exact": True}), "default") is None
    assert every.chance(None) is None


def nonces(count: int) -> Iterator[bytes]:
    """As the system might draw them, and the same in every run."""
    random = Random(1)
    return (random.randbytes(NONCE_BYTES) for _ in range(count))


def test_each_search_has_a_chance_of_its_own() -> None:
    """Two that ask the same thing never share what seeds it."""
    every = exploring(1)
    drawn = {every.nonce(FIELDS, "default") for _ in range(20)}
    assert [len(nonce) for nonce in drawn if nonce] == [NONCE_BYTES] * 20


def test_so_large_a_share_of_the_searches_is_varied() -> None:
    """Each in a way of its own."""
    some = exploring(0.2)
    drawn = [chance for chance in map(some.chance, nonces(2_000)) if chance]
    assert len(drawn) / 2_000 == pytest.approx(0.2, abs=0.03)
    assert len({chance.random() for chance in drawn}) == len(drawn)


def test_a_search_is_varied_the_same_again_by_whoever_has_the_secret() -> None:
    """In any process, from its id; with another secret, as for who searches, it tells nothing."""
    found = RankedPage(hits=tuple(listed(f"old{n}", 30) for n in range(24)), removed={})
    one, again, other = exploring(1), exploring(1), exploring(1, b"what a searcher tries")
    issued = IssuedSearch(issued_at=NOW, actor_id="a", anchor_id="b", variant="default.explored")
    pages = set()
    for nonce in nonces(20):
        page, same, guess = (
            each.varied(found, 24, chance).hits
            for each in (one, again, other)
            if (chance := each.chance(nonce))
        )
        assert page == same != guess
        told = IDS.chance_of(IDS.issue(issued, nonce))
        assert told is not None
        told.random()
        assert one.varied(found, 24, told).hits == page
        pages.add(tuple(each.image.image_id for each in page))
    assert len(pages) == 20
    assert IDS.chance_of(SearchIds(b"what a searcher tries").issue(issued)) is None
    assert IDS.chance_of("nonsense") is None


def listed(name: str, days: float | None) -> Hit:
    """A result that has been listed for so many days; None: nobody knows."""
    since = None if days is None else NOW - timedelta(days=days)
    found = hit(name, 1, 1)
    return replace(found, image=replace(found.image, since=since))


def test_what_is_new_may_come_up_from_below_the_page() -> None:
    """Not what is old, or whose age nobody knows; the page stays as long, and is marked."""
    explorer, old = exploring(1), [listed(f"old{n}", 30) for n in range(8)]
    below = [listed("unknown", None), listed("week", 8), listed("new", 2)]
    found = RankedPage(hits=(*old, *below), removed={"duplicate": 2})
    seen: Counter[str] = Counter()
    for seed in range(50):
        page = explorer.varied(found, 8, Random(seed))
        assert (len(page.hits), page.explored, page.removed) == (8, True, {"duplicate": 2})
        seen.update(hit.image.image_id for hit in page.hits)
    assert {"old0", "new"} <= {name for name, times in seen.items() if times == 50}
    assert not {"unknown", "week", "old7"} & set(seen)
    assert explorer.below == BELOW
    assert exploring(1, explore_new_s=0).below == 0


def test_a_varied_page_is_an_arm_of_its_own() -> None:
    """Its name says of which arm it is."""
    assert is_explored(explored_variant("blue"))
    assert not is_explored("blue")


def test_a_simulated_site_varies_pages_too() -> None:
    """On a share of the searches, marked, with places in order; else pages are as without it."""
    shape = CatalogueShape(labels=5, images_per_label=8, page=10, candidates=20)

    def pages(share: float) -> list[ResultsShown]:
        log = SimulatedLog(SimulatedCatalogue(shape, 3), Site(explored=share), seed=1)
        told = (decode(record.value).data for record in log.records(400, end_ms=1))
        return [each for each in told if isinstance(each, ResultsShown)]

    plain, varied = pages(0), pages(0.5)
    assert not any(is_explored(page.variant) for page in plain)
    share = sum(is_explored(page.variant) for page in varied) / len(varied)
    assert share == pytest.approx(0.5, abs=0.15)
    for page in varied:
        assert [image.position for image in page.shown] == list(range(1, len(page.shown) + 1))
        scores = [image.score for image in page.shown]
        assert is_explored(page.variant) or scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("share", "searches", "known"), [(0.0, 2_000, 0), (0.5, 9_000, 6)])
def test_position_bias_is_known_where_pages_vary(share: float, searches: int, known: int) -> None:
    """Of one page an anchor the fit knows nothing; with swaps it finds every place's bias."""
    random, views = Random(1), Views()
    relevance = {(a, i): random.uniform(0.2, 0.9) for a in range(60) for i in range(6)}
    for _ in range(searches):
        anchor, explored = random.randrange(60), random.random() < share
        order = swapped(range(6), random) if explored else range(6)
        page = []
        for place, image in enumerate(order):
            seen = random.random() < LOOKED[place]
            clicks = int(seen and random.random() < relevance[anchor, image])
            page.append(graded(f"i{image}", place + 1, clicks=clicks))
        variant = explored_variant("default") if explored else "default"
        views.add(search("s", *page, anchor_id=f"a{anchor}", variant=variant), 7)
    curve = fit(views, FitSettings(bootstrap=20), now=NOW, topics=())
    assert curve.explored == views.explored
    assert (curve.explored > 0) == (share > 0)
    assert sum(place.fitted for place in curve.positions) == known
    if known:
        found = [place.propensity for place in curve.positions]
        assert found == pytest.approx(LOOKED, rel=0.2)
