"""Asks a broker whether it answers: what a launcher and `doctor` wait for."""

from __future__ import annotations

import logging

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_SILENT = logging.getLogger(f"{__name__}.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def broker_answers(bootstrap_servers: str, *, timeout_s: float = 2.0) -> bool:
    """Whether a plaintext broker lists its topics within the timeout; never raises."""
    configuration: dict[str, str | int | float | bool] = {
        "bootstrap.servers": bootstrap_servers,
        "log_level": 0,
    }
    client = AdminClient(configuration, logger=_SILENT)
    try:
        return bool(client.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False
