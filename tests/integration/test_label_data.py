"""Sink, retraction, metrics and commands on a real broker and a real object store."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.event_log.kafka import KafkaEventProducer, read_topics
from sightline.engine.event_log.kafka.event_log import KafkaEventLog
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.label_data.search_stats import Period
from sightline.engine.label_data.triple_manifest import LOG, TripleManifest
from sightline.engine.label_data.triple_table import read_triples
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import KafkaSettings, Mode, Settings, SinkSettings, StoreSettings
from sightline.infra.commands.labels import LabelCommands
from sightline.infra.commands.opened_store import over_store
from sightline.infra.wiring.label_data import LabelData
from sightline.infra.wiring.label_followers import stats_follower
from sightline.schemas.envelope import EventData
from sightline.schemas.interactions import UserErased
from sightline.schemas.labels import TripleRetracted
from sightline.schemas.registry import decode
from sightline.schemas.search_metrics import SearchMetricsCounted
from sightline.schemas.topics import (
    INTERACTIONS,
    SEARCH_METRICS,
    SEARCHES_CLOSED,
    TOPICS,
    TRAINING_TRIPLES,
    TRAINING_TRIPLES_DLQ,
)
from tests.forking import Forked
from tests.label_rows import (
    closed,
    encoded,
    graded,
    marker,
    search,
    triple,
    triple_id,
)
from tests.patience import patient
from tests.processes import command
from tests.running_loops import running
from tests.waiting import eventually

PARTITIONS = 3


class World:
    """One deployment's topics and bucket."""

    def __init__(self, kafka: KafkaSettings, store: StoreSettings) -> None:
        self.settings = Settings(
            mode=Mode.SERVICES,
            kafka=kafka,
            store=store,
            sink=SinkSettings(max_rows=20, max_age_s=0.3, metrics_port=None),
        )
        KafkaTopics(kafka).ensure(TOPICS)
        self.store = S3ObjectStore(store)
        self.producer = KafkaEventProducer(kafka)

    def data(self) -> LabelData:
        """What runs after the miner."""
        return LabelData(
            self.settings,
            log=KafkaEventLog(self.settings.kafka),
            store=self.store,
            producer=self.producer,
            clock=SystemClock(),
            metrics=Metrics(),
        )

    def mine(self, numbers: range, **changes: object) -> None:
        """Triples appear in the topic, some of them twice."""
        for number in numbers:
            facts = {
                "issued_at": datetime.now(UTC) - timedelta(hours=1),
                "anchor_id": f"a{number % 7}",
            } | changes
            for _ in range(1 + (number % 5 == 0)):
                self.append(TRAINING_TRIPLES.name, str(facts["anchor_id"]), triple(number, **facts))
        self.producer.flush(patient(20))

    def append(self, topic: str, key: str, value: bytes, partition: int | None = None) -> None:
        """One record."""
        self.producer.append(ProducerRecord(topic, key, value, partition=partition))

    def say(self, topic: str, key: str, data: EventData, partition: int | None = None) -> None:
        """One event."""
        self.append(topic, key, encoded(data, uuid4().hex, datetime.now(UTC)), partition)
        self.producer.flush(patient(20))

    def ids(self) -> set[str]:
        """Of the triples that hold."""
        return set(read_triples(self.store, self.settings.store.bucket)["triple_id"].to_pylist())

    def ends(self) -> int:
        """Offsets that the manifest covers."""
        manifest = self.data().manifest
        return sum(manifest.end(LOG, number) for number in range(PARTITIONS))

    def records(self, topic: str) -> int:
        """In a topic."""
        return sum(1 for _ in read_topics(self.settings.kafka, [topic]))

    def close(self) -> None:
        """Let go."""
        self.producer.close()
        self.store.close()


@pytest.fixture
def world(kafka_settings: KafkaSettings, store_settings: StoreSettings) -> Iterator[World]:
    """A fresh one."""
    made = World(kafka_settings, store_settings)
    yield made
    made.close()


