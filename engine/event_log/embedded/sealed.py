"""What this process appended to its in-process broker, told from what a stranger appended there.

The broker listens on a loopback port without passwords (docs/adr/0008), so every user of the
machine can append to it. What decides who sees an image carries a seal, made with a secret that
lives and dies with the broker; whoever reads it here passes over what has none.
"""

from __future__ import annotations

import hmac
import logging
import secrets
from concurrent.futures import Future
from dataclasses import replace
from hashlib import sha256

from sightline.engine.event_log.embedded.journaled_producer import JOURNALED
from sightline.engine.event_log.kafka.consumer import KafkaEventConsumer
from sightline.engine.ports import EventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import KafkaSettings
from sightline.schemas.topics import JUDGEMENTS

SEALED_TOPICS = JOURNALED | {JUDGEMENTS.name}
"""What decides who sees an image, and what is kept beyond the broker's life."""
HEADER = "sightline-seal"
_NULL, _VALUE = b"0", b"1"
_log = logging.getLogger(__name__)


class Seal:
    """Makes and checks seals; its secret never leaves the process."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def of(self, topic: str, key: bytes, value: bytes | None) -> bytes:
        """The seal of one record, 32 bytes; of no other topic, key or value."""
        said = _NULL if value is None else _VALUE + value
        framed = b"".join(len(part).to_bytes(4) + part for part in (topic.encode(), key, said))
        return hmac.digest(self._secret, framed, sha256)

    def holds(self, message: Message) -> bool:
        """Whether the record carries its own seal, or is of a topic that needs none."""
        if message.topic not in SEALED_TOPICS:
            return True
        shown = next((value for name, value in message.headers if name == HEADER), b"")
        return hmac.compare_digest(shown, self.of(message.topic, message.key or b"", message.value))


class SealingProducer:
    """An `EventProducer` that seals what decides who sees an image.

    Args:
        inner: appends to the broker.
        seal: of this broker.
    """

    def __init__(self, inner: EventProducer, seal: Seal) -> None:
        self._inner = inner
        self._seal = seal

    def append(self, record: ProducerRecord) -> Future[Message]:
        """See `EventProducer.append`."""
        if record.topic in SEALED_TOPICS:
            seal = self._seal.of(record.topic, record.key.encode(), record.value)
            record = record._replace(headers=(*record.headers, (HEADER, seal)))
        return self._inner.append(record)

    def flush(self, timeout_s: float) -> None:
        """See `EventProducer.flush`."""
        self._inner.flush(timeout_s)

    def close(self) -> None:
        """See `EventProducer.close`."""
        self._inner.close()


class SealedConsumer(KafkaEventConsumer):
    """An `EventConsumer` that passes over what nobody here has sealed, and says so.

    Args:
        settings: the in-process broker.
        group: the consumer group.
        seal: of this broker.
    """

    def __init__(self, settings: KafkaSettings, *, group: str, seal: Seal) -> None:
        super().__init__(settings, group=group)
        self._seal = seal

    def poll(self, max_messages: int, timeout_s: float) -> list[Message]:
        """See `EventConsumer.poll`; what is left has its own headers only."""
        polled = super().poll(max_messages, timeout_s)
        ours = [unsealed(message) for message in polled if self._seal.holds(message)]
        if len(ours) < len(polled):
            _log.warning("%d events of strangers were passed over", len(polled) - len(ours))
        return ours


def unsealed(message: Message) -> Message:
    """The record with its own headers only."""
    headers = tuple((name, value) for name, value in message.headers if name != HEADER)
    return replace(message, headers=headers)
