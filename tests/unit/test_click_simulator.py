from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Overloaded, Part, PartUnavailable, PermanentError
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.event_log.partitions import partition_of
from sightline.producers.click_simulator.api_driver import ApiDriver
from sightline.producers.click_simulator.attack import Attack, Sabotage
from sightline.producers.click_simulator.catalogue import (
    CatalogueShape,
    SimulatedCatalogue,
    SimulatedPicture,
)
from sightline.producers.click_simulator.ranked_catalogue import RankedCatalogue
from sightline.producers.click_simulator.simulated_log import (
    SimulatedLog,
    SimulatedRecord,
    Site,
)
from sightline.producers.click_simulator.topic_driver import TopicDriver
from sightline.producers.click_simulator.truth import Truth
from sightline.producers.click_simulator.user_model import UserModel, Visitor, visit
from sightline.schemas.interactions import ClockTicked, Kind, ResultsInteracted
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import INTERACTIONS_IMPORTED

SHAPE = CatalogueShape(labels=5, images_per_label=8, page=10, candidates=20)


def _log(seed: int = 1) -> SimulatedLog:
    return SimulatedLog(SimulatedCatalogue(SHAPE, 3), Site(actors=50), seed=seed)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """And another seed gives others."""
    first = list(_log().records(200, end_ms=1))
    assert first == list(_log().records(200, end_ms=1))
    assert first != list(_log(2).records(200, end_ms=1))


def test_records_come_in_order_with_ticks_and_keep_their_contracts() -> None:
    """Timestamps never go back; everything decodes; what was asked for comes, then a tick."""
    records = list(_log().records(300, end_ms=9_000))
    times = [record.timestamp_ms for record in records]
    kinds = Counter(type(decode(record.value).data) for record in records)
    assert times == sorted(times)
    assert kinds[ResultsShown] + kinds[ResultsInteracted] == 300
    assert kinds[ClockTicked] > 2
    assert records[-1].key is None
    assert times[-1] - times[-2] == 9_000


def test_the_log_has_repeats_overtaking_and_late_records() -> None:
    """Some events come twice, some beacons before their page, some very late."""
    records = [r for r in _log().records(2_000, end_ms=1) if r.key]
    events = [decode(record.value) for record in records]
    ids = Counter(event.id for event in events)
    shown: set[str] = set()
    early = 0
    for event in events:
        if isinstance(event.data, ResultsShown):
            shown.add(event.data.search_id)
        else:
            early += event.data.search_id not in shown
    late = [
        record
        for record, event in zip(records, events, strict=True)
        if record.timestamp_ms - event.time.timestamp() * 1_000 > 300_000
    ]
    assert max(ids.values()) == 2
    assert early
    assert late


def test_nothing_published_carries_the_truth(tmp_path: Path) -> None:
    """No label and no word of bots is in any record; the truth is in its own file."""
    log = _log()
    text = b"".join(record.value for record in log.records(300, end_ms=1))
    assert b"label-" not in text
    assert not any(visitor.value.encode() in text for visitor in Visitor)
    log.truth.write(tmp_path / "truth.jsonl")
    lines = (tmp_path / "truth.jsonl").read_text().splitlines()
    assert len(lines) == 1 + len(log.truth.searches)
    assert json.loads(lines[0])["labels"]["picture-0-0"] == "label-0"


def test_people_click_what_is_relevant_and_near_the_top() -> None:
    """Click rates follow relevance, looks follow the position, dwell follows relevance."""
    random = Random(5)
    relevant = [n % 2 == 0 for n in range(20)]
    clicks: Counter[bool] = Counter()
    looked: Counter[int] = Counter()
    for _ in range(3_000):
        done = visit(relevant, Visitor.PERSON, UserModel(), random)
        looked.update(range(1, done.examined + 1))
        clicks.update(relevant[a.position - 1] for a in done.acts if a.kind is Kind.CLICKED)
    assert clicks[True] > 8 * clicks[False]
    assert looked[1] == 3_000
    assert looked[10] / 3_000 == pytest.approx(0.9**9, abs=0.03)


def test_bots_leave_nothing_out_or_never_stop() -> None:
    """A crawler opens every result; a hammer clicks 200 times; an empty page gives nothing."""
    crawl = visit([False] * 30, Visitor.CRAWLER, UserModel(), Random(1))
    hammer = visit([False] * 30, Visitor.HAMMER, UserModel(), Random(1))
    assert {act.position for act in crawl.acts} == set(range(1, 31))
    assert len(hammer.acts) == 200
    assert len({act.position for act in hammer.acts}) <= 3
    assert all(visit([], visitor, UserModel(), Random(1)).acts == [] for visitor in Visitor)


