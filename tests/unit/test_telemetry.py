"""Metrics, logs and trace headers: what is counted, what is hidden, what is documented."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
from datetime import timedelta
from multiprocessing.queues import SimpleQueue

import pytest
from prometheus_client import generate_latest
from pydantic import SecretStr

from sightline.engine.clock import EPOCH, ManualClock
from sightline.engine.errors import Part
from sightline.engine.health import Health
from sightline.engine.logs import JsonFormatter
from sightline.engine.metrics import Metrics
from sightline.engine.trace_context import (
    child_traceparent,
    new_traceparent,
    parse_traceparent,
    traceparent_header,
    traceparent_of,
)
from sightline.schemas.indexed import Lane, Outcome, StageTimes
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "metrics.md"


def times(**later_ms: float) -> StageTimes:
    """Appended at the epoch, the rest so many milliseconds later."""
    named = {name: EPOCH + timedelta(milliseconds=ms) for name, ms in later_ms.items()}
    return StageTimes(**{"occurred": EPOCH, "appended": EPOCH, "consumed": EPOCH} | named)


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One value."""
    return metrics.registry.get_sample_value(f"sightline_{name}", labels)


def test_the_headline_is_searchable_minus_appended() -> None:
    """And each hop is counted between the stages that the event passed."""
    metrics = Metrics()
    metrics.stage_times(
        Lane.LIVE, Outcome.INDEXED, times(consumed=5, fetched=10, embedded=20, searchable=40)
    )
    assert sample(metrics, "freshness_seconds_sum", lane="live") == pytest.approx(0.04)
    for hop, seconds in {
        "appended_to_consumed": 0.005,
        "fetched_to_embedded": 0.01,
        "embedded_to_searchable": 0.02,
    }.items():
        found = sample(metrics, "hop_seconds_sum", lane="live", hop=hop)
        assert found == pytest.approx(seconds)
    assert sample(metrics, "outcomes_total", lane="live", outcome="indexed") == 1


def test_hiding_is_measured_apart() -> None:
    """The time to "never returned" is no freshness, and superseded versions have neither."""
    metrics = Metrics()
    metrics.stage_times(Lane.LIVE, Outcome.HIDDEN, times(searchable=30))
    metrics.stage_times(Lane.LIVE, Outcome.SUPERSEDED, times())
    assert sample(metrics, "hiding_seconds_sum", lane="live") == pytest.approx(0.03)
    assert sample(metrics, "freshness_seconds_count", lane="live") is None


def test_health_is_mirrored() -> None:
    """A part that is down is 0."""
    metrics = Metrics()
    health = Health(ManualClock(), changed=metrics.part)
    health.down(Part.STORE, "away")
    assert sample(metrics, "part_up", part="store") == 0


def test_every_metric_is_documented() -> None:
    """By its name and its labels; what the page names exists."""
    page = PAGE.read_text()
    facts = Metrics().facts()
    missing = [fact.name for fact in facts if f"`{fact.name}`" not in page]
    assert not missing
    named = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `sightline_")}
    assert named == {fact.name for fact in facts}


def test_what_is_exposed_bears_our_name() -> None:
    """Nothing of the process's other libraries, nothing twice."""
    text = generate_latest(Metrics().registry).decode()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert all(name.startswith("sightline_") for name in names)
    assert len(names) == len(set(names))


def test_log_lines_are_json_without_secrets() -> None:
    """Fields that speak of secrets are masked, whatever they hold."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    record = logging.getLogger("sightline.test").makeRecord(
        "sightline.test",
        logging.WARNING,
        __file__,
        1,
        "gone %s",
        ("away",),
        None,
        extra={"lane": Lane.LIVE, "sasl_password": "hunter2", "key": SecretStr("hunter2")},
    )
    handler.emit(record)
    line = json.loads(stream.getvalue())
    assert line["message"] == "gone away"
    assert line["lane"] == "live"
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize(
    "value",
    ["", "00-zz-1-01", f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01"],
)
def test_malformed_trace_headers_are_none(value: str) -> None:
    """They are left out, and a child of one begins a trace of its own."""
    assert parse_traceparent(value) is None
    assert parse_traceparent(child_traceparent(value)) is not None
    assert traceparent_of([("traceparent", value.encode())]) is None


def test_a_child_stays_in_its_trace() -> None:
    """The same trace id, another span, and back through a Kafka header."""
    parent = new_traceparent()
    child = child_traceparent(parent)
    assert parse_traceparent(child) != parse_traceparent(parent)
    assert child.split("-")[1] == parent.split("-")[1]
    assert traceparent_of([traceparent_header(child)]) == child


def test_forked_processes_name_their_spans_apart() -> None:
    """A process that is forked begins with all that its parent knew, chance included."""
    context = multiprocessing.get_context("fork")
    made = context.SimpleQueue()
    children = [context.Process(target=_tell_new, args=(made,)) for _ in range(2)]
    for child in children:
        child.start()
    told = {made.get() for _ in children}
    for child in children:
        child.join()
    assert len(told | {new_traceparent()}) == len(children) + 1


def _tell_new(made: SimpleQueue[str]) -> None:
    made.put(new_traceparent())
