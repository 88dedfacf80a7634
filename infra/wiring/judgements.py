"""Wires the reader of people's grades, for the API."""

from __future__ import annotations

from sightline.engine.event_log.following import Followed
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.engine.ports import EventLog, LogFollower
from sightline.schemas.topics import JUDGEMENTS


def judgements_follower(log: EventLog) -> Followed[HeldJudgements]:
    """Follows `judgements.v1` from its beginning: it forgets nothing, and is small."""

    def follow() -> LogFollower:
        starts = dict.fromkeys(range(log.partition_count(JUDGEMENTS.name)), 0)
        return log.follow(JUDGEMENTS.name, starts, group="judgements")

    return Followed(HeldJudgements(), follow, who="judgements")