def test_an_attacker_wants_one_image_and_looks_at_all() -> None:
    """The target stands last on a page of one anchor; a crowd has several names."""
    catalogue = SimulatedCatalogue(SHAPE, 3)
    anchor, target = catalogue.pictures[0], catalogue.pictures[-1]
    attack = Attack(anchor=anchor, target=target, share=1.0, sessions=3, acts=2)
    log = SimulatedLog(catalogue, Site(attack=attack), seed=1)
    records = [record for record in log.records(200, end_ms=1) if record.key]
    told = [decode(record.value).data for record in records]
    pages = [data for data in told if isinstance(data, ResultsShown)]
    assert {page.anchor_id for page in pages} == {anchor.image_id}
    assert {page.shown[-1].image_id for page in pages} == {target.image_id}
    assert all(
        [image.position for image in page.shown] == list(range(1, len(page.shown) + 1))
        and len({image.image_id for image in page.shown}) == len(page.shown)
        for page in pages
    )
    assert {page.actor_id for page in pages} == {"visitor-0", "visitor-1", "visitor-2"}
    items = [item for data in told if isinstance(data, ResultsInteracted) for item in data.items]
    wanted = [item.image_id for item in items if item.kind is Kind.CONVERTED]
    assert set(wanted) == {target.image_id}
    assert {search.visitor for search in log.truth.searches.values()} == {"attacker"}


def test_a_crowd_may_attack_everything() -> None:
    """Many anchors, each with an image of another label in the last place, by many sessions."""
    catalogue = SimulatedCatalogue(SHAPE, 3)
    few = catalogue.pictures[::7]
    crowd = Sabotage(pictures=catalogue.pictures, targets=few, share=1.0, sessions=9)
    log = SimulatedLog(catalogue, Site(attack=crowd), seed=1)
    told = [decode(record.value).data for record in log.records(300, end_ms=1) if record.key]
    pages = [data for data in told if isinstance(data, ResultsShown)]
    assert len({page.anchor_id for page in pages}) > 10
    assert {page.shown[-1].image_id for page in pages} <= {picture.image_id for picture in few}
    for page in pages:
        assert not log.truth.is_relevant(page.anchor_id, page.shown[-1].image_id)
    assert len({page.actor_id for page in pages}) == 9


def test_an_attacker_may_use_a_name() -> None:
    """What it does counts as another's, where somebody lets it."""
    catalogue = SimulatedCatalogue(SHAPE, 3)
    pictures = catalogue.pictures
    attack = Attack(anchor=pictures[0], target=pictures[-1], in_the_name_of="ann")
    log = SimulatedLog(catalogue, seed=1)
    assert {key for _, key, _ in log.attacked(1_000, attack)} == {"ann"}


@dataclass
class _Answer:
    status_code: int
    body: Any

    def json(self) -> Any:
        return self.body


@dataclass
class _Api:
    """Answers searches with a fixed page; remembers beacons."""

    status: int = 200
    sent: list[Any] = field(default_factory=list)

    def post(self, url: str, *, json: Any) -> _Answer:
        if self.status != 200:
            return _Answer(self.status, {"title": "no"})
        if url == "/v1/interactions":
            self.sent.append(json)
            return _Answer(202, {})
        results = [{"image_id": f"i{n}", "position": n} for n in range(1, 6)]
        return _Answer(200, {"search_id": "s", "feedback": True, "results": results})


def test_people_use_the_real_api() -> None:
    """They search, and send what they did with positions and times, under the search's id."""
    api = _Api()
    driver = ApiDriver(api, {"a": "cat"} | {f"i{n}": "cat" for n in range(1, 6)}, seed=4)
    acts = driver.search_and_click("a", session_id="x")
    items = [item for beacon in api.sent for item in beacon["items"]]
    assert len(items) == acts > 0
    assert {beacon["search_id"] for beacon in api.sent} == {"s"}
    assert len({item["event_id"] for item in items}) == acts
    assert all(item["image_id"] == f"i{item['position']}" for item in items)
    assert driver.truth.searches["s"].visitor == "person"


@pytest.mark.parametrize(
    ("status", "error"), [(503, Overloaded), (500, PartUnavailable), (404, PermanentError)]
)
def test_what_the_api_refuses_is_told(status: int, error: type[Exception]) -> None:
    """Overload, failure and refusal are told apart."""
    with pytest.raises(error, match=str(status)):
        ApiDriver(_Api(status), {}).search_and_click("a", session_id="x")


def test_the_topic_driver_keeps_times_and_rate() -> None:
    """Record timestamps are the simulated ones; ticks go to every partition; the rate holds."""
    clock, topic = ManualClock(), INTERACTIONS_IMPORTED.name
    broker = MemoryBroker([INTERACTIONS_IMPORTED], 3, clock=clock)
    producer = MemoryEventProducer(broker)
    producer.refusals = [Overloaded(Part.BROKER, "full")]
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(seconds)

    driver = TopicDriver(producer, topic=topic, partitions=3, clock=clock, wait=wait)
    records = [SimulatedRecord(1_000, "k", b"1"), SimulatedRecord(2_000, None, b"2")]
    assert driver.run(records * 5, per_s=10) == 20
    for partition in range(3):
        keyed = [("k", 1.0)] if partition == partition_of("k", 3) else []
        written = [m for m in broker.records(topic) if m.partition == partition]
        times = [(m.key_text, m.timestamp.timestamp()) for m in written]
        assert times == [*keyed, ("tick", 2.0)] * 5
    assert sum(waits) == pytest.approx(1.7)


