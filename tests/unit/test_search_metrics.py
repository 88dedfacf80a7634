"""Closed searches to metrics: folded when complete, the same after restarts, added up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.engine.clock import ManualClock
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.search_stats import Folded, Period, SearchStats
from sightline.engine.label_data.search_stats_follower import SearchStatsFollower
from sightline.engine.metrics import Metrics
from sightline.engine.records import ProducerRecord
from sightline.schemas.labels import EpochClosed, SearchesClosed, Verdict
from sightline.schemas.registry import decode
from sightline.schemas.search_metrics import SearchMetricsCounted
from sightline.schemas.topics import SEARCH_METRICS
from sightline.stream_workers.labels.metrics.daily_actors import DailyActors
from sightline.stream_workers.labels.metrics.fold import MetricsFold
from tests.label_rows import (
    EPOCH_MS,
    closed,
    counted,
    encoded,
    graded,
    marker,
    search,
)

EPOCH = 100
TARGETS = 2


def fold_of() -> MetricsFold:
    """A fresh one."""
    actors = DailyActors(b"a secret")
    return MetricsFold("interactions.v1", targets=TARGETS, epoch_ms=EPOCH_MS, actors=actors)


def read(
    fold: MetricsFold, records: list[tuple[int, int, SearchesClosed | EpochClosed]]
) -> list[SearchMetricsCounted]:
    """What comes of (partition, offset, record)s."""
    told = []
    for partition, offset, data in records:
        if isinstance(data, SearchesClosed):
            fold.take_searches(partition, data)
        else:
            told += fold.take_marker(partition, offset, data)
            fold.published(data.source_partition)
    return told


def begun(source: int = 0) -> list[tuple[int, int, SearchesClosed | EpochClosed]]:
    """The marker of the epoch before the first, in every partition."""
    return [(partition, 0, marker(source, EPOCH - 1)) for partition in range(TARGETS)]


def test_the_example_of_the_documentation() -> None:
    """6 shown, `p3` clicked twice, `p4` once: CTR 2/6, clicks per search 3."""
    page = [graded(f"p{n}", n) for n in (1, 2, 5, 6)]
    page += [
        graded("p3", 3, clicks=2, grade=3, dwell_ms=12_000),
        graded("p4", 4, clicks=1, grade=5, conversions=1),
    ]
    records = [
        *begun(),
        (0, 1, closed(0, EPOCH, search("s1", *page))),
        (0, 2, marker(0, EPOCH)),
        (1, 1, marker(0, EPOCH)),
    ]
    (counted,) = read(fold_of(), records)
    assert (counted.images_shown, counted.images_clicked, counted.clicks) == (6, 2, 3)
    assert (counted.dwell_ms, counted.dwells, counted.searches_converted) == (12_000, 1, 1)
    assert counted.epoch_start == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=1000)
    stats = SearchStats()
    stats.add(counted)
    (folded,) = stats.fold(Period.DAY)
    assert folded.figures["ctr"] == pytest.approx(2 / 6)
    assert folded.figures["clicks_per_search"] == 3
    assert folded.figures["dwell_per_user_day_s"] == 12


def test_nothing_is_told_before_every_partition_has_said_it_is_closed() -> None:
    """Its searches lie on all of them."""
    fold = fold_of()
    told = read(fold, [*begun(), (0, 1, closed(0, EPOCH, search("s1"))), (0, 2, marker(0, EPOCH))])
    assert told == []
    assert fold.open_searches == 1
    told = read(fold, [(1, 1, closed(0, EPOCH, search("s2"))), (1, 2, marker(0, EPOCH))])
    assert [one.searches for one in told] == [2]
    assert fold.open_searches == 0


def test_a_name_in_the_metrics_holds_for_a_day() -> None:
    """The same person in two epochs of a day is one, the next day another; the secret decides."""
    noon = datetime(2026, 11, 28, 12, tzinfo=UTC)
    actors = DailyActors(b"a secret")
    today = {actors.name("ann", noon + timedelta(hours=hours)) for hours in (-12, 0, 11)}
    assert len(today) == 1
    assert today.isdisjoint({actors.name("ann", noon + timedelta(hours=12))})
    assert today.isdisjoint({actors.name("bob", noon), DailyActors(b"another").name("ann", noon)})
    assert today.isdisjoint({sha256(b"ann").hexdigest()[:16]})


def test_bots_are_counted_apart_and_empty_pages_are_counted() -> None:
    """A bot's clicks are in no figure."""
    bot = search("s1", graded("p", 1, clicks=50), verdict=Verdict.TOO_MANY, actor_id="bot")
    records = [
        *begun(),
        (0, 1, closed(0, EPOCH, bot, search("s2"))),
        (0, 2, marker(0, EPOCH)),
        (1, 1, marker(0, EPOCH)),
    ]
    (counted,) = read(fold_of(), records)
    assert (counted.searches, counted.bot_searches, counted.empty_searches) == (1, 1, 1)
    assert (counted.images_shown, counted.clicks, len(counted.actors)) == (0, 0, 1)


