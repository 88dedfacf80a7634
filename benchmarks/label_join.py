"""Join and miner against a do-nothing Faust agent and a plain loop with the same core.

All sides read the same simulated log from the same broker, one after the other, each in a process
of its own; a rate is per CPU second of that process from its first record on, start-up apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import Figure, Size, median_ratio, percentile, ratio
from sightline.engine.clock import SystemClock
from sightline.engine.event_log_kafka import KafkaEventProducer, read_topics
from sightline.engine.event_log_topics import KafkaTopics
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.infra.kafka_server import LocalKafka
from sightline.producers.click_simulator.catalogue import CatalogueShape, SimulatedCatalogue
from sightline.producers.click_simulator.simulated_log import SimulatedLog, Site
from sightline.producers.click_simulator.topic_driver import TopicDriver
from sightline.schemas.interactions import ResultsInteracted
from sightline.schemas.labels import SearchesClosed, Stage, TripleMined
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import (
    EPOCHS_DONE,
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    SEARCHES_CLOSED,
    SEARCHES_CLOSED_IMPORTED,
    TOPICS,
    TRAINING_TRIPLES,
    Topic,
)
from sightline.stream_workers.labels.done_topic import done_ranges
from sightline.stream_workers.labels.rules import LabelRules

PARTITIONS = 2
ROOT = Path(__file__).resolve().parent.parent
DEADLINE_S = 300.0
QUICK = LabelSettings(
    epoch_s=1.0, attribution_window_s=1.0, lateness_s=0.2, tick_s=0.1, long_dwell_s=1.0
)
"""Short windows, to see what comes on top of them."""


@dataclass
class Corner:
    """Topics of one run on a broker."""

    kafka: KafkaSettings
    directory: Path
    labels: LabelSettings = field(default_factory=LabelSettings)

    @contextmanager
    def side(
        self,
        side: str,
        *,
        expected: int = 0,
        interactions: Topic = INTERACTIONS_IMPORTED,
        closed: Topic = SEARCHES_CLOSED_IMPORTED,
    ) -> Iterator[Callable[[], dict[str, float]]]:
        """A process; what it tells so far, empty at first."""
        result = self.directory / f"{side}-{uuid.uuid4().hex}.json"
        told = {
            "side": side,
            "kafka": self.kafka.model_dump(mode="json", exclude_none=True),
            "labels": self.labels.model_dump(mode="json"),
            "interactions": interactions.name,
            "closed": closed.name,
            "partitions": PARTITIONS,
            "expected": expected,
            "directory": str(result.with_suffix("")),
            "result": str(result),
        }
        command = [sys.executable, "-m", "benchmarks.label_side", json.dumps(told)]
        with (self.directory / "sides.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own module
                command, cwd=ROOT, stdout=log, stderr=log
            )
        try:
            yield lambda: json.loads(result.read_text()) if result.exists() else {}
        finally:
            process.kill()
            process.wait()

    def done(self, stage: Stage, epoch: int) -> bool:
        """Whether the stage has finished that epoch everywhere."""
        topic = INTERACTIONS_IMPORTED if stage is Stage.JOIN else SEARCHES_CLOSED_IMPORTED
        told = read_topics(self.kafka, [EPOCHS_DONE.name])
        done = done_ranges(told, stage, topic.name, run_id=None)
        return len(done) == PARTITIONS and all(max(d).epoch >= epoch for d in done.values())


def _until(condition: Callable[[], Any], interval_s: float = 0.2) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError("a side of the benchmark did not end, see its log")
        time.sleep(interval_s)
    return answer


@dataclass(frozen=True)
class Load:
    """What lies in the log."""

    records: int
    interactions: int
    searches: int
    last_epoch: int


def _write(corner: Corner, records: int) -> Load:
    """A simulated site's log, and what is in it."""
    site = Site(searches_per_s=records / 3_600, actors=max(100, records // 50))
    log = SimulatedLog(SimulatedCatalogue(CatalogueShape(), 1), site, seed=20_260_301)
    rules = LabelRules.of(corner.labels)
    span_ms = rules.epoch_ms + rules.window_ms + rules.lateness_ms + 1
    made = list(log.records(records, end_ms=span_ms))
    producer = KafkaEventProducer(corner.kafka)
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


@contextmanager
def _corner(kafka: LocalKafka, directory: Path, labels: LabelSettings) -> Iterator[Corner]:
    settings = KafkaSettings(
        bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=f"b{uuid.uuid4().hex[:10]}.",
        partitions=PARTITIONS,
        session_timeout_s=6.0,
    )
    KafkaTopics(settings).ensure(TOPICS)
    yield Corner(settings, directory, labels)


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
    with _corner(kafka, directory, LabelSettings()) as corner:
        load = _write(corner, records)
        cpu_s = {}
        with corner.side("nothing", expected=load.records) as told:
            cpu_s["nothing"] = _until(told)["cpu_s"]
        with corner.side("join") as told:
            _until(lambda: corner.done(Stage.JOIN, load.last_epoch))
            cpu_s["join"] = told()["cpu_s"]
        closed = list(read_topics(corner.kafka, [SEARCHES_CLOSED_IMPORTED.name]))
        events = [decode(message.value).data for message in closed]
        searches = sum(len(e.searches) for e in events if isinstance(e, SearchesClosed))
        with corner.side("mine") as told:
            _until(lambda: corner.done(Stage.MINE, load.last_epoch))
            cpu_s["mine"] = told()["cpu_s"]
        for side, expected in (("plain-join", load.records), ("plain-mine", len(closed))):
            with corner.side(side, expected=expected) as told:
                cpu_s[side] = _until(told)["cpu_s"]
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


def _open_searches(kafka: LocalKafka, directory: Path, count: int) -> list[Figure]:
    """Memory and restart time of a join that holds so many searches."""
    with _corner(kafka, directory, LabelSettings()) as corner:
        log = SimulatedLog(SimulatedCatalogue(CatalogueShape(), 1), Site(actors=1_000), seed=1)
        pages = [
            record
            for record in log.records(3_000, end_ms=1)
            if record.key and b'"sightline.results.shown.v1"' in record.value
        ]
        start = datetime.fromtimestamp(pages[0].timestamp_ms / 1_000, UTC)
        producer = KafkaEventProducer(corner.kafka)
        for number in range(count):
            page = pages[number % len(pages)]
            value = page.value.replace(b'"sim-1-', b'"open-%d-' % number)
            producer.append(INTERACTIONS_IMPORTED.name, page.key or "", value, timestamp=start)
            if number % 10_000 == 0:
                producer.flush(60)
        producer.close()
        with corner.side("open", expected=count) as told:
            held = _until(lambda: (now := told()).get("held", 0) >= count and now)
    return [
        Figure(
            name=f"start with {count:,} open searches",
            value=held["ready_s"],
            unit="s",
            detail="from the imported process to all of them held, 24 images a page",
        ),
        Figure(
            name="memory of an open search",
            value=held["bytes"] / count / 1024,
            unit="KiB",
            detail=f"resident, {count:,} pages of 24 without clicks",
        ),
    ]


def _beyond_the_wait(kafka: LocalKafka, directory: Path, searches: int) -> Figure:
    """Click → triple on the live topics, beyond what the rules make it wait."""
    with _corner(kafka, directory, QUICK) as corner:
        rules = LabelRules.of(QUICK)
        log = SimulatedLog(SimulatedCatalogue(CatalogueShape(), 1), Site(), seed=2)
        producer = KafkaEventProducer(corner.kafka)
        with (
            corner.side("join", interactions=INTERACTIONS, closed=SEARCHES_CLOSED) as join,
            corner.side("mine", interactions=INTERACTIONS, closed=SEARCHES_CLOSED) as mine,
        ):
            _until(lambda: join().get("applied") and mine().get("applied"))
            _click_live(log, producer, searches)
            events = _until(lambda: _all_mined(corner.kafka), 0.5)
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
        producer.append(INTERACTIONS.name, record.key, json.dumps(event).encode())
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


def measure(size: Size) -> list[Figure]:
    """Throughput of each stage and the whole, memory, restart, and what comes after the wait."""
    records, rounds = size.of(40_000, 1_500), size.of(2, 1)
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as scratch:
        directory = Path(scratch)
        with LocalKafka(directory / "kafka") as kafka:
            figures = _throughput([_round(kafka, directory, records) for _ in range(rounds)])
            figures += _open_searches(kafka, directory, size.of(100_000, 500))
            figures.append(_beyond_the_wait(kafka, directory, size.of(300, 60)))
    return figures
