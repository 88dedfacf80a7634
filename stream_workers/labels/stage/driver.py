"""The Faust app of a label stage: how it reaches the cluster, and what of Faust is switched off."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import faust

from sightline.engine.settings import KafkaSettings
from sightline.stream_workers.labels.stage.committed_reads import CommittedReads

HEARTBEATS_PER_SESSION = 3


def driver(name: str, settings: KafkaSettings, data_directory: Path) -> faust.App:
    """The Faust app alone, with nothing that reads; `name` is the group, without prefix."""
    data_directory.mkdir(parents=True, exist_ok=True)
    return CommittedReads(
        settings.topic_prefix + name,
        broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        broker_credentials=_credentials(settings),
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / HEARTBEATS_PER_SESSION,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        datadir=data_directory,
        key_serializer="raw",
        value_serializer="raw",
    )


def _credentials(settings: KafkaSettings) -> Any:
    if settings.security_protocol == "PLAINTEXT":
        return None
    context = None
    if "SSL" in settings.security_protocol:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.certificate_file is not None:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    if "SASL" not in settings.security_protocol:
        return faust.SSLCredentials(context=context)
    password = settings.sasl_password
    return faust.SASLCredentials(
        mechanism=settings.sasl_mechanism,
        username=settings.sasl_username,
        password=None if password is None else password.get_secret_value(),
        ssl_context=context,
    )