def test_models_and_variants_are_apart() -> None:
    """One record each."""
    searches = [search("s1"), search("s2", variant="b"), search("s3", model_digest="m2")]
    records = [
        *begun(),
        (0, 1, closed(0, EPOCH, *searches)),
        (0, 2, marker(0, EPOCH)),
        (1, 1, marker(0, EPOCH)),
    ]
    told = read(fold_of(), records)
    assert len({one.subject for one in told}) == 3


def test_an_epoch_whose_beginning_was_not_read_is_left_out() -> None:
    """Retention or an old commit took a part of it: a part must not overwrite the whole."""
    records: list[tuple[int, int, SearchesClosed | EpochClosed]] = [
        (0, 5, closed(0, EPOCH, search("s2"))),
        (0, 6, marker(0, EPOCH)),
        (1, 4, marker(0, EPOCH - 1)),
        (1, 5, marker(0, EPOCH)),
        (0, 7, closed(0, EPOCH + 1, search("s3"))),
        (0, 8, marker(0, EPOCH + 1)),
        (1, 6, marker(0, EPOCH + 1)),
    ]
    told = read(fold_of(), records)
    assert [(one.epoch, one.searches) for one in told] == [(EPOCH + 1, 1)]


Log = list[list[SearchesClosed | EpochClosed]]


def a_log(random: Random, *, sources: int = 2, epochs: int = 4) -> Log:
    """What joins write: in order per source, sometimes an epoch again, partitions interleaved."""
    log: Log = [[] for _ in range(TARGETS)]
    turns = [source for source in range(sources) for _ in range(epochs + 1)]
    random.shuffle(turns)
    at = dict.fromkeys(range(sources), EPOCH - 1)
    for source in turns:
        epoch = at[source]
        at[source] += 1
        names = [f"s{source}-{epoch}-{n}" for n in range(random.randrange(4))]
        for _ in range(random.choice((1, 1, 2))):
            for number, name in enumerate(names if epoch >= EPOCH else []):
                partition = (number + epoch) % TARGETS
                variant = "b" if number % 3 == 2 else "a"
                page = [graded("p", 1, clicks=number)]
                log[partition].append(closed(source, epoch, search(name, *page, variant=variant)))
            for partition in range(TARGETS):
                log[partition].append(marker(source, epoch))
    return log


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_restarts_anywhere_tell_the_same_values(seed: int) -> None:
    """Killed at random and begun again at its safe offsets, the topic ends as in one calm run."""
    random = Random(seed)
    log = a_log(random)
    calm = {
        one.subject: one for one in read(fold_of(), interleaved(log, Random(seed), [0] * TARGETS))
    }
    stormy: dict[str, SearchMetricsCounted] = {}
    committed = [0] * TARGETS
    for life in range(6):
        fold = fold_of()
        steps = list(interleaved(log, random, committed))
        until = len(steps) if life == 5 else random.randrange(len(steps) + 1)
        for partition, offset, data in steps[:until]:
            for one in read(fold, [(partition, offset, data)]):
                assert stormy.setdefault(one.subject, one) == one
            if random.random() < 0.2:
                for place, safe in fold.safe_offsets().items():
                    committed[place] = max(committed[place], safe)
    assert stormy == calm


def interleaved(
    log: Log, random: Random, starts: list[int]
) -> list[tuple[int, int, SearchesClosed | EpochClosed]]:
    """Each partition in order, the partitions by chance."""
    places = list(starts)
    found = []
    while any(place < len(part) for place, part in zip(places, log, strict=True)):
        partition = random.choice([p for p in range(TARGETS) if places[p] < len(log[p])])
        found.append((partition, places[partition], log[partition][places[partition]]))
        places[partition] += 1
    return found


def test_readers_add_up_and_fold_days_weeks_and_months() -> None:
    """A repeat replaces; weeks begin on Monday; people are counted once a day."""
    stats = SearchStats()
    for day in (1, 2, 3, 31):
        stats.add(counted(day))
    stats.add(counted(2))
    stats.add(counted(2, source_partition=1, actors=("1" * 16, "2" * 16)))
    days = stats.fold(Period.DAY)
    assert [(folded.start.day, folded.sums["searches"]) for folded in days if folded.start] == [
        (1, 4),
        (2, 8),
        (3, 4),
        (31, 4),
    ]
    assert days[1].user_days == 3
    weeks = stats.fold(Period.WEEK)
    assert [folded.sums["searches"] for folded in weeks] == [4, 12, 4]
    (month,) = stats.fold(Period.MONTH)
    assert month.figures["ctr"] == pytest.approx(25 / 100)
    assert month.figures["empty_rate"] == pytest.approx(0.25)
    assert month.figures["conversion_rate"] == pytest.approx(0.25)
    assert month.figures["dwell_per_user_day_s"] == pytest.approx(150 / 9)
    (late,) = stats.fold(Period.ALL, since=datetime(2026, 3, 31, tzinfo=UTC))
    assert late.sums["searches"] == 4
    assert stats.fold(Period.ALL, until=datetime(2026, 3, 1, tzinfo=UTC)) == []


