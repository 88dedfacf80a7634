"""Asks a broker once, with the settings' credentials, and tells why it does not answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from sightline.engine.event_log.kafka.config import client_config
from sightline.engine.settings import KafkaSettings

_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


class Trouble(StrEnum):
    """Why a broker does not answer, as far as the client can tell."""

    UNREACHABLE = "unreachable"
    UNKNOWN_HOST = "unknown host"
    AUTHENTICATION = "authentication"
    TLS = "tls"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerAnswer:
    """What a broker said of itself, or why it did not answer."""

    brokers: int
    topics: frozenset[str]
    """The topics as the broker names them, with any prefix."""
    trouble: Trouble | None = None
    cluster_id: str | None = None
    """The cluster's own; None where it does not tell."""
    message: str = ""
    """librdkafka's own words; it never puts secrets into them."""


# The private names are the vendor's: codes of the client, not of the protocol.
_TROUBLES = {
    getattr(KafkaError, "_AUTHENTICATION"): Trouble.AUTHENTICATION,  # noqa: B009
    KafkaError.SASL_AUTHENTICATION_FAILED: Trouble.AUTHENTICATION,
    getattr(KafkaError, "_SSL"): Trouble.TLS,  # noqa: B009
    getattr(KafkaError, "_RESOLVE"): Trouble.UNKNOWN_HOST,  # noqa: B009
}


def ask_broker(settings: KafkaSettings, *, timeout_s: float) -> BrokerAnswer:
    """List the cluster once; never raises for a broker that is away or refuses.

    Raises:
        SettingsInvalid: a certificate file is missing, or SASL lacks its name.
    """
    told: list[KafkaError] = []
    configuration: dict[str, Any] = {**client_config(settings), "log_level": 0}
    configuration["error_cb"] = told.append
    client = AdminClient(configuration, logger=_SILENT)
    try:
        listed = client.list_topics(timeout=timeout_s)
    except KafkaException as error:
        # The call only says "transport failure"; the reason is in what the client told meanwhile.
        client.poll(0)
        return _silence([*told, error.args[0]])
    return BrokerAnswer(
        brokers=len(listed.brokers),
        topics=frozenset(listed.topics),
        cluster_id=listed.cluster_id,
    )


def broker_answers(bootstrap_servers: str, *, timeout_s: float = 2.0) -> bool:
    """Whether a plaintext broker lists its brokers within the timeout; never raises."""
    return bool(
        ask_broker(KafkaSettings(bootstrap_servers=bootstrap_servers), timeout_s=timeout_s).brokers
    )


def _silence(errors: list[KafkaError]) -> BrokerAnswer:
    for error in errors:
        if error.code() in _TROUBLES:
            return _answer(_TROUBLES[error.code()], error)
    return _answer(Trouble.UNREACHABLE, errors[0])


def _answer(trouble: Trouble, error: KafkaError) -> BrokerAnswer:
    return BrokerAnswer(brokers=0, topics=frozenset(), trouble=trouble, message=error.str())
