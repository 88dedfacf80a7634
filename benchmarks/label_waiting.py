"""What a join holds while it waits, what a restart costs then, and what comes after the wait."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.harness import Figure, percentile
from benchmarks.label_corner import PARTITIONS, corner, until
from sightline.engine.event_log.kafka import KafkaEventProducer, read_topics
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.producers.click_simulator.catalogue import CatalogueShape, SimulatedCatalogue
from sightline.producers.click_simulator.simulated_log import SimulatedLog, Site
from sightline.schemas.labels import TripleMined
from sightline.schemas.registry import decode
from sightline.schemas.topics import (
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    SEARCHES_CLOSED,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.labels.rules import LabelRules

QUICK = LabelSettings(
    epoch_s=1.0, attribution_window_s=1.0, lateness_s=0.2, tick_s=0.1, long_dwell_s=1.0
)
"""Short windows, to see what comes on top of them."""


def open_searches(kafka: LocalKafka, directory: Path, count: int) -> list[Figure]:
    """Memory and restart time of a join that holds so many searches."""
    with corner(kafka, directory, LabelSettings()) as run:
        log = SimulatedLog(SimulatedCatalogue(CatalogueShape(), 1), Site(actors=1_000), seed=1)
        pages = [
            record
            for record in log.records(min(3_000, count), end_ms=1)
            if record.key and b'"sightline.results.shown.v1"' in record.value
        ]
        start = datetime.fromtimestamp(pages[0].timestamp_ms / 1_000, UTC)
        producer = KafkaEventProducer(run.kafka)
        for number in range(count):
            page = pages[number % len(pages)]
            value = page.value.replace(b'"sim-1-', b'"open-%d-' % number)
            producer.append(
                ProducerRecord(INTERACTIONS_IMPORTED.name, page.key or "", value, timestamp=start)
            )
            if number % 10_000 == 0:
                producer.flush(60)
        producer.close()
        with run.side("open", expected=count) as told:
            held = until(lambda: (now := told()).get("held", 0) >= count and now)
    return [
        Figure(
            name=f"start with {count:,} open searches",
            value=held["ready_s"],
            unit="s",
            detail=f"from the imported process to all of them held, 24 images a page; "
            f"{held['cpu_s']:.1f} CPU-s",
        ),
        Figure(
            name="memory of an open search",
            value=held["bytes"] / count / 1024,
            unit="KiB",
            detail=f"resident, {count:,} pages of 24 without clicks",
        ),
    ]


def beyond_the_wait(kafka: LocalKafka, directory: Path, searches: int) -> Figure:
    """Click → triple on the live topics, beyond what the rules make it wait."""
    with corner(kafka, directory, QUICK) as run:
        rules = LabelRules.of(QUICK)
        log = SimulatedLog(SimulatedCatalogue(CatalogueShape(), 1), Site(), seed=2)
        producer = KafkaEventProducer(run.kafka)
        with (
            run.side("join", interactions=INTERACTIONS, closed=SEARCHES_CLOSED) as join,
            run.side("mine", interactions=INTERACTIONS, closed=SEARCHES_CLOSED) as mine,
        ):
            until(lambda: join().get("applied") and mine().get("applied"))
            _click_live(log, producer, searches)
            events = until(lambda: _all_mined(run.kafka), 0.5)
        producer.close()
    late = [at - rules.closes_at(epoch) / 1_000 for at, epoch in events]
    return Figure(
        name="click → triple beyond the set waiting time, p50",
        value=percentile(late, 0.5),
        unit="s",
        detail=f"p95 {percentile(late, 0.95):.2f} s, {len(late)} triples; ticks each "
        f"{QUICK.tick_s} s, {PARTITIONS} partitions",
    )


def _click_live(log: SimulatedLog, producer: KafkaEventProducer, searches: int) -> None:
    for record in log.records(searches * 3, end_ms=1):
        if record.key is None:
            continue
        now = datetime.now(UTC)
        event = json.loads(record.value)
        event["data"]["issued_at"] = _page_time(event["data"]["search_id"], now)
        if "received_at" in event["data"]:
            event["data"]["received_at"] = now.isoformat()
            for item in event["data"]["items"]:
                item["since_answer_ms"] = min(item["since_answer_ms"], 900)
        producer.append(ProducerRecord(INTERACTIONS.name, record.key, json.dumps(event).encode()))
        time.sleep(0.01)


_times: dict[str, str] = {}


def _page_time(search_id: str, now: datetime) -> str:
    return _times.setdefault(search_id, now.isoformat(timespec="milliseconds"))


def _all_mined(kafka: KafkaSettings) -> list[tuple[float, int]]:
    """(appended, epoch) of every triple, once nothing can come any more."""
    found = [
        (message.timestamp.timestamp(), data.epoch)
        for message in read_topics(kafka, [TRAINING_TRIPLES.name])
        if isinstance(data := decode(message.value).data, TripleMined)
    ]
    quiet = bool(found) and time.time() - max(at for at, _ in found) > 6  # noqa: PLR2004
    return found if quiet else []
