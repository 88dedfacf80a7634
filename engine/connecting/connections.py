"""Which adapter talks to the log and the store: decided by the settings, here and nowhere else."""

from __future__ import annotations

from pathlib import Path

from sightline.engine.connecting import owner
from sightline.engine.errors import RefusedToStart
from sightline.engine.ports import BatchEventProducer, EventLog, EventProducer, ObjectStore
from sightline.engine.settings import KafkaSettings, Mode, Settings
from sightline.engine.signing_secret import stored_secret
from sightline.schemas.topics import TOPICS

OBJECTS = "objects"
"""Folder of the embedded stack's objects in its data directory."""
EMBEDDED_PARTITIONS = 4
"""Each topic of the in-process broker has so many partitions."""
EMBEDDED_SESSION_S = 6.0
"""A member that left is waited for no longer (the broker's own default is 44 s)."""

EMBEDDED_FETCH_WAIT_S = 0.05
"""The in-process broker holds an answer to the end, whatever comes meanwhile: with librdkafka's own
half second, a live upload beside a backfill took 0.5 s to be searchable, with this 0.08. An idle
node with label stages takes 60 ms of CPU a second for it instead of 36."""


def open_event_producer(settings: Settings) -> EventProducer:
    """Appends to Kafka; in embedded mode, through the API of the process that owns the stack.

    Raises:
        RefusedToStart: embedded mode, and nothing runs.
    """
    if settings.mode is Mode.EMBEDDED:
        from sightline.engine.event_log.embedded.http_producer import HttpEventProducer  # noqa: PLC0415 - one of two

        return HttpEventProducer(running_owner(settings).url, headers=owner_headers(settings))
    from sightline.engine.event_log.kafka import KafkaEventProducer  # noqa: PLC0415 - one of two

    return KafkaEventProducer(settings.kafka)


def open_log_producer(settings: Settings) -> BatchEventProducer:
    """Appends to the log itself, past the owner's API, which takes image events alone.

    Raises:
        RefusedToStart: embedded mode, and nothing runs.
    """
    from sightline.engine.event_log.kafka import KafkaEventProducer  # noqa: PLC0415 - light install

    return KafkaEventProducer(reachable_kafka(settings))


def open_event_log(settings: Settings) -> EventLog:
    """Reads Kafka; in embedded mode, the broker of the process that owns the stack.

    Raises:
        RefusedToStart: embedded mode, and nothing runs.
    """
    return event_log_on(reachable_kafka(settings), settings)


def event_log_on(kafka: KafkaSettings, settings: Settings) -> EventLog:
    """Reads the log of a broker that is known already."""
    if settings.mode is Mode.EMBEDDED:
        from sightline.engine.event_log.embedded.journal import JOURNAL_FILE  # noqa: PLC0415 - one of two
        from sightline.engine.event_log.embedded.journaled_log import (  # noqa: PLC0415 - one of two
            JournaledEventLog,
        )

        return JournaledEventLog(kafka, settings.data_directory / JOURNAL_FILE)
    from sightline.engine.event_log.kafka.event_log import KafkaEventLog  # noqa: PLC0415 - light

    return KafkaEventLog(kafka)


def ensure_topics(settings: Settings) -> None:
    """Create the topics that the cluster lacks.

    Raises:
        TopicDrift: topics are missing, and must not be created here.
        PartUnavailable: the broker did not answer.
    """
    from sightline.engine.event_log.kafka.topics import KafkaTopics  # noqa: PLC0415 - light install

    KafkaTopics(settings.kafka).ensure(TOPICS)


def open_object_store(settings: Settings) -> ObjectStore:
    """S3, or a directory where one is set and in embedded mode; our bucket exists afterwards.

    Raises:
        PartUnavailable: the store did not answer.
    """
    store = connect_object_store(settings)
    store.ensure_bucket(settings.store.bucket)
    return store


def connect_object_store(settings: Settings) -> ObjectStore:
    """The same, without asking for the bucket."""
    directory = object_directory(settings)
    if directory is not None:
        from sightline.engine.object_store.directory import (  # noqa: PLC0415 - one of two
            DirectoryObjectStore,
        )

        return DirectoryObjectStore(directory)
    from sightline.engine.object_store.s3 import S3ObjectStore  # noqa: PLC0415 - one of two

    return S3ObjectStore(settings.store)


def signing_secret(settings: Settings, store: ObjectStore) -> bytes:
    """What seals search ids and makes pseudonyms: the setting's, else the one in the store.

    Raises:
        PartUnavailable: the store did not answer.
    """
    given = settings.api.signing_secret
    if given is not None:
        return given.get_secret_value().encode()
    return stored_secret(store, settings.store.bucket)


def object_directory(settings: Settings) -> Path | None:
    """Where objects lie if they are files: where the settings say, in embedded mode always."""
    directory = settings.store.directory
    if settings.mode is Mode.EMBEDDED and directory is None:
        return settings.data_directory / OBJECTS
    return directory


def embedded_kafka(settings: Settings, bootstrap_servers: str) -> KafkaSettings:
    """How to reach an in-process broker: local, open, its topics made with it."""
    return KafkaSettings(
        bootstrap_servers=bootstrap_servers,
        create_topics=False,
        partitions=EMBEDDED_PARTITIONS,
        session_timeout_s=EMBEDDED_SESSION_S,
        fetch_wait_s=EMBEDDED_FETCH_WAIT_S,
        delivery_timeout_s=settings.kafka.delivery_timeout_s,
    )


def reachable_kafka(settings: Settings) -> KafkaSettings:
    """How a command reaches the log: Kafka, or the broker of the running owner.

    Raises:
        RefusedToStart: embedded mode, and nothing runs.
    """
    if settings.mode is Mode.SERVICES:
        return settings.kafka
    return embedded_kafka(settings, running_owner(settings).bootstrap_servers)


def owner_headers(settings: Settings) -> dict[str, str]:
    """What a command of this machine tells the owner's API about itself."""
    key = settings.api.command_key
    return {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}


def running_owner(settings: Settings) -> owner.Owner:
    """The process that owns the embedded stack.

    Raises:
        RefusedToStart: nothing runs.
    """
    found = owner.find_owner(settings.data_directory)
    if found is None:
        raise RefusedToStart(
            f"nothing runs on {settings.data_directory}: start it with `sightline up --detach`, "
            'or set mode = "services" to reach Kafka and S3'
        )
    return found