def hourly(day: int, hour: int, **changes: Any) -> SearchMetricsCounted:
    """Metrics of an epoch of an hour of March 2026."""
    start = datetime(2026, 3, day, hour, tzinfo=UTC)
    return counted(day, epoch=day * 24 + hour, epoch_start=start, **changes)


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_days_that_are_packed_count_as_the_records_do(seed: int) -> None:
    """In any order, with repeats: the same sums, rates and user-days by day, week and month."""
    random = Random(seed)
    records = [
        hourly(
            random.randrange(1, 29),
            random.randrange(24),
            source_partition=random.randrange(3),
            variant=random.choice("ab"),
            actors=tuple(sorted(f"{random.randrange(5):016x}" for _ in range(2))),
        )
        for _ in range(40)
    ]
    records = list({one.subject: one for one in records}.values())
    packed = SearchStats()
    for one in random.choices(records, k=30) + random.sample(records, len(records)):
        packed.add(one)
    for period in Period:
        wanted: dict[tuple[datetime | None, str], Folded] = {}
        for one in records:
            key = (period.start_of(one.epoch_start), one.variant)
            wanted.setdefault(key, Folded(key[0], one.variant, one.model_digest)).add(one)
        found = {(folded.start, folded.variant): folded for folded in packed.fold(period)}
        assert found.keys() == wanted.keys()
        for key, folded in found.items():
            assert (folded.sums, folded.figures) == (wanted[key].sums, wanted[key].figures)


def begun_since(stats: SearchStats, day: int, hour: int) -> int:
    """Searches of the epochs that began at or after an hour of a day of March 2026."""
    since = datetime(2026, 3, day, tzinfo=UTC) + timedelta(hours=hour)
    return sum(folded.sums["searches"] for folded in stats.fold(Period.ALL, since=since))


def test_records_of_old_days_are_not_kept() -> None:
    """A day of long ago, however many epochs and partitions it had, is there as a whole or not."""
    stats = SearchStats()
    for day in range(1, 29):
        for hour in range(24):
            for partition in range(3):
                stats.add(hourly(day, hour, source_partition=partition))
    kept = [
        day for day in range(1, 29) if begun_since(stats, day, 12) > begun_since(stats, day, 24)
    ]
    assert kept == [26, 27, 28]
    assert sum(folded.sums["searches"] for folded in stats.fold(Period.DAY)) == 28 * 24 * 3 * 4


def test_no_time_is_too_early_or_too_late_to_be_counted() -> None:
    """Whoever follows the topics goes on, whatever one record claims."""
    fold, late = fold_of(), 2**60
    told = read(fold, [*begun(), (0, 1, closed(0, late, search("s1"))), (0, 2, marker(0, late))])
    told += read(fold, [(1, 1, marker(0, late))])
    assert [one.epoch_start.year for one in told] == [9999]
    stats = SearchStats()
    start = datetime(1, 1, 1, tzinfo=UTC)
    first = told[0].model_copy(update={"epoch": 0, "epoch_start": start})
    for one in (first, *told):
        stats.add(one)
    assert len(stats.fold(Period.DAY)) == 2


def test_of_whole_days_an_instant_picks_those_that_began_then() -> None:
    """A day of long ago is in or out; yesterday by the epoch."""
    stats = SearchStats()
    for day in (1, 20):
        for hour in (1, 13):
            stats.add(hourly(day, hour))

    asked = [(1, 0), (1, 12), (20, 12)]
    assert [begun_since(stats, day, hour) for day, hour in asked] == [16, 8, 4]


def test_nothing_to_divide_by_is_unknown_and_not_zero() -> None:
    """No searches, no rate."""
    stats = SearchStats()
    stats.add(counted(1, searches=0, images_shown=0, images_clicked=0, dwells=0, actors=()))
    (folded,) = stats.fold(Period.ALL)
    assert folded.figures["ctr"] is None
    assert folded.figures["dwell_mean_s"] is None


def test_the_last_day_is_in_prometheus() -> None:
    """Older epochs are not; unreadable records are passed over."""
    clock = ManualClock(datetime(2026, 3, 3, 12, tzinfo=UTC))
    metrics = Metrics()
    values = [encoded(counted(1), "m1"), encoded(counted(2, images_clicked=10), "m2"), b"{}"]
    broker = MemoryBroker([SEARCH_METRICS], 1)
    for value in values:
        MemoryEventProducer(broker).append(ProducerRecord(SEARCH_METRICS.name, "k", value))
    log = MemoryEventLog(broker)
    follower = SearchStatsFollower(
        lambda: log.follow(SEARCH_METRICS.name, {0: 0}, group="g"), clock=clock, metrics=metrics
    )
    follower.take(broker.records(SEARCH_METRICS.name))
    labels = {"variant": "default", "model": "m1", "figure": "ctr"}
    assert metrics.registry.get_sample_value("sightline_online_day", labels) == 0.5
    assert decode(values[0]).data == counted(1)