def wanted(numbers: range) -> set[str]:
    """Their ids."""
    return {triple_id(number) for number in numbers}


def assert_one_row_per_offset(world: World) -> None:
    """The entries are one chain per partition, and their rows are the topic's records."""
    manifest = TripleManifest(world.store, world.settings.store.bucket, TRAINING_TRIPLES.name)
    ends: dict[int, int] = {}
    rows = 0
    for stored in manifest.entries():
        entry = stored.entry
        assert entry.first_offset == ends.get(entry.partition, 0)
        ends[entry.partition] = entry.end_offset
        rows += sum(file.rows for file in entry.files) + entry.unreadable
    assert rows == sum(ends.values()) == world.records(TRAINING_TRIPLES.name)


def test_two_racing_sinks_write_every_offset_once(world: World) -> None:
    """Both read everything; of each range of offsets one entry is created; dead letters too."""
    with running(*(world.data().sink().run for _ in range(2))):
        world.mine(range(100))
        world.append(TRAINING_TRIPLES.name, "a0", b"{}")
        world.mine(range(100, 150))
        total = world.records(TRAINING_TRIPLES.name)
        eventually(lambda: world.ends() == total, timeout_s=60, reason="all is in the manifest")
    assert world.ids() == wanted(range(150))
    assert_one_row_per_offset(world)
    assert world.records(TRAINING_TRIPLES_DLQ.name) >= 1


def sink_process(world: World, log: Path) -> Forked:
    """`sightline sink`."""
    kafka, store = world.settings.kafka, world.settings.store
    assert store.secret_key is not None
    variables = {
        "SIGHTLINE_MODE": "services",
        "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "SIGHTLINE_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "SIGHTLINE_KAFKA__PARTITIONS": str(PARTITIONS),
        "SIGHTLINE_STORE__ENDPOINT": store.endpoint,
        "SIGHTLINE_STORE__BUCKET": store.bucket,
        "SIGHTLINE_STORE__ACCESS_KEY": str(store.access_key),
        "SIGHTLINE_STORE__SECRET_KEY": store.secret_key.get_secret_value(),
        "SIGHTLINE_SINK__MAX_ROWS": "5",
        "SIGHTLINE_SINK__MAX_AGE_S": "0.1",
        "SIGHTLINE_SINK__METRICS_PORT": "0",
    }
    return Forked(command, json.dumps(["sink"]), log, environment=os.environ | variables)


def test_a_killed_sink_goes_on_where_the_manifest_ends(world: World, tmp_path: Path) -> None:
    """SIGKILL three times in the middle of writing, while triples keep coming."""
    written = 0
    log = tmp_path / "sink.log"
    for life in range(3):
        process = sink_process(world, log)
        world.mine(range(life * 100, (life + 1) * 100))
        try:
            eventually(
                lambda: world.ends() > written,  # noqa: B023 - asked at once
                timeout_s=60,
                reason=f"the sink wrote something: {log.read_text()[-2000:]}",
            )
        finally:
            process.kill()
            process.wait(patient(10))
        written = world.ends()
    process = sink_process(world, log)
    world.mine(range(300, 320))
    total = world.records(TRAINING_TRIPLES.name)
    try:
        eventually(lambda: world.ends() == total, timeout_s=60, reason="all is in the manifest")
        process.terminate()
        assert process.wait(patient(30)) == 0
    finally:
        process.kill()
    assert world.ids() == wanted(range(320))
    assert_one_row_per_offset(world)


