"""Wires the reader of the last triples, for the API."""

from __future__ import annotations

from sightline.engine.event_log.kafka.follower import KafkaFollower
from sightline.engine.event_log.kafka.last_records import last_records
from sightline.engine.label_data.recent_triples import RecentTriplesFollower
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import TRAINING_TRIPLES

LOOK_BACK = 2_000
"""Records of each partition that are read at the start: more than are kept, so that what people did
before an import is found under some 24,000 imported triples. Beyond that it comes with new acts."""


def triples_follower(kafka: KafkaSettings) -> RecentTriplesFollower:
    """Follows `training-triples.v2` from a little before its end."""

    def follow() -> KafkaFollower:
        ends = last_records(kafka, TRAINING_TRIPLES.name)
        starts = {p: 0 if at is None else max(0, at.offset - LOOK_BACK) for p, at in ends.items()}
        return KafkaFollower(kafka, TRAINING_TRIPLES.name, group="recent-triples", starts=starts)

    return RecentTriplesFollower(follow)
