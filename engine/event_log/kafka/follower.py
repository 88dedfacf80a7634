"""Reads partitions of a topic from given offsets: no group decides what is read, or from where."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import OFFSET_BEGINNING
from confluent_kafka import TopicPartition as KafkaPartition

from sightline.engine.event_log.kafka.consumer import KafkaEventConsumer
from sightline.engine.settings import KafkaSettings


class KafkaFollower(KafkaEventConsumer):
    """A consumer of fixed partitions; its commits only tell others how far it is.

    A start below the log's beginning begins there, as does one past its end: the caller compares
    the first offset that comes with the one that it asked for.

    Args:
        settings: the cluster.
        topic: unprefixed.
        group: under which offsets are committed; it must have no members.
        starts: the first offset to read, per partition; 0 is the log's beginning.
    """

    def __init__(
        self, settings: KafkaSettings, topic: str, *, group: str, starts: Mapping[int, int]
    ) -> None:
        super().__init__(settings, group=group)
        self._consumer.assign(
            [
                KafkaPartition(settings.topic_prefix + topic, partition, start or OFFSET_BEGINNING)
                for partition, start in starts.items()
            ]
        )
