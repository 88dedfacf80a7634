"""Requests in, a bounded record of who acted as an operator and who was refused out.

The first of its kind is recorded at once; further ones alike are counted, and told once a minute.
So no stranger fills the log, and a thousand wrong keys leave two records that say so.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sightline.engine.errors import SightlineError
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.records import ProducerRecord
from sightline.schemas.audit import AccessRecorded, Decision
from sightline.schemas.envelope import Event
from sightline.schemas.topics import AUDIT

WINDOW_S = 60.0
"""Requests alike are counted together for so long."""
LOOK_EVERY_S = 5.0
MAX_KINDS = 1_000
"""Kinds of requests counted at once. Refusals beyond are counted as those of `MANY`; what operators
do is recorded one by one."""
MANY = "address (many)"
_AUDIT = logging.getLogger("sightline.audit")
_LOG = logging.getLogger(__name__)


class Access(NamedTuple):
    """What two requests have in common that are recorded as one."""

    decision: Decision
    who: str
    action: str
    image_id: str | None
    status: int


@dataclass(slots=True)
class _Window:
    """Requests alike since the last record of them."""

    address: str
    ends_at: float
    first_at: datetime
    last_at: datetime
    count: int = 0


class AuditLog:
    """Records accesses in the log `sightline.audit` and in the topic `audit.v1`; one event loop.

    A record that the topic does not take is in the log all the same.

    Args:
        producer: of the topic.
        clock: the time.
        metrics: counts records and refusals.
        source: CloudEvents `source`.
    """

    def __init__(
        self, producer: EventProducer, clock: Clock, metrics: Metrics, *, source: str
    ) -> None:
        self._producer = producer
        self._clock = clock
        self._metrics = metrics
        self._source = source
        self._windows: dict[Access, _Window] = {}

    def note(self, access: Access, address: str) -> None:
        """Count one request, and record it if it is the first of its kind."""
        if access.decision is Decision.REFUSED:
            self._metrics.refused.labels(access.status).inc()
        now, monotonic = self._clock.now(), self._clock.monotonic()
        window = self._windows.get(access)
        if window is None and len(self._windows) >= MAX_KINDS:
            if access.decision is Decision.ACTED:
                self._publish(access, _Window(address, 0.0, now, now, 1))
                return
            access = Access(Decision.REFUSED, MANY, "any", None, access.status)
            window = self._windows.get(access)
        if window is None:
            self._publish(access, _Window(address, 0.0, now, now, 1))
            self._windows[access] = _Window(address, monotonic + WINDOW_S, now, now)
            return
        if window.count == 0:
            window.first_at, window.address = now, address
        window.count, window.last_at = window.count + 1, now

    def tell(self, *, everything: bool = False) -> None:
        """Record what was counted in windows that are over, or in all, and forget them."""
        now = self._clock.monotonic()
        over = [kind for kind, w in self._windows.items() if everything or w.ends_at <= now]
        for access in over:
            window = self._windows.pop(access)
            if window.count:
                self._publish(access, window)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell what was counted as long as the block lasts, and the rest at its end."""
        telling = asyncio.create_task(self._tell_now_and_then(), name="audit")
        try:
            yield
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
            self.tell(everything=True)

    async def _tell_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self.tell()

    def _publish(self, access: Access, window: _Window) -> None:
        record = AccessRecorded(
            **access._asdict(),
            address=window.address,
            count=window.count,
            first_at=window.first_at,
            last_at=window.last_at,
        )
        _AUDIT.info("%s %s: %s", record.who, record.decision, record.action, extra=_facts(record))
        event = Event[AccessRecorded].of(
            record, event_id=uuid.uuid4().hex, source=self._source, time=record.last_at
        )
        try:
            sent = self._producer.append(ProducerRecord(AUDIT.name, record.who, event.encode()))
        except SightlineError as error:
            self._published(error)
        else:
            sent.add_done_callback(lambda done: self._published(done.exception()))

    def _published(self, error: BaseException | None) -> None:
        self._metrics.audit_records.labels("published" if error is None else "failed").inc()
        if error is not None:
            _LOG.warning("an audit record is in the log but not in %s: %s", AUDIT.name, error)


def _facts(record: AccessRecorded) -> dict[str, object]:
    return record.model_dump(mode="json", exclude={"who", "decision", "action"}) | {
        "audit_who": record.who,
        "audit_decision": record.decision.value,
        "audit_action": record.action,
    }
