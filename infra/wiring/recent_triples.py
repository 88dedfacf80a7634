"""Wires the reader of the last triples, for the API."""

from __future__ import annotations

from sightline.engine.event_log.following import Followed
from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.ports import EventLog, LogFollower
from sightline.schemas.topics import TRAINING_TRIPLES

LOOK_BACK = 2_000
"""Records of each partition that are read at the start: more than are kept, so that what people did
before an import is found under some 24,000 imported triples. Beyond that it comes with new acts."""


def triples_follower(log: EventLog) -> Followed[RecentTriples]:
    """Follows `training-triples.v2` from a little before its end."""

    def follow() -> LogFollower:
        ends = log.last_records(TRAINING_TRIPLES.name)
        starts = {p: 0 if at is None else max(0, at.offset - LOOK_BACK) for p, at in ends.items()}
        return log.follow(TRAINING_TRIPLES.name, starts, group="recent-triples")

    return Followed(RecentTriples(), follow, who="recent triples")
