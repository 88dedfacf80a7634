"""What follows the log for the API: statistics, triples and judgements."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.engine.event_log.following import Followed
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.label_data.search_stats_follower import SearchStatsFollower
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, EventLog, LogFollower
from sightline.infra.supervision.loops import Loop
from sightline.infra.wiring.node import Events, Watch
from sightline.schemas.topics import JUDGEMENTS, SEARCH_METRICS, TRAINING_TRIPLES, Topic

LOOK_BACK = 2_000
"""Records of each partition that are read at the start: more than are kept, so that what people did
before an import is found under some 24,000 imported triples. Beyond that it comes with new acts."""


@dataclass(frozen=True, kw_only=True)
class LabelFollowers:
    """What follows the log for the API."""

    search_stats: SearchStatsFollower
    """What closed searches came to."""
    recent_triples: Followed[RecentTriples]
    """The last training triples."""
    judgements: Followed[HeldJudgements]
    """What people graded."""

    def loops(self) -> dict[str, Loop]:
        """Names the loops that follow statistics, triples and judgements, to be run."""
        return {
            "statistics": self.search_stats.run,
            "recent-triples": self.recent_triples.run,
            "judgements": self.judgements.run,
        }


def label_followers(events: Events, watch: Watch) -> LabelFollowers:
    """The API's followers on a process's log."""
    return LabelFollowers(
        search_stats=stats_follower(events.log, clock=watch.clock, metrics=watch.metrics),
        recent_triples=triples_follower(events.log),
        judgements=judgements_follower(events.log),
    )


def stats_follower(log: EventLog, *, clock: Clock, metrics: Metrics) -> SearchStatsFollower:
    """Follows `search-metrics.v1` from its beginning: what closed searches came to."""
    return SearchStatsFollower(
        lambda: _from_the_beginning(log, SEARCH_METRICS, "search-stats"),
        clock=clock,
        metrics=metrics,
    )


def triples_follower(log: EventLog) -> Followed[RecentTriples]:
    """Follows `training-triples.v2` from a little before its end."""

    def follow() -> LogFollower:
        ends = log.last_records(TRAINING_TRIPLES.name)
        starts = {p: 0 if at is None else max(0, at.offset - LOOK_BACK) for p, at in ends.items()}
        return log.follow(TRAINING_TRIPLES.name, starts, group="recent-triples")

    return Followed(RecentTriples(), follow, who="recent triples")


def judgements_follower(log: EventLog) -> Followed[HeldJudgements]:
    """Follows `judgements.v1` from its beginning: it forgets nothing, and is small."""
    return Followed(
        HeldJudgements(),
        lambda: _from_the_beginning(log, JUDGEMENTS, "judgements"),
        who="judgements",
    )


def _from_the_beginning(log: EventLog, topic: Topic, group: str) -> LogFollower:
    starts = dict.fromkeys(range(log.partition_count(topic.name)), 0)
    return log.follow(topic.name, starts, group=group)
