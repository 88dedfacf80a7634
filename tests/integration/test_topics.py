"""Topics on the real broker: created once, as the code says, and every difference told."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from sightline.engine.errors import TopicDrift
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import TOPICS
from tests.patience import patient
from tests.waiting import eventually

NAMES = sorted(topic.name for topic in TOPICS)


def test_creating_is_idempotent_and_leaves_no_drift(kafka_settings: KafkaSettings) -> None:
    """The first call creates all, the second nothing; the broker then has what the code says."""
    topics = KafkaTopics(kafka_settings)
    assert sorted(topics.ensure(TOPICS)) == NAMES
    assert topics.drift(TOPICS) == []
    assert topics.ensure(TOPICS) == []


def test_a_created_topic_can_be_used_at_once(kafka_settings: KafkaSettings) -> None:
    """When `ensure` returns, every partition of every topic has a leader that answers."""
    KafkaTopics(kafka_settings).ensure(TOPICS)
    admin = AdminClient({"bootstrap.servers": kafka_settings.bootstrap_servers})
    asked = admin.list_offsets(
        {
            TopicPartition(kafka_settings.topic_prefix + name, partition): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for name in NAMES
            for partition in range(kafka_settings.partitions or 1)
        }
    )
    assert {answer.result(patient(30)).offset for answer in asked.values()} == {0}


def test_missing_topics_are_told_where_they_must_not_be_created(
    kafka_settings: KafkaSettings,
) -> None:
    """A platform team's cluster: nothing is created, the missing names are in the message."""
    topics = KafkaTopics(kafka_settings.model_copy(update={"create_topics": False}))
    with pytest.raises(TopicDrift, match=rf"{kafka_settings.topic_prefix}images\.v1"):
        topics.ensure(TOPICS)
    assert len(topics.drift(TOPICS)) == len(TOPICS)


def test_drift_names_topic_setting_and_both_values(kafka_settings: KafkaSettings) -> None:
    """Another partition count, a changed policy, and a setting that an older topic lacks."""
    prefix = kafka_settings.topic_prefix
    admin = AdminClient({"bootstrap.servers": kafka_settings.bootstrap_servers})
    narrow = f"{prefix}images.v1"
    admin.create_topics([NewTopic(narrow, 1, 1)])[narrow].result(patient(30))
    topics = KafkaTopics(kafka_settings)
    topics.ensure(TOPICS)
    eventually(lambda: len(topics.drift(TOPICS)) < len(TOPICS), reason="the topics are listed")
    changed = ConfigResource(
        ResourceType.TOPIC,
        f"{prefix}images.indexed.v1",
        incremental_configs=[
            ConfigEntry("retention.ms", "1000", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    admin.incremental_alter_configs([changed])[changed].result(patient(30))
    wanted = {
        f"topic {narrow} has 1 partitions, the code says 3",
        f"topic {narrow} has cleanup.policy=delete, the code says compact",
        f"topic {narrow} has max.compaction.lag.ms={2**63 - 1}, the code says 604800000",
        f"topic {prefix}images.indexed.v1 has retention.ms=1000, the code says 2592000000",
    }
    eventually(lambda: wanted <= set(topics.drift(TOPICS)), reason="all four told")