def _pictures(count: int) -> list[SimulatedPicture]:
    """Unlike pictures of two labels in one family, and of one label in none."""
    random = Random(7)
    kinds = [("cat", "pet"), ("dog", "pet"), ("car", "")]
    return [
        SimulatedPicture(f"i{n}", label, f"{random.getrandbits(256):064x}", family=family)
        for n in range(count)
        for label, family in [kinds[n % 3]]
    ]


@dataclass
class _Ranker:
    """Ranks by number, and remembers how many were asked for."""

    order: list[str]
    asked: list[int] = field(default_factory=list)

    def __call__(self, image_id: str, limit: int, /) -> list[tuple[str, float]]:
        self.asked.append(limit)
        others = [each for each in self.order if each != image_id]
        return [(each, 1.0 - place / 100) for place, each in enumerate(others)][:limit]


def _ranked(pictures: list[SimulatedPicture], page: int = 4) -> tuple[RankedCatalogue, _Ranker]:
    ranker = _Ranker([picture.image_id for picture in pictures])
    return RankedCatalogue(pictures, ranker, model_digest="m1", page=page), ranker


def test_a_real_page_is_the_rankers() -> None:
    """Its order and scores stay, positions count from 1; it is ranked once an anchor."""
    catalogue, ranker = _ranked(_pictures(9))
    page = catalogue.ranking(catalogue.pictures[2], Random(1))
    assert [(image.image_id, image.position, image.score) for image in page] == [
        ("i0", 1, 1.0),
        ("i1", 2, 0.99),
        ("i3", 3, 0.98),
        ("i4", 4, 0.97),
    ]
    assert catalogue.ranking(catalogue.pictures[2], Random(2)) is page
    assert len(ranker.asked) == 1


def test_a_real_page_shows_no_look_alikes() -> None:
    """None of the anchor's and one of each other's, however many there are; the page stays full."""
    far = _pictures(7)
    copies = [far[1]._replace(image_id=f"copy-{n}") for n in range(40)]
    of_anchor = far[0]._replace(image_id="anchor-again")
    catalogue, ranker = _ranked([far[0], of_anchor, far[1], *copies, *far[2:]])
    page = catalogue.ranking(far[0], Random(1))
    assert [image.image_id for image in page] == ["i1", "i2", "i3", "i4"]
    assert len(ranker.asked) > 1


def test_a_real_page_is_short_where_little_is_left() -> None:
    """Unknown images are not shown, and a flat picture, whose hash says nothing, is like none."""
    flat = [SimulatedPicture(name, "cat", "0" * 64) for name in ("a", "b", "c")]
    ranker = _Ranker(["a", "b", "gone", "c"])
    catalogue = RankedCatalogue(flat, ranker, model_digest="m1")
    page = catalogue.ranking(flat[0], Random(1))
    assert [image.image_id for image in page] == ["b", "c"]


def test_a_log_of_real_pages_names_the_model() -> None:
    """The impressions say who ranked; the same seed gives the same bytes."""
    records = [
        list(SimulatedLog(_ranked(_pictures(30))[0], seed=3).records(60, end_ms=1))
        for _ in range(2)
    ]
    assert records[0] == records[1]
    told = [decode(record.value).data for record in records[0]]
    assert {data.model_digest for data in told if isinstance(data, ResultsShown)} == {"m1"}


def test_an_image_of_the_family_is_half_an_answer() -> None:
    """1 for the label, `akin` for the family, 0 for the rest, which includes what is unknown."""
    truth = Truth(akin=0.4)
    truth.learn(_pictures(6))
    assert [truth.relevance("i0", f"i{n}") for n in range(6)] == [1.0, 0.4, 0.0, 1.0, 0.4, 0.0]
    assert truth.relevance("i2", "i5") == 1.0
    assert truth.relevance("i2", "i0") == 0.0
    assert truth.relevance("i0", "who") == truth.relevance("who", "i0") == 0.0


def test_clicks_and_dwell_follow_the_relevance() -> None:
    """What is half an answer is clicked and stayed with less than a whole one, more than none."""
    random = Random(5)
    clicks: Counter[int] = Counter()
    dwell: Counter[int] = Counter()
    wanted: Counter[int] = Counter()
    for _ in range(3_000):
        for act in visit([1.0, 0.5, 0.0], Visitor.PERSON, UserModel(), random).acts:
            clicks[act.position] += act.kind is Kind.CLICKED
            wanted[act.position] += act.kind in (Kind.LIKED, Kind.SHARED, Kind.CONVERTED)
            dwell[act.position] += act.dwell_ms or 0
    assert clicks[1] > 1.5 * clicks[2] > 3 * clicks[3] > 0
    assert dwell[1] / clicks[1] > dwell[2] / clicks[2] > dwell[3] / clicks[3]
    assert wanted[1] > 1.5 * wanted[2] > 0 == wanted[3]
