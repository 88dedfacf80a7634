"""Counting outcomes: every (image id, version) in exactly one, read from `images.indexed.v1`."""

from __future__ import annotations

from collections import Counter, defaultdict

from sightline.engine.event_log.kafka import read_topics
from sightline.engine.settings import KafkaSettings
from sightline.schemas.indexed import Outcome
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES_INDEXED


def outcomes_by_version(kafka: KafkaSettings) -> dict[tuple[str, int], Outcome]:
    """The one outcome of each (image id, version); a repeat after a crash counts once.

    Raises:
        AssertionError: a version has two different outcomes, other than superseded.
    """
    seen: dict[tuple[str, int], set[Outcome]] = defaultdict(set)
    for message in read_topics(kafka, [IMAGES_INDEXED.name]):
        data = decode(message.value).data
        seen[data.image_id, data.version].add(data.outcome)
    return {key: _one(key, outcomes) for key, outcomes in seen.items()}


def _one(key: tuple[str, int], outcomes: set[Outcome]) -> Outcome:
    applied = outcomes - {Outcome.SUPERSEDED}
    assert len(applied) <= 1, f"{key} ended more than once: {sorted(outcomes)}"
    return next(iter(applied), Outcome.SUPERSEDED)


def counts(outcomes: dict[tuple[str, int], Outcome]) -> Counter[Outcome]:
    """How many versions ended in each outcome."""
    return Counter(outcomes.values())
