"""Closed searches to what each actor did: sums as in the metrics, and what is to be believed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from sightline.engine.label_data.search_stats import Period, SearchStats
from sightline.engine.records import Message
from sightline.engine.serving.variants import Arm, arm_of, variant_of
from sightline.schemas.fields import Conclusion
from sightline.schemas.labels import EpochClosed, GradedImage, SearchClosed, SearchesClosed, Verdict
from sightline.schemas.models import AnsweredBy, ExperimentStarted
from sightline.schemas.searches import Team
from sightline.stream_workers.labels.metrics.daily_actors import DailyActors
from sightline.stream_workers.labels.metrics.fold import MetricsFold
from sightline.training.experiments.actors import FIELDS, ExperimentSums, sums_of
from sightline.training.experiments.comparing import ExperimentReport, report_of, variants_of
from tests.label_rows import EPOCH_MS, closed, closed_message, graded, marker, message, search

EPOCH = 2_900_000
TARGETS = 2
START = datetime.fromtimestamp(EPOCH * EPOCH_MS / 1_000, UTC)
STARTED = ExperimentStarted(
    name="may",
    control=AnsweredBy(generation="g1"),
    treatment=AnsweredBy(generation="g2"),
    share=0.5,
    salt="may.1",
    interleave=False,
    started_at=START,
)
MIXED = STARTED.model_copy(update={"interleave": True, "share": 1.0})
Record = tuple[int, SearchesClosed | EpochClosed]


def searched(
    number: int,
    *shown: GradedImage,
    actor: str | None = None,
    experiment: ExperimentStarted = STARTED,
    **changes: Any,
) -> SearchClosed:
    """A search of an actor, in the arm that the draw gives it."""
    actor = actor or f"actor-{number}"
    variant = variant_of(experiment.name, arm_of(experiment, actor))
    facts = {"actor_id": actor, "variant": variant, "issued_at": START}
    name = changes.pop("search_id", f"s-{number}")
    return search(name, *shown, **(facts | changes))


def log_of(records: Iterable[Record]) -> list[Message]:
    """The topic of closed searches: (partition, record)s in order."""
    offsets = [0] * TARGETS
    found = []
    for partition, data in records:
        found.append(closed_message(data, offsets[partition], partition))
        offsets[partition] += 1
    return found


def marked(epoch: int, source: int = 0) -> list[Record]:
    """A marker in every partition."""
    return [(partition, marker(source, epoch)) for partition in range(TARGETS)]


def whole(*searches: SearchClosed, epoch: int = EPOCH) -> list[Message]:
    """One whole epoch, whose beginning is in the log."""
    return log_of([*marked(epoch - 1), (0, closed(0, epoch, *searches)), *marked(epoch)])


def added_up(
    messages: Iterable[Message], experiment: ExperimentStarted = STARTED
) -> ExperimentSums:
    """What the fold makes of a log."""
    return sums_of(
        messages,
        variants_of(experiment),
        since=experiment.started_at,
        targets=TARGETS,
        epoch_ms=EPOCH_MS,
    )


def reported(
    messages: Iterable[Message], experiment: ExperimentStarted = STARTED
) -> ExperimentReport:
    """What is said of a log."""
    return report_of(experiment, added_up(messages, experiment), started_at=experiment.started_at)


def test_sums_agree_with_the_metrics() -> None:
    """Bots, repeats, people of several searches, two sources: the same sums, variant by variant."""
    random = Random(7)
    records: list[Record] = [*marked(EPOCH - 1, 0), *marked(EPOCH - 1, 1)]
    for epoch in range(EPOCH, EPOCH + 3):
        for source in (0, 1):
            made = [_drawn(random, f"{epoch}-{source}-{number}") for number in range(20)]
            told: list[Record] = [
                (n % TARGETS, closed(source, epoch, s)) for n, s in enumerate(made)
            ]
            records += told + told[:5] + marked(epoch, source)
    records.append((0, closed(0, EPOCH + 3, _drawn(random, "open"))))
    messages = log_of(records)

    stats, fold = SearchStats(), _metrics_fold()
    for (partition, data), told_message in zip(records, messages, strict=True):
        if isinstance(data, SearchesClosed):
            fold.take_searches(partition, data)
        else:
            for counted in fold.take_marker(partition, told_message.offset, data):
                stats.add(counted)
            fold.published(data.source_partition)

    sums = added_up(messages)
    compared = [name for name in FIELDS if name not in {"treatment_wins", "control_wins", "ties"}]
    for folded in stats.fold(Period.ALL):
        mine = sums.variants[folded.variant]
        assert {name: mine.column(name).sum() for name in compared} == {
            name: folded.sums[name] for name in compared
        }
        assert mine.bot_searches == folded.sums["bot_searches"] > 0
    assert sums.whole_until == START + timedelta(milliseconds=3 * EPOCH_MS)


def _metrics_fold() -> MetricsFold:
    actors = DailyActors(b"a secret")
    return MetricsFold("interactions.v1", targets=TARGETS, epoch_ms=EPOCH_MS, actors=actors)


def _drawn(random: Random, name: str) -> SearchClosed:
    page = [
        graded(
            f"i{place}",
            place,
            clicks=random.choice((0, 0, 1, 2)),
            conversions=random.choice((0, 0, 0, 1)),
            dwell_ms=random.choice((None, 3_000)),
        )
        for place in range(1, random.randrange(1, 5))
    ]
    bot = random.random() < 0.2
    return searched(
        0,
        *page,
        actor=f"actor-{random.randrange(15)}",
        search_id=name,
        verdict=Verdict.TOO_MANY if bot else Verdict.PERSON,
    )


def test_what_is_not_of_the_experiment_is_not_counted() -> None:
    """Neither who is in no arm, nor searches before it began, nor an epoch that is open yet."""
    others = [
        searched(1, graded("p", 1, clicks=1), variant="default"),
        searched(2, graded("p", 1, clicks=1), issued_at=START - timedelta(seconds=1)),
    ]
    messages = whole(*others)
    messages += log_of([(0, closed(0, EPOCH + 1, searched(3, graded("p", 1, clicks=1))))])
    sums = added_up(messages)
    assert all(not each.actors for each in sums.variants.values())


def test_unreadable_records_are_passed_over() -> None:
    """They are the miner's dead letters."""
    messages = [message(b"{}", 0), *whole(searched(1, graded("p", 1)))]
    assert sum(len(each.actors) for each in added_up(messages).variants.values()) == 1


