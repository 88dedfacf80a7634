"""Creates the topics of `schemas/topics.py` and tells where the broker's differ."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from sightline.engine.errors import TopicDrift
from sightline.engine.event_log.kafka.answers import answer_of
from sightline.engine.event_log.kafka.clients import open_admin
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.event_log.kafka.ready import await_partitions
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import Topic


@dataclass(frozen=True, slots=True)
class _Found:
    """One topic as the broker has it."""

    partitions: int
    config: dict[str, str]


class KafkaTopics:
    """The cluster's topics beside those of the code.

    Args:
        settings: the cluster; `create_topics` decides whether anything is created,
            `partitions` overrides every topic's own count.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin = open_admin(settings)

    def ensure(self, topics: Sequence[Topic]) -> list[str]:
        """Create what is missing; the unprefixed names that were created. A repeat does nothing.

        Returns when every partition that was missing can be written and read.

        Raises:
            TopicDrift: topics are missing, and `create_topics` is off or the broker refuses.
            PartUnavailable: the broker did not answer, or a partition had no leader after
                `request_timeout_s`.
        """
        missing = self._missing(topics)
        if missing and not self._settings.create_topics:
            names = ", ".join(self._wire(topic) for topic in missing)
            raise TopicDrift(f"topics are missing and must not be created here: {names}")
        if not missing:
            return []
        futures: dict[str, Future[None]] = self._admin.create_topics(
            [self._new(topic) for topic in missing],
            request_timeout=self._settings.request_timeout_s,
            operation_timeout=self._settings.request_timeout_s,
        )
        created = [topic.name for topic in missing if self._created(futures[self._wire(topic)])]
        await_partitions(
            self._admin,
            [self._wire(topic) for topic in missing],
            timeout_s=self._settings.request_timeout_s,
        )
        return created

    def drift(self, topics: Sequence[Topic]) -> list[str]:
        """Where broker and code differ, one sentence each; empty when they agree.

        Raises:
            PartUnavailable: the broker did not answer.
        """
        found = self._describe(topics)
        return [
            sentence
            for topic in topics
            for sentence in self._differences(topic, found.get(topic.name))
        ]

    def _differences(self, topic: Topic, found: _Found | None) -> Iterable[str]:
        name = self._wire(topic)
        if found is None:
            yield f"topic {name} does not exist"
            return
        wanted = self._settings.partitions or topic.partitions
        if found.partitions != wanted:
            yield f"topic {name} has {found.partitions} partitions, the code says {wanted}"
        for key, value in topic.config.items():
            actual = found.config.get(key)
            if actual is not None and _normal(actual) != _normal(value):
                yield f"topic {name} has {key}={actual}, the code says {value}"

    def _missing(self, topics: Sequence[Topic]) -> list[Topic]:
        known = self._known()
        return [topic for topic in topics if self._wire(topic) not in known]

    def _known(self) -> dict[str, int]:
        """Asks the broker for each topic's number of partitions, by prefixed name."""
        try:
            listed = self._admin.list_topics(timeout=self._settings.request_timeout_s).topics
        except KafkaException as error:
            raise error_of(error, "listing topics") from error
        return {name: len(topic.partitions) for name, topic in listed.items() if not topic.error}

    def _describe(self, topics: Sequence[Topic]) -> dict[str, _Found]:
        known = self._known()
        present = [topic for topic in topics if self._wire(topic) in known]
        resources = {t.name: ConfigResource(ResourceType.TOPIC, self._wire(t)) for t in present}
        if not resources:
            return {}
        timeout_s = self._settings.request_timeout_s
        futures = self._admin.describe_configs(list(resources.values()), request_timeout=timeout_s)
        try:
            return {
                topic.name: _Found(
                    known[self._wire(topic)],
                    {
                        key: str(entry.value)
                        for key, entry in answer_of(
                            futures[resources[topic.name]], timeout_s
                        ).items()
                    },
                )
                for topic in present
            }
        except KafkaException as error:
            raise error_of(error, "describing topics") from error

    def _new(self, topic: Topic) -> NewTopic:
        return NewTopic(
            self._wire(topic),
            num_partitions=self._settings.partitions or topic.partitions,
            replication_factor=self._settings.replication_factor,
            config=topic.config,
        )

    def _created(self, future: Future[None]) -> bool:
        try:
            answer_of(future, self._settings.request_timeout_s)
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
                return False
            if code in _REFUSALS:
                raise TopicDrift(
                    f"the broker refuses to create a topic: {error.args[0]}"
                ) from error
            raise error_of(error, "creating topics") from error
        return True

    def _wire(self, topic: Topic) -> str:
        return self._settings.topic_prefix + topic.name


_REFUSALS = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_CONFIG,
    }
)


def _normal(value: str) -> str:
    """Sorts a list's parts: `compact,delete` and `delete,compact` are one policy."""
    return ",".join(sorted(part.strip() for part in value.split(",")))
