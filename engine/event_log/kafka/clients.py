"""Opens Kafka clients whose own messages reach Python's logging, none of them standard error.

Librdkafka says everything twice, as a log line and as an error for the callback, again at every
attempt to connect, and once per client. Here a trouble is told once a minute for all clients of
the process, and what it logs besides (such as a consumer that did not poll in time) goes through.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka import Message as KafkaMessage
from confluent_kafka.admin import AdminClient

from sightline.engine.event_log.kafka.config import (
    Config,
    client_config,
    consumer_config,
    error_of,
    producer_config,
)
from sightline.engine.settings import KafkaSettings

REPEAT_S = 60.0
_WARNING = 4
"""Syslog's number of a warning, since librdkafka counts as syslog does."""
_TOLD_BY_ERRORS = frozenset({"FAIL", "ERROR"})
_ATTEMPT = re.compile(r"/bootstrap(?=:)|\s*\(after \d+ms in state (?:[^()]|\(s\))*\)")
"""What differs between two attempts that fail for the same reason."""


class OncePerMinute(logging.Filter):
    """Lets a message through that was not told in the last minute.

    Args:
        monotonic: seconds from an arbitrary start.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._monotonic = monotonic
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets a message pass unless the same one was logged within `REPEAT_S` seconds."""
        message, now = record.getMessage(), self._monotonic()
        self._told = {said: at for said, at in self._told.items() if now - at < REPEAT_S}
        if message in self._told:
            return False
        self._told[message] = now
        return True


def _not_told_by_errors(record: logging.LogRecord) -> bool:
    facility = record.args[0] if isinstance(record.args, tuple) and record.args else None
    return facility not in _TOLD_BY_ERRORS


_log = logging.getLogger(__name__)
_log.addFilter(OncePerMinute())
_library = logging.getLogger(f"{__name__}.librdkafka")
_library.addFilter(_not_told_by_errors)


def open_producer(settings: KafkaSettings) -> Producer:
    """A producer; it tells what it has to say while it is polled."""
    return Producer(_telling(producer_config(settings)), logger=_library)


def open_consumer(settings: KafkaSettings, group: str, **more: str | float | bool) -> Consumer:
    """A consumer of a group; it tells what it has to say while it is polled."""
    return Consumer(_telling(consumer_config(settings, group) | more), logger=_library)


def open_reader(settings: KafkaSettings, group: str | None = None) -> Consumer:
    """A consumer that tells where each partition ends, see `ended`.

    Args:
        settings: the cluster.
        group: whose offsets it looks at; none: a new name, as it looks at nobody's.
    """
    return open_consumer(
        settings,
        group or f"reader-{uuid.uuid4().hex}",
        # A broker tells the end of a partition by answering empty, after having waited so long.
        **{"enable.partition.eof": True, "fetch.wait.max.ms": 10},
    )


@contextmanager
def asking(consumer: Consumer, doing: str) -> Iterator[Consumer]:
    """Lends a consumer for some questions, and closes it.

    Args:
        consumer: of nobody else.
        doing: what the questions are for; an error names it.

    Raises:
        PartUnavailable, PermanentError: the broker did not answer, or refused.
    """
    try:
        yield consumer
    except KafkaException as error:
        raise error_of(error, doing) from error
    finally:
        consumer.close()


def ended(message: KafkaMessage) -> bool:
    """Whether a reader was told the end of a partition instead of a record.

    Raises:
        KafkaException: it was told anything else; the end may be far.
    """
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - public, named by the vendor
        return True
    raise KafkaException(error)


def open_admin(settings: KafkaSettings) -> AdminClient:
    """A client for questions and changes; it tells what it has to say while it is polled."""
    return AdminClient(_telling(client_config(settings)), logger=_library)


def _telling(config: Config) -> dict[str, Any]:
    return {**config, "log_level": _WARNING, "error_cb": log_client_error}


def log_client_error(error: KafkaError) -> None:
    """What librdkafka reports out of band: it reconnects by itself, so this is only told."""
    # That all brokers are down follows from what is told of each of them.
    known = error.code() == getattr(KafkaError, "_ALL_BROKERS_DOWN")  # noqa: B009 - vendor's name
    _log.log(
        logging.DEBUG if known else logging.WARNING, "kafka: %s", _ATTEMPT.sub("", error.str())
    )