def test_the_draw_counts_bots_too_and_the_figures_do_not() -> None:
    """A ranking that makes people look like bots must not look like a lost arm, or be hidden."""
    bot = searched(1, graded("p", 1, clicks=9), verdict=Verdict.TOO_MANY)
    report = reported(whole(bot))
    arm = arm_of(STARTED, "actor-1")
    assert (report.arms[arm].actors, report.arms[arm].searches) == (1, 0)
    assert report.arms[arm].bot_searches == 1


def test_too_little_says_how_many_more() -> None:
    """At once, and with nothing at all."""
    for messages in ([], whole(searched(1, graded("p", 1, clicks=1)))):
        decided = reported(messages).decided
        assert decided.finding is Conclusion.TOO_LITTLE
        assert decided.needs > 0


def test_an_actor_in_an_arm_that_is_not_theirs_voids_the_report() -> None:
    """The draw is known, so each actor is checked."""
    actor = next(f"a-{n}" for n in range(9) if arm_of(STARTED, f"a-{n}") is Arm.CONTROL)
    wrong = searched(1, graded("p", 1), actor=actor, variant="may.treatment")
    decided = reported(whole(wrong)).decided
    assert decided.finding is Conclusion.VOID
    assert "1 actors were in an arm" in decided.says


def test_a_lost_part_of_an_arm_voids_the_report() -> None:
    """Every fourth treated actor never gets through: chi-square and the sequential test see it."""
    treated = iter(range(2_000))
    actors = [
        f"a-{n}"
        for n in range(2_000)
        if arm_of(STARTED, f"a-{n}") is Arm.CONTROL or next(treated) % 4
    ]
    searches = [searched(n, graded("p", 1), actor=a) for n, a in enumerate(actors)]
    records = [*marked(EPOCH - 1)]
    records += [
        (0, closed(0, EPOCH, *searches[at : at + 50])) for at in range(0, len(searches), 50)
    ]
    decided = reported(log_of([*records, *marked(EPOCH)])).decided
    assert decided.finding is Conclusion.VOID
    assert "chi-square" in decided.says


def test_a_log_that_has_lost_the_beginning_decides_nothing() -> None:
    """Retention took it, or the embedded broker ended: looks at what is left are not guarded."""
    one = searched(1, graded("p", 1))
    assert reported(whole(one, epoch=EPOCH)).decided.finding is Conclusion.TOO_LITTLE
    late = reported(whole(one, epoch=EPOCH + 1)).decided
    assert late.finding is Conclusion.INCOMPLETE


@pytest.mark.parametrize(
    ("clicks", "wins"),
    [((2, 1), (1, 0, 0)), ((0, 1), (0, 1, 0)), ((1, 1), (0, 0, 1)), ((0, 0), (0, 0, 0))],
)
def test_a_search_is_won_by_more_clicks(
    clicks: tuple[int, int], wins: tuple[int, int, int]
) -> None:
    """Of treatment and control; none at all is no tie."""
    page = [
        graded("t", 1, clicks=clicks[0], team=Team.TREATMENT),
        graded("c", 2, clicks=clicks[1], team=Team.CONTROL),
    ]
    preference = reported(whole(searched(1, *page, experiment=MIXED)), MIXED).preference
    assert preference is not None
    assert (preference.treatment_wins, preference.control_wins, preference.ties) == wins


def test_interleaved_pages_tell_who_is_preferred() -> None:
    """Two thirds of 300 actors prefer the treatment's results: better, by sign test as well."""
    searches = []
    for number in range(300):
        mine = Team.TREATMENT if number % 3 else Team.CONTROL
        page = [graded("p", 1, clicks=1, team=mine), graded("q", 2)]
        searches.append(searched(number, *page, experiment=MIXED))
    records = [*marked(EPOCH - 1)]
    records += [(0, closed(0, EPOCH, *searches[at : at + 50])) for at in range(0, 300, 50)]
    report = reported(log_of([*records, *marked(EPOCH)]), MIXED)
    assert report.decided.finding is Conclusion.BETTER
    assert report.preference is not None
    assert report.preference.margin.value == pytest.approx(1 / 3)
    assert report.preference.sign_test_p < 1e-6
    assert report.ratio is None
