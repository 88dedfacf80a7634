"""Settings in, contradictions out: what can be told without asking any part."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

from sightline.engine.settings import ApiSettings, Scope, Settings, StoreSettings
from sightline.infra.doctor.findings import Finding, bad, fine

PART = "settings"


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Files that are named exist, secrets come in pairs, an open API stays on this machine."""
    found = [
        *_files(settings),
        *_kafka(settings),
        *_store(settings.store),
        *_api(settings.api),
    ]
    yield from found or [fine(PART, f"mode {settings.mode}, read and without contradictions")]


def _files(settings: Settings) -> Iterator[Finding]:
    named: dict[str, Path | None] = {
        "kafka.ca_file": settings.kafka.ca_file,
        "kafka.certificate_file": settings.kafka.certificate_file,
        "kafka.key_file": settings.kafka.key_file,
        "store.ca_file": settings.store.ca_file,
        "index.ca_file": settings.index.ca_file,
        "embedder.weights": settings.embedder.weights,
        "embedder.projection": settings.embedder.projection,
    }
    for name, path in named.items():
        if path is not None and not path.is_file():
            yield bad(PART, f"{name} names {path}, which is not a file", f"correct {name}")


def _kafka(settings: Settings) -> Iterator[Finding]:
    kafka = settings.kafka
    sasl = kafka.security_protocol.startswith("SASL")
    if kafka.sasl_username is not None and not sasl:
        yield bad(
            PART,
            f"kafka.sasl_username is set, but kafka.security_protocol is {kafka.security_protocol}",
            "set kafka.security_protocol to SASL_SSL",
        )
    if sasl and kafka.sasl_password is None:
        yield bad(
            PART,
            f"kafka.security_protocol is {kafka.security_protocol} without a password",
            "set SIGHTLINE_KAFKA__SASL_PASSWORD",
        )
    if (kafka.certificate_file is None) != (kafka.key_file is None):
        yield bad(
            PART,
            "mutual TLS needs both certificate and key",
            "set kafka.certificate_file and kafka.key_file",
        )


def _store(store: StoreSettings) -> Iterator[Finding]:
    if (store.access_key is None) != (store.secret_key is None):
        yield bad(
            PART,
            "store.access_key and store.secret_key belong together",
            "set both, or neither for the machine's role",
        )
    if "://" in store.endpoint:
        yield bad(
            PART,
            f"store.endpoint {store.endpoint!r} has a scheme",
            "write host:port, and store.tls = true for HTTPS",
        )


def _api(api: ApiSettings) -> Iterator[Finding]:
    if not api.keys and not _loopback(api.host):
        yield bad(
            PART,
            f"api.host {api.host} can be reached from other machines and there are no API keys",
            "add api.keys, or set api.host to 127.0.0.1",
        )
    for key in api.keys:
        if Scope.WRITE in key.scopes and key.owner_id is None and Scope.ADMIN not in key.scopes:
            yield bad(
                PART,
                f"the API key {key.name or key.sha256[:8]!r} may write but has no owner_id",
                "give it the owner_id whose images it changes",
            )


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