def test_erased_and_retracted_by_command(world: World, tmp_path: Path) -> None:
    """`erase-user`, `retract` twice, then `triples` and `why` see nothing of them."""
    with over_store(LabelCommands, world.settings) as commands:
        report = commands.erase("ann")
        pseudonym = report.user_pseudonym
        world.mine(range(30))
        world.mine(range(30, 40), actor_id=pseudonym)
        said = [decode(m.value) for m in read_topics(world.settings.kafka, [INTERACTIONS.name])]
        assert [e.data.user_pseudonym for e in said if isinstance(e.data, UserErased)] == [
            pseudonym
        ]
        total = world.records(TRAINING_TRIPLES.name)
        with running(world.data().sink().run):
            eventually(lambda: world.ends() == total, timeout_s=60, reason="all is written")
            first = commands.retract()
            assert first.retracted == {"user_erased": 10}
            assert not commands.retract().changed
            total = world.records(TRAINING_TRIPLES.name)
            eventually(lambda: world.ends() == total, timeout_s=60, reason="retractions, too")
        assert not commands.retract().changed
        assert world.ids() == wanted(range(30))
        assert commands.newest(5).num_rows == 5
        assert "30 triples hold" in list(commands.stats())
        assert commands.export(tmp_path / "t.parquet") == 30
        assert commands.export(tmp_path / "t.csv") == 30
        with (tmp_path / "t.csv").open() as file:
            assert len(list(csv.DictReader(file))) == 30
        story = "\n".join(commands.why(triple_id(30), None))
        assert "retracted  user_erased" in story
    taken = [
        decode(m.value).data for m in read_topics(world.settings.kafka, [TRAINING_TRIPLES.name])
    ]
    assert sum(isinstance(data, TripleRetracted) for data in taken) == 10


def closing(world: World, random: Random, epochs: range) -> None:
    """A join's output: an epoch's searches over all partitions, then markers."""
    for epoch in epochs:
        for number in range(20):
            page = [graded(f"i{n}", n, clicks=int(random.random() < 0.5 / n)) for n in range(1, 6)]
            asked = search(f"s{epoch}-{number}", *page, anchor_id=f"a{number % 4}")
            world.say(SEARCHES_CLOSED.name, "0/x", closed(0, epoch, asked), number % PARTITIONS)
        for partition in range(PARTITIONS):
            world.say(SEARCHES_CLOSED.name, "0/x", marker(0, epoch), partition)


def told(world: World) -> dict[str, SearchMetricsCounted]:
    """What the metrics topic holds, by key."""
    found = [decode(m.value).data for m in read_topics(world.settings.kafka, [SEARCH_METRICS.name])]
    return {data.subject: data for data in found if isinstance(data, SearchMetricsCounted)}


def test_closed_searches_become_metrics_over_restarts(world: World) -> None:
    """Folded by one process, gone on by the next; a third from the start says the same."""
    for partition in range(PARTITIONS):
        world.say(SEARCHES_CLOSED.name, "0/x", marker(0, 99), partition)

    def fold_until(epoch: int) -> None:
        with running(world.data().search_metrics(INTERACTIONS, SEARCHES_CLOSED).run):
            eventually(
                lambda: any(data.epoch == epoch for data in told(world).values()),
                timeout_s=60,
                reason=f"epoch {epoch} is folded",
            )

    random = Random(1)
    closing(world, random, range(100, 102))
    fold_until(101)
    closing(world, random, range(102, 104))
    fold_until(103)
    found = told(world)
    assert {data.epoch: data.searches for data in found.values()} == dict.fromkeys(
        range(100, 104), 20
    )
    log = KafkaEventLog(world.settings.kafka)
    follower = stats_follower(log, clock=SystemClock(), metrics=Metrics())
    with running(follower.run):
        eventually(
            lambda: follower.stats.fold(Period.ALL), timeout_s=30, reason="statistics are read"
        )
        eventually(
            lambda: sum(f.sums["searches"] for f in follower.stats.fold(Period.ALL)) == 80,
            timeout_s=30,
            reason="all epochs are read",
        )
    with over_store(LabelCommands, world.settings) as commands:
        fitted = commands.fit(min_pairs=1, min_clicks=1, max_weight=10)
    assert fitted.curve.searches == 80
    assert not fitted.curve.fitted
    assert fitted.picture.endswith("000001.svg")
