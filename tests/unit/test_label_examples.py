"""The worked examples of docs/labels.md, one test each."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sightline.engine.event_log.partitions import partition_of
from sightline.schemas import searches as contract
from sightline.schemas.envelope import Event
from sightline.schemas.interactions import Interaction, Kind
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.codecs.interactions import (
    Beacon,
    ImageQuery,
    Item,
    Page,
    Shown,
)
from sightline.stream_workers.labels.codecs.searches import Graded, Search
from sightline.stream_workers.labels.codecs.searches import decode_searches as decode_closed
from sightline.stream_workers.labels.codecs.triples import Mined
from sightline.stream_workers.labels.done_epochs import DoneEpochs, DoneRange
from sightline.stream_workers.labels.effects import FinishedEpochs, SideRow
from sightline.stream_workers.labels.join.bots import Activity
from sightline.stream_workers.labels.join.closing import Source, pack
from sightline.stream_workers.labels.join.core import JoinCore
from sightline.stream_workers.labels.join.counting import Counted, count
from sightline.stream_workers.labels.join.grading import grade
from sightline.stream_workers.labels.join.open_search import HeldBeacon, Impression, OpenSearch
from sightline.stream_workers.labels.mine.caps import cap_hot_anchors, cap_popular_negatives
from sightline.stream_workers.labels.mine.epoch import mine_epoch, mine_search, no_negatives
from sightline.stream_workers.labels.mine.negatives import negatives, positives
from sightline.stream_workers.labels.mine.triple_ids import triple_id
from sightline.stream_workers.labels.mine.votes import (
    cap_actors,
    one_vote_each,
    with_enough_actors,
)
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.safe_offset import OffsetGap, SafeOffset
from tests.label_world import far_hash, instant, near_hash

RULES = LabelRules()
MINUTE = 60_000
NOON = 1_772_366_400_000
ISSUED = NOON + 3 * MINUTE
SCORES = (0.96, 0.95, 0.94, 0.93, 0.92, 0.91)
PAGE = Page(
    search_id="s1",
    issued_at=instants.text(ISSUED),
    actor_id="ann",
    session_id="x",
    anchor_id="a",
    query=ImageQuery("a"),
    anchor_perceptual_hash=far_hash(99),
    shown=[Shown(f"p{n}", n, SCORES[n - 1], far_hash(n)) for n in range(1, 7)],
    model_digest="m",
    generation="g",
)


def _held(offset: int, *items: Item, received_ms: int = ISSUED + 1_000) -> HeldBeacon:
    times = (instants.text(ISSUED), "ann", instants.text(received_ms))
    return HeldBeacon(offset, ISSUED, received_ms, Beacon("s1", *times, list(items)))


def _item(kind: str, image: str, event_id: str = "", **facts: int) -> Item:
    facts.setdefault("since_answer_ms", 1_000)
    return Item(event_id or f"{kind}-{image}-{facts}", kind, image, **facts)  # type: ignore[arg-type]


def _count(*beacons: HeldBeacon) -> Counted:
    search = OpenSearch([Impression(1, "v1", ISSUED, PAGE)], list(beacons))
    return count(search, window_ms=RULES.window_ms)


def _graded(*items: Item) -> tuple[dict[str, Graded], int]:
    shown, examined = grade(_count(_held(2, *items)), RULES)
    return {image.image_id: image for image in shown}, examined


def _reasons(counted: Counted) -> list[tuple[int, str, str]]:
    return [(r.offset, o.event_id, o.reason) for r in counted.omitted for o in r.omitted]


def test_an_epoch_closes_when_stream_time_passes_its_end_and_both_waits() -> None:
    """12:00-12:10 is open at 12:45:00.000 and closed one millisecond later."""
    epoch = RULES.epoch_of(ISSUED)
    closes = NOON + 45 * MINUTE
    assert RULES.closes_at(epoch) == closes
    assert RULES.oldest_open(closes) == epoch
    assert RULES.oldest_open(closes + 1) == epoch + 1


def test_a_new_partition_begins_with_the_oldest_epoch_that_is_open() -> None:
    """First record at 12:46: 12:00 is closed at x = 0, and its impression is after_close."""
    core = JoinCore(RULES, Source("interactions.v1", 0, 2), DoneEpochs())
    value = _shown_event()
    effects = core.apply(0, NOON + 46 * MINUTE, value)
    finished, side = effects
    assert isinstance(finished, FinishedEpochs)
    epoch = RULES.epoch_of(NOON)
    assert finished.done == DoneRange(epoch, epoch, 0)
    assert isinstance(side, SideRow)
    assert b"after_close" in side.record.value


def test_own_time_ends_with_the_window() -> None:
    """1,800,000 ms after the answer is inside, one more is outside, whatever the arrival."""
    inside = _item("clicked", "p3", "in", since_answer_ms=1_800_000)
    outside = _item("clicked", "p3", "out", since_answer_ms=1_800_001)
    counted = _count(_held(2, inside, outside, received_ms=ISSUED - 1))
    assert [act.item.event_id for act in counted.acts] == ["in"]
    assert _reasons(counted) == [(2, "out", "outside_window")]


def test_of_two_copies_the_lowest_valid_one_counts() -> None:
    """Offset 10 outside the window, 11 inside: 11 counts, 10 is a duplicate."""
    outside = _item("clicked", "p3", "c7", since_answer_ms=2_000_000)
    inside = _item("clicked", "p3", "c7", since_answer_ms=5)
    assert _reasons(_count(_held(10, outside), _held(11, inside))) == [(10, "c7", "duplicate")]
    assert _reasons(_count(_held(10, outside), _held(11, outside))) == [
        (10, "c7", "outside_window"),
        (11, "c7", "duplicate"),
    ]


def test_a_click_at_another_position_was_not_shown() -> None:
    """The page showed p3 at 3, not at 4; what it did not show at all is the same reason."""
    counted = _count(_held(2, _item("clicked", "p3", "e", position=4), _item("liked", "p9", "f")))
    assert _reasons(counted) == [(2, "e", "not_shown"), (2, "f", "not_shown")]


@pytest.mark.parametrize(
    ("items", "wanted"),
    [
        ([_item("clicked", "p3")], 2),
        ([_item("clicked", "p3", dwell_ms=9_999)], 1),
        ([_item("clicked", "p3", dwell_ms=10_000)], 3),
        ([_item("clicked", "p3"), _item("liked", "p3")], 4),
        ([_item("liked", "p3"), _item("shared", "p3")], 5),
        ([_item("converted", "p3")], 5),
        ([_item("viewed", "p3", in_view_ms=9_000, dwell_ms=20_000)], 0),
        (
            [
                _item("clicked", "p3", since_answer_ms=10_000),
                _item("viewed", "p3", since_answer_ms=40_000, dwell_ms=25_000),
            ],
            3,
        ),
        (
            [
                _item("clicked", "p3", since_answer_ms=10_000),
                _item("viewed", "p3", since_answer_ms=5_000, dwell_ms=25_000),
            ],
            2,
        ),
    ],
)
def test_a_grade_is_the_highest_that_fits(items: list[Item], wanted: int) -> None:
    """Shares and conversions 5, likes 4, clicks 3 to 1 by dwell from the click on."""
    assert _graded(*items)[0]["p3"].grade == wanted


def test_the_examined_place_needs_a_second_in_view() -> None:
    """p5 was in view for 900 ms, p4 for 1,000: examined up to 4."""
    _, examined = _graded(
        _item("clicked", "p3"),
        _item("viewed", "p5", in_view_ms=900),
        _item("viewed", "p4", in_view_ms=1_000),
    )
    assert examined == 4


@pytest.mark.parametrize(
    ("activity", "verdict"),
    [
        (Activity(acts=25, shown=30, chosen=25), "too_complete"),
        (Activity(acts=24, shown=30, chosen=24), "person"),
        (Activity(acts=24, shown=24, chosen=24), "person"),
        (Activity(acts=121, shown=6, chosen=1), "too_many"),
        (Activity(acts=120, shown=6, chosen=1), "person"),
    ],
)
def test_bots_do_too_much_or_leave_nothing_out(activity: Activity, verdict: str) -> None:
    """Over 120 acts, or over 80 % of at least 30 shown."""
    assert activity.judged(RULES).verdict == verdict


def test_acts_of_every_kind_cover_a_page() -> None:
    """5 of 6 clicked, liked, shared or converted, none of them clicked twice: 83 %."""
    kinds = ("clicked", "liked", "shared", "converted", "liked")
    acts = [_item(kind, f"p{n}", f"e{n}") for n, kind in enumerate(kinds, 1)]
    activity, rules = Activity(), replace(RULES, bot_coverage_shown=6)
    activity.add("a", _count(_held(2, *acts, _item("viewed", "p6", "e6"))))
    assert activity.judged(rules) == ("too_complete", 5)


def _search(*items: Item) -> Search:
    graded, examined = _graded(*items)
    return Search(
        "s1", PAGE.issued_at, "ann", "a", PAGE.anchor_perceptual_hash, PAGE.query,
        "m", "g", "default", "person", examined, list(graded.values()),
    )  # fmt: skip


def test_negatives_were_seen_and_nobody_wanted_them() -> None:
    """p1 is near the positive, p2 was clicked by others: p4, p5 and p6 are left."""
    search = _search(_item("clicked", "p3"), _item("viewed", "p6", in_view_ms=1_000))
    search.shown[0].perceptual_hash = near_hash(3, 12)
    chosen = positives(search)
    assert [p.image_id for p in chosen] == ["p3"]
    found = negatives(search, chosen, {"p2"}, RULES)
    assert [n.image_id for n in found] == ["p4", "p5", "p6"]
    names = [name for name, _ in mine_search(search, {"p2"}, RULES)]
    assert names[0] == triple_id("2", "s1", "a", "p3", "p4")
    assert names[0] == "f928b472c5fcdcf8604ee965602897f0071ff276a9d43fa8f76b4ef3c5eeaea6"


def test_whoever_clicks_nearly_everything_keeps_nothing_from_being_a_negative() -> None:
    """Eve's nine images are not asked for; Bob's eight are, in whatever epochs he clicked them."""
    eve = {("eve", f"p{number}") for number in range(1, 10)}
    bob = {("bob", f"p{number}") for number in range(2, 10)}
    assert no_negatives(eve, RULES) == frozenset()
    assert no_negatives(eve | bob, RULES) == {image for _, image in bob}
    assert no_negatives(eve | {("ann", "p1")}, RULES) == {"p1"}
    assert no_negatives((), RULES) == frozenset()


def test_unexamined_images_never_become_negatives() -> None:
    """Examined up to 3 with p1 and p2 out: none is left."""
    search = _search(_item("clicked", "p3"))
    assert negatives(search, positives(search), {"p1", "p2"}, RULES) == []


def test_forty_bits_are_near_and_forty_one_are_not() -> None:
    """The bound belongs to the near side."""
    for bits, wanted in ((40, ["p2"]), (41, ["p1", "p2"])):
        search = _search(_item("clicked", "p3"))
        search.shown[0].perceptual_hash = near_hash(3, bits)
        assert [n.image_id for n in negatives(search, positives(search), (), RULES)] == wanted


def test_a_search_that_two_source_partitions_hold_teaches_once() -> None:
    """Its triples have the ids that they had: the first stay, in their order."""
    acts = _item("clicked", "p3"), _item("viewed", "p6", in_view_ms=1_000)
    once = mine_epoch([(0, _search(*acts))], [], RULES)
    assert [mined.negative_id for _, mined in once] == ["p1", "p2", "p4"]
    assert mine_epoch([(0, _search(*acts)), (1, _search(*acts))], [], RULES) == once


def _mined(negative: str) -> Mined:
    positive = Graded("p", 1, 0.9, "0" * 64, 2)
    return Mined(_search(), positive, Graded(negative, 2, 0.8, "0" * 64, 0))


def _vote(
    search_id: str, actor: str = "ann", grade: int = 2, negative: str = "n", pairs: int = 1
) -> tuple[str, Mined]:
    search = _search()
    search.search_id, search.actor_id, search.actor_pairs = search_id, actor, pairs
    mined = Mined(search, Graded("p", 1, 0.9, "0" * 64, grade), _mined(negative).negative)
    return triple_id("2", search_id, "a", "p", negative), mined


def test_an_actor_has_one_vote_for_an_image() -> None:
    """Ann clicks p on s1, likes it on s3 and s2: s2's triples, all of them, and Bob's."""
    triples = [
        _vote("s1"),
        _vote("s3", grade=4),
        _vote("s2", grade=4),
        _vote("s2", grade=4, negative="m"),
        _vote("s1", actor="bob"),
    ]
    kept = one_vote_each(triples[::-1])
    assert sorted(name for name, _ in kept) == sorted(name for name, _ in triples[2:])


def test_too_few_actors_teach_nothing() -> None:
    """With a minimum of 2, Ann alone does not; with Bob, who did so in an earlier epoch, she does.

    Her own second search does not make two of her.
    """
    triples, rules = [_vote("s1")], replace(RULES, min_actors=2)
    ann, bob = {("a", "p"): {"ann"}}, {("a", "p"): {"bob"}}
    assert with_enough_actors(triples, [ann, ann], rules) == []
    assert with_enough_actors(triples, [ann, bob], rules) == triples
    assert with_enough_actors(triples, [], RULES) == triples


def test_an_actor_weighs_no_more_than_so_many_pairs() -> None:
    """12 triples of an anchor at most; who acted on 60 pairs counts half for each."""
    triples = [_vote("s1", negative=f"n{n}", pairs=60) for n in range(20)] + [_vote("s2", "bob")]
    kept = cap_actors(triples, RULES)
    smallest = sorted(name for name, _ in triples[:20])[:12]
    assert sorted(name for name, _ in kept) == sorted([*smallest, triples[20][0]])
    assert [mined.sampling_weight for _, mined in kept] == [0.5] * 12 + [1.0]


def test_hot_anchors_give_nothing_back_as_weight() -> None:
    """Of 500 triples the 200 smallest ids stay, in whatever order, and weigh what they did."""
    triples = [(f"{n:064x}", _mined(f"n{n}")) for n in range(500)]
    kept = cap_hot_anchors(triples[::-1], RULES)
    assert [name for name, _ in kept] == [name for name, _ in triples[:200]][::-1]
    assert {mined.sampling_weight for _, mined in kept} == {1.0}


def test_popular_negatives_are_cut_by_the_smallest_ids() -> None:
    """Of 230 triples with p9 the 200 smallest ids stay; others lose nothing."""
    triples = [(f"{n:064x}", _mined("p9")) for n in range(230)] + [("f" * 64, _mined("p1"))]
    kept = cap_popular_negatives(triples, RULES)
    assert [name for name, _ in kept] == [name for name, _ in triples[:200]] + ["f" * 64]


def test_fifty_searches_share_a_record() -> None:
    """70 and 60 searches of two partitions: records of 50, 50, 20 and 10."""
    source = Source("interactions.v1", 3, 2)
    other = next(name for name in "bcdefgh" if partition_of(name, 2) != partition_of("a", 2))
    searches = []
    for count_, anchor in ((70, "a"), (60, other)):
        for n in range(count_):
            search = _search()
            search.search_id, search.anchor_id = f"{anchor}{n:03}", anchor
            searches.append(search)
    records = list(pack(searches, source=source, epoch=7, time=instants.text(NOON)))
    sizes = sorted(len(decode_closed(r.value).data.searches) for r in records)  # type: ignore[union-attr]
    assert len({r.partition for r in records}) == 2
    assert sizes == [10, 20, 50, 50]


def test_the_safe_offset_waits_for_what_is_needed() -> None:
    """Held rows, open epochs and pending sides hold it; a gap ends everything."""
    offsets = SafeOffset()
    assert offsets.safe(()) is None
    for offset in range(40, 72):
        offsets.accept(offset)
    assert offsets.safe((58, 40, 71)) == 40
    assert offsets.safe((58,)) == 58
    offsets.hold(50)
    assert offsets.safe((58,)) == 50
    offsets.settle(50)
    assert offsets.safe(()) == 72
    with pytest.raises(OffsetGap, match="expected offset 72, got 74"):
        offsets.accept(74)


def _shown_event() -> bytes:
    data = contract.ResultsShown(
        search_id="s1",
        issued_at=instant(ISSUED),
        actor_id="ann",
        session_id="x",
        anchor_id="a",
        query=contract.ImageQuery(image_id="a"),
        anchor_perceptual_hash=far_hash(99),
        shown=(),
        model_digest="m",
        generation="g",
    )
    event: Event[contract.ResultsShown] = Event.of(
        data, event_id="v1", source="urn:test", time=instant(ISSUED) + timedelta(seconds=1)
    )
    return event.encode()


def test_interactions_are_bounded() -> None:
    """A dwell below zero or of a week breaks the contract."""
    for dwell in (-1, 7 * 86_400_000):
        with pytest.raises(ValueError, match="dwell_ms"):
            Interaction(event_id="e", kind=Kind.CLICKED, image_id="i", dwell_ms=dwell)
