"""Who acted as an operator and who was refused is recorded; strangers cannot fill the record."""

from __future__ import annotations

import json
import logging

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.metrics import Metrics
from sightline.schemas.audit import AccessRecorded, Decision
from sightline.schemas.registry import decode
from sightline.search_api.audit.audit_log import MANY, MAX_KINDS, WINDOW_S, Access, AuditLog
from tests.worker_parts import MemoryLog


def wrong_key(address: str = "192.0.2.7", action: str = "GET /v1/stats") -> Access:
    """A request that was refused for its key."""
    return Access(Decision.REFUSED, f"address {address}", action, None, 401)


class Told:
    """An audit log whose records can be looked at."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog(self.clock)
        self.metrics = Metrics()
        self.audit = AuditLog(self.log, self.clock, self.metrics, source="/test")

    def records(self) -> list[AccessRecorded]:
        """What the topic has."""
        return [decode(m.value).data for m in self.log.records["audit.v1"]]

    def value(self, name: str, **labels: str) -> float:
        """Of a metric."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def test_the_first_refusal_is_told_at_once_and_the_rest_counted() -> None:
    """300 wrong keys in a row leave two records that say 300."""
    told = Told()
    for _ in range(300):
        told.audit.note(wrong_key(), "192.0.2.7")
        told.clock.advance(0.01)
    assert [one.count for one in told.records()] == [1]
    told.clock.advance(WINDOW_S)
    told.audit.tell()
    first, rest = told.records()
    assert (first.count, rest.count) == (1, 299)
    assert rest.last_at > rest.first_at > first.last_at
    assert told.value("sightline_api_refused_total", status="401") == 300
    told.audit.note(wrong_key(), "192.0.2.7")
    assert [one.count for one in told.records()] == [1, 299, 1]


def test_what_is_counted_is_told_at_the_end() -> None:
    """A node that stops forgets nothing; a second look tells nothing twice."""
    told = Told()
    for _ in range(3):
        told.audit.note(wrong_key(), "192.0.2.7")
    told.audit.tell(everything=True)
    told.audit.tell(everything=True)
    assert [one.count for one in told.records()] == [1, 2]


def test_many_strangers_are_told_as_many() -> None:
    """However many addresses there are, the record is bounded, and the number is right."""
    told = Told()
    strangers = MAX_KINDS + 5_000
    for n in range(strangers):
        told.audit.note(wrong_key(f"address-{n}"), f"address-{n}")
    told.audit.tell(everything=True)
    records = told.records()
    assert len(records) <= MAX_KINDS + 2
    assert sum(one.count for one in records) == strangers
    assert sum(one.count for one in records if one.who == MANY) >= 5_000


def test_an_operator_is_recorded_however_many_strangers_there_are() -> None:
    """Each act by itself, where there is no room to count."""
    told = Told()
    for n in range(MAX_KINDS):
        told.audit.note(wrong_key(f"address-{n}"), "x")
    act = Access(Decision.ACTED, "key root", "DELETE /v1/images/{image_id}", "lamp-1", 202)
    told.audit.note(act, "10.0.0.1")
    told.audit.note(act, "10.0.0.1")
    assert [one.image_id for one in told.records()[-2:]] == ["lamp-1", "lamp-1"]


def test_a_record_that_the_topic_does_not_take_is_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the metrics tell that it is not in the topic."""
    told = Told()
    told.log.broker.down = True
    with caplog.at_level(logging.INFO):
        told.audit.note(wrong_key(), "192.0.2.7")
    record = next(one for one in caplog.records if one.name == "sightline.audit")
    facts = vars(record)
    assert facts["audit_who"] == "address 192.0.2.7"
    assert (facts["audit_decision"], facts["status"], facts["count"]) == ("refused", 401, 1)
    json.dumps({name: facts[name] for name in ("first_at", "last_at", "address", "image_id")})
    assert told.value("sightline_audit_records_total", result="failed") == 1
