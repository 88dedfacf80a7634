"""The broker: does it answer, does it let us in, are its topics those of the contracts."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.engine.connecting import owner
from sightline.engine.errors import SightlineError
from sightline.engine.event_log.kafka.diagnosis import BrokerAnswer, Trouble, ask_broker
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.settings import Mode, Settings
from sightline.infra.doctor.findings import Finding, bad, fine
from sightline.schemas.topics import TOPICS

PATIENCE_S = 5.0
"""A broker that needs longer for its list of topics is not one to run on."""
_REMEDIES = {
    Trouble.UNREACHABLE: "start it (`make up`), or correct kafka.bootstrap_servers; behind TLS or "
    "SASL, kafka.security_protocol",
    Trouble.UNKNOWN_HOST: "correct the host names in kafka.bootstrap_servers",
    Trouble.AUTHENTICATION: "correct kafka.sasl_mechanism, kafka.sasl_username and "
    "SIGHTLINE_KAFKA__SASL_PASSWORD",
    Trouble.TLS: "set kafka.ca_file to the authority that signed the brokers' certificate",
}


def check_broker(settings: Settings) -> Iterator[Finding]:
    """Embedded: whether the stack runs. Else the cluster and its topics."""
    if settings.mode is Mode.EMBEDDED:
        yield _embedded(settings)
        return
    try:
        answer = ask_broker(settings.kafka, timeout_s=_patience_s(settings))
    except SightlineError as error:
        yield bad("broker", str(error), "correct the kafka settings (docs/settings.md)")
        return
    yield _reached(settings, answer)
    if answer.trouble is None:
        yield from _topics(settings, answer)


def _patience_s(settings: Settings) -> float:
    return min(PATIENCE_S, settings.kafka.request_timeout_s)


def _embedded(settings: Settings) -> Finding:
    running = owner.find_owner(settings.data_directory)
    if running is None:
        told = f"in-process; nothing runs on {settings.data_directory} (`sightline up` starts it)"
        return fine("broker", told)
    return fine("broker", f"in-process, in process {running.pid}, API at {running.url}")


def _reached(settings: Settings, answer: BrokerAnswer) -> Finding:
    if answer.trouble is None:
        return fine("broker", f"{answer.brokers} at {settings.kafka.bootstrap_servers}")
    told = f"{settings.kafka.bootstrap_servers}: {answer.trouble}: {answer.message}"
    return bad("broker", told, _REMEDIES[answer.trouble])


def _topics(settings: Settings, answer: BrokerAnswer) -> Iterator[Finding]:
    missing = [t.name for t in TOPICS if settings.kafka.topic_prefix + t.name not in answer.topics]
    if missing:
        yield _missing(settings, missing)
    drifted = []
    try:
        there = [t for t in TOPICS if t.name not in missing]
        drifted = KafkaTopics(settings.kafka).drift(there) if there else []
    except SightlineError as error:
        yield bad("topics", str(error), "grant DESCRIBE_CONFIGS on our topics to this user")
        return
    for line in drifted:
        yield bad("topics", line, "alter the topic to docs/topics, or ask its owner to")
    if not missing and not drifted:
        yield fine("topics", f"all {len(TOPICS)} are as the contracts say")


def _missing(settings: Settings, missing: list[str]) -> Finding:
    told = f"missing: {', '.join(settings.kafka.topic_prefix + name for name in missing)}"
    if settings.kafka.create_topics:
        return fine("topics", f"{told}; the first start creates them")
    return bad("topics", told, "have them created as docs/topics says, or set kafka.create_topics")
