"""Deletes consumer groups that nobody is in any more."""

from __future__ import annotations

from collections.abc import Collection

from confluent_kafka import KafkaError, KafkaException

from sightline.engine.errors import PermanentError
from sightline.engine.event_log.kafka.answers import answer_of
from sightline.engine.event_log.kafka.clients import open_admin
from sightline.engine.event_log.kafka.config import error_of
from sightline.engine.settings import KafkaSettings

_NEVER = frozenset(
    {
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError.INVALID_REQUEST,
        getattr(KafkaError, "_UNSUPPORTED_FEATURE"),  # noqa: B009 - private by vendor's name
    }
)


def forget_groups(settings: KafkaSettings, groups: Collection[str]) -> None:
    """Delete them with their offsets; raises as `EventLog.forget_groups`."""
    wanted = [settings.topic_prefix + group for group in sorted(groups)]
    admin, timeout_s = open_admin(settings), settings.request_timeout_s
    try:
        deleting = admin.delete_consumer_groups(wanted, request_timeout=timeout_s)
    except KafkaException as error:
        raise error_of(error, "deleting groups") from error
    for group, deleted in deleting.items():
        try:
            answer_of(deleted, timeout_s)
        except KafkaException as error:
            _raise_unless_unknown(error, f"deleting group {group}")


def _raise_unless_unknown(error: KafkaException, doing: str) -> None:
    cause = error.args[0]
    if cause.code() == KafkaError.GROUP_ID_NOT_FOUND:
        return
    if cause.code() in _NEVER:
        raise PermanentError(f"{doing}: {cause.str()}") from error
    raise error_of(error, doing) from error
