"""Join and miner against a do-nothing Faust agent and a plain loop with the same core.

All sides read the same simulated log from the same broker, one after the other, each in a process
of its own; a rate is per CPU second of that process from its first record on, start-up apart.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import Figure, Size, median_ratio, ratio
from benchmarks.label_corner import PARTITIONS, Corner, corner, until
from benchmarks.label_waiting import beyond_the_wait, open_searches
from benchmarks.stack import broker
from sightline.engine.clock import SystemClock
from sightline.engine.event_log.kafka import KafkaEventProducer, read_topics
from sightline.engine.settings import LabelSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.producers.click_simulator.catalogue import CatalogueShape, SimulatedCatalogue
from sightline.producers.click_simulator.simulated_log import SimulatedLog, Site
from sightline.producers.click_simulator.topic_driver import TopicDriver
from sightline.schemas.interactions import ResultsInteracted
from sightline.schemas.labels import SearchesClosed, Stage
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import (
    INTERACTIONS_IMPORTED,
    SEARCHES_CLOSED_IMPORTED,
)
from sightline.stream_workers.labels.rules import LabelRules


@dataclass(frozen=True)
class Load:
    """What lies in the log."""

    records: int
    interactions: int
    searches: int
    last_epoch: int


def _write(run: Corner, records: int) -> Load:
    """A simulated site's log, and what is in it."""
    site = Site(searches_per_s=records / 3_600, actors=max(100, records // 50))
    log = SimulatedLog(SimulatedCatalogue(CatalogueShape(), 1), site, seed=20_260_301)
    rules = LabelRules.of(run.labels)
    span_ms = rules.epoch_ms + rules.window_ms + rules.lateness_ms + 1
    made = list(log.records(records, end_ms=span_ms))
    producer = KafkaEventProducer(run.kafka)
    driver = TopicDriver(
        producer,
        topic=INTERACTIONS_IMPORTED.name,
        partitions=PARTITIONS,
        clock=SystemClock(),
        wait=time.sleep,
    )
    written = driver.run(made)
    producer.close()
    interactions = searches = 0
    for record in made:
        data = decode(record.value).data
        interactions += len(data.items) if isinstance(data, ResultsInteracted) else 0
        searches += isinstance(data, ResultsShown)
    last = rules.oldest_open(made[-1].timestamp_ms) - 1
    return Load(written, interactions + searches, searches, last)


@dataclass(frozen=True)
class Round:
    """CPU seconds of every side over one log."""

    load: Load
    cpu_s: dict[str, float]
    closed_records: int
    closed_searches: int

    def rate(self, side: str, count: int) -> float:
        """So many per CPU second."""
        return count / self.cpu_s[side]


def _round(kafka: LocalKafka, directory: Path, records: int) -> Round:
    with corner(kafka, directory, LabelSettings()) as run:
        load = _write(run, records)
        cpu_s = {}
        with run.side("nothing", expected=load.records) as told:
            cpu_s["nothing"] = until(told)["cpu_s"]
        with run.side("join") as told:
            cpu_s["join"] = run.spent(Stage.JOIN, load.last_epoch, told)
        closed = list(read_topics(run.kafka, [SEARCHES_CLOSED_IMPORTED.name]))
        events = [decode(message.value).data for message in closed]
        searches = sum(len(e.searches) for e in events if isinstance(e, SearchesClosed))
        with run.side("mine") as told:
            cpu_s["mine"] = run.spent(Stage.MINE, load.last_epoch, told)
        for side, expected in (("plain-join", load.records), ("plain-mine", len(closed))):
            with run.side(side, expected=expected) as told:
                cpu_s[side] = until(told)["cpu_s"]
        return Round(load, cpu_s, len(closed), searches)


def _throughput(rounds: list[Round]) -> list[Figure]:
    nothing = [r.rate("nothing", r.load.records) for r in rounds]
    joined = [r.rate("join", r.load.interactions) for r in rounds]
    mined = [r.rate("mine", r.closed_searches) for r in rounds]
    plain = [r.rate("plain-join", r.load.interactions) for r in rounds]
    plainly = [r.rate("plain-mine", r.closed_searches) for r in rounds]
    whole = [r.load.interactions / (r.cpu_s["join"] + r.cpu_s["mine"]) for r in rounds]
    messages = [r.rate("join", r.load.records) for r in rounds]
    load = rounds[0].load
    per_record = load.interactions / load.records
    bare = f"nothing {max(nothing):,.0f} messages/CPU-s; {len(rounds)} rounds"

    def against(name: str, ours: list[float], other: list[float], detail: str) -> Figure:
        return ratio(name, median_ratio(ours, other), detail=detail)

    return [
        ratio(
            "join: interactions ÷ messages of a do-nothing agent",
            median_ratio(joined, nothing),
            at_least=1.0,
            detail=f"{max(joined):,.0f}/CPU-s at {per_record:.1f} to a record; {bare}",
        ),
        against(
            "join: messages ÷ messages of a do-nothing agent",
            messages,
            nothing,
            f"{max(messages):,.0f} messages/CPU-s",
        ),
        ratio(
            "miner: searches ÷ messages of a do-nothing agent",
            median_ratio(mined, nothing),
            at_least=1.0,
            detail=f"{max(mined):,.0f}/CPU-s at "
            f"{rounds[0].closed_searches / rounds[0].closed_records:.0f} to a record; {bare}",
        ),
        against(
            "both: interactions ÷ messages of a do-nothing agent",
            whole,
            nothing,
            f"{max(whole):,.0f}/CPU-s of both processes together",
        ),
        against(
            "join ÷ plain loop, same core",
            joined,
            plain,
            f"plain {max(plain):,.0f} interactions/CPU-s",
        ),
        against(
            "miner ÷ plain loop, same core",
            mined,
            plainly,
            f"plain {max(plainly):,.0f} searches/CPU-s",
        ),
    ]


def measure(size: Size) -> list[Figure]:
    """Throughput of each stage and the whole, memory, restart, and what comes after the wait."""
    records, rounds = size.of(40_000, 600), size.of(2, 1)
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as scratch:
        directory = Path(scratch)
        with broker(directory / "kafka") as kafka:
            figures = _throughput([_round(kafka, directory, records) for _ in range(rounds)])
            figures += open_searches(kafka, directory, size.of(100_000, 500))
            figures.append(beyond_the_wait(kafka, directory, size.of(300, 60)))
    return figures
