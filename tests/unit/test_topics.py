"""The topic list: what must hold between topics, and what the broker is asked for."""

from __future__ import annotations

import re

import pytest

from sightline.schemas.registry import EVENT_TYPES
from sightline.schemas.topics import (
    ALL_TOPICS,
    DAY_MS,
    IMAGES,
    IMAGES_BACKFILL,
    TOPICS,
    Cleanup,
    TimestampType,
    Topic,
    dead_letters_of,
    topic,
)

DEAD_LETTERS = [t for t in TOPICS if t.dead_letters_of is not None]
READ_BY_US = ("images.v1", "images.backfill.v1", "bucket-notifications.v1")


def test_names_are_unique_and_versioned() -> None:
    """A topic is found by its name, and a breaking change has room for a new one."""
    names = [t.name for t in TOPICS]
    assert len(set(names)) == len(names)
    assert all(re.search(r"\.v[1-9]$", name) for name in names)


@pytest.mark.parametrize("known", TOPICS, ids=lambda t: t.name)
def test_a_topic_is_found_by_name_and_explains_itself(known: Topic) -> None:
    """Every topic says what it is for, who writes it and who reads it."""
    assert topic(known.name) is known
    assert known.summary
    assert known.producers
    assert known.consumers


def test_an_unknown_topic_is_a_key_error() -> None:
    """Asking for a topic that is not in the list is a mistake of the caller."""
    with pytest.raises(KeyError):
        topic("no.such.topic")


@pytest.mark.parametrize("name", ["no.such.topic", "audit.v1", "images.dlq.v1"])
def test_a_topic_without_dead_letters_is_a_key_error(name: str) -> None:
    """So is to ask where the failures of a topic go that has no place for them."""
    with pytest.raises(KeyError):
        dead_letters_of(name)


@pytest.mark.parametrize("known", [t for t in TOPICS if t.key.isidentifier()], ids=lambda t: t.name)
def test_the_key_is_a_field_of_every_event(known: Topic) -> None:
    """What a topic is keyed by is said by each of its events, so one key has one order."""
    missing = {e.TYPE for e in known.events if known.key not in e.model_fields}
    # A tick goes to every partition; an erasure is keyed by the pseudonym, which is their actor id.
    assert missing <= {"sightline.clock.ticked.v1", "sightline.user.erased.v1"}


@pytest.mark.parametrize("letters", DEAD_LETTERS, ids=lambda t: t.name)
def test_a_dead_letter_topic_takes_a_full_message_and_its_headers(letters: Topic) -> None:
    """1 MiB more than its source: an envelope round a nearly full message is refused."""
    source = topic(letters.dead_letters_of or "")
    assert letters.max_message_bytes >= source.max_message_bytes + 1_048_576
    assert dead_letters_of(source.name) is letters


@pytest.mark.parametrize("name", READ_BY_US)
def test_what_our_workers_read_has_a_dead_letter_topic(name: str) -> None:
    """Nothing that a worker reads can block its partition for want of a place to put it."""
    assert dead_letters_of(name).cleanup is Cleanup.DELETE


@pytest.mark.parametrize("known", [IMAGES, IMAGES_BACKFILL], ids=lambda t: t.name)
def test_a_delete_outlives_every_dead_letter(known: Topic) -> None:
    """A dead letter replayed on its last day still meets the tombstone of a later delete."""
    assert known.delete_retention_ms >= 30 * DAY_MS
    assert known.delete_retention_ms > max(t.retention_ms for t in DEAD_LETTERS)


@pytest.mark.parametrize("known", [IMAGES, IMAGES_BACKFILL], ids=lambda t: t.name)
def test_image_topics_are_compacted_for_ever(known: Topic) -> None:
    """Re-indexing is a replay: the last state of every image stays, after a day's grace."""
    assert known.config["cleanup.policy"] == "compact"
    assert known.config["retention.ms"] == "-1"
    assert known.config["min.compaction.lag.ms"] == str(DAY_MS)


@pytest.mark.parametrize(
    "known", [t for t in ALL_TOPICS if t.cleanup is not Cleanup.DELETE], ids=lambda t: t.name
)
def test_what_was_replaced_leaves_a_compacted_topic_within_a_week(known: Topic) -> None:
    """However quiet it is; not before the grace, which Kafka would refuse."""
    lag_ms = int(known.config["max.compaction.lag.ms"])
    assert known.min_compaction_lag_ms < lag_ms == 7 * DAY_MS


def test_both_image_lanes_are_alike() -> None:
    """The lanes merge by version: same key, partitions, events and configuration."""
    assert IMAGES.config == IMAGES_BACKFILL.config
    assert (IMAGES.key, IMAGES.partitions) == (IMAGES_BACKFILL.key, IMAGES_BACKFILL.partitions)
    assert IMAGES.events == IMAGES_BACKFILL.events


def test_freshness_starts_at_the_brokers_clock() -> None:
    """`appended` is the record's timestamp: the broker's, not the client's."""
    assert IMAGES.timestamps is TimestampType.LOG_APPEND_TIME
    assert IMAGES_BACKFILL.timestamps is TimestampType.LOG_APPEND_TIME


def test_every_event_type_is_past_tense_versioned_and_known_once() -> None:
    """`sightline.<thing>.<past tense>.v<N>`, and the registry knows each."""
    for name in EVENT_TYPES:
        parts = name.split(".")
        assert parts[0] == "sightline"
        assert len(parts) == 4
        assert parts[3][0] == "v"
        assert parts[3][1:].isdigit()
