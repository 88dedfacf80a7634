"""A recorded log on a real broker, the two stages as processes, and what they wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from sightline.engine.event_log.kafka.clients import ended, open_reader
from sightline.engine.event_log.kafka.consumer import message_of
from sightline.engine.event_log.kafka.producer import KafkaEventProducer
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.event_log.kafka.whole_topics import read_topics
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.schemas.dead_letters import DeadLetterFacts
from sightline.schemas.labels import Stage
from sightline.schemas.topics import (
    EPOCHS_DONE,
    INTERACTIONS_IMPORTED,
    INTERACTIONS_IMPORTED_DLQ,
    INTERACTIONS_LATE,
    SEARCHES_CLOSED_IMPORTED,
    SEARCHES_CLOSED_IMPORTED_DLQ,
    TRAINING_TRIPLES,
    Topic,
    dead_letters_of,
)
from sightline.stream_workers.labels.done_epochs import DoneRange
from sightline.stream_workers.labels.groups import join_group, mine_group
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.stage.done_topic import done_ranges
from tests.forking import Forked
from tests.label_shell import StreamedTopics
from tests.label_worker import work
from tests.oracle_labels import Recorded
from tests.patience import patient
from tests.waiting import eventually

TOPICS = (
    INTERACTIONS_IMPORTED,
    INTERACTIONS_IMPORTED_DLQ,
    INTERACTIONS_LATE,
    SEARCHES_CLOSED_IMPORTED,
    SEARCHES_CLOSED_IMPORTED_DLQ,
    TRAINING_TRIPLES,
    EPOCHS_DONE,
)


def label_settings(rules: LabelRules) -> dict[str, Any]:
    """Rules as settings."""
    return {
        "epoch_s": rules.epoch_ms / 1_000,
        "attribution_window_s": rules.window_ms / 1_000,
        "lateness_s": rules.lateness_ms / 1_000,
        "history_epochs": rules.history,
        "negatives_per_positive": rules.negatives,
        "near_duplicate_bits": rules.near_duplicate_bits,
        "actor_pairs": rules.actor_pairs,
        "actor_anchor_triples": rules.actor_anchor_triples,
        "actor_barred_images": rules.actor_barred_images,
        "min_actors": rules.min_actors,
        "hot_anchor_triples": rules.hot_anchor_triples,
        "popular_negative_triples": rules.popular_negative_triples,
        "bot_acts": rules.bot_acts,
        "bot_coverage_percent": rules.bot_coverage_percent,
        "bot_coverage_shown": rules.bot_coverage_shown,
        "long_dwell_s": rules.long_dwell_ms / 1_000,
        "examined_s": rules.examined_ms / 1_000,
    }


def _read_by(stage: Stage) -> Topic:
    return INTERACTIONS_IMPORTED if stage is Stage.JOIN else SEARCHES_CLOSED_IMPORTED


def batched(log: Iterable[Recorded], size: int) -> Iterator[list[Recorded]]:
    """So many records at a time."""
    left = iter(log)
    while some := list(islice(left, size)):
        yield some


@dataclass(frozen=True, slots=True)
class LabelWorker:
    """One process of a stage, and where it logs."""

    stage: Stage
    process: Forked
    log: Path

    def stalled(self) -> bool:
        """Whether it ended itself because it stalled."""
        ended = self.process.poll() is not None
        return ended and b"faust_shell.Stalled: " in self.log.read_bytes()


class _Following:
    """Reads the done epochs to their present end; asked again, what is new of them."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.done: dict[int, list[DoneRange]] = {}
        self._prefix = kafka.topic_prefix
        self._topic = kafka.topic_prefix + EPOCHS_DONE.name
        self._reader = open_reader(kafka)
        known = self._reader.list_topics(self._topic, timeout=patient(10)).topics[self._topic]
        self._next = dict.fromkeys(known.partitions, OFFSET_BEGINNING)

    def new(self) -> Iterator[Message]:
        """Those that were not there before."""
        starts = [TopicPartition(self._topic, number, at) for number, at in self._next.items()]
        self._reader.assign(starts)
        unread = set(self._next)
        while unread:
            record = self._reader.poll(patient(10))
            assert record is not None, "the broker does not answer"
            if ended(record):
                unread.discard(record.partition() or 0)
                continue
            message = message_of(record, self._prefix)
            self._next[message.partition] = message.offset + 1
            yield message
        self._reader.unassign()  # else it would ask the broker every few milliseconds

    def close(self) -> None:
        """Let the broker go."""
        self._reader.close()


@dataclass
class LabelPipeline:
    """Topics of one test, and the processes that work on them."""

    kafka: KafkaSettings
    rules: LabelRules
    directory: Path
    interactions: Topic = INTERACTIONS_IMPORTED
    closed: Topic = SEARCHES_CLOSED_IMPORTED
    faults: Mapping[str, Any] = field(default_factory=dict)
    """Further label settings: how soon the workers give up."""
    supervised: bool = False
    """Whether a worker that ended itself because it stalled is started again, as `sightline up`
    does. The shell's driver may forget a partition in a rebalance; then the worker ends so."""
    workers: list[LabelWorker] = field(default_factory=list)
    _revived: set[LabelWorker] = field(default_factory=set)
    _reviving: Lock = field(default_factory=Lock)
    """A test may watch both stages at a time, each in a thread."""
    _following: dict[Stage, _Following] = field(default_factory=dict)

    def create(self) -> None:
        """The topics."""
        names = (self.interactions, dead_letters_of(self.interactions.name), self.closed)
        KafkaTopics(self.kafka).ensure(tuple({t.name: t for t in (*TOPICS, *names)}.values()))

    def write(self, log: Iterable[Recorded]) -> None:
        """Put a log on the source topic; offsets come out as recorded."""
        with closing(KafkaEventProducer(self.kafka)) as producer:
            batch = producer.batch()
            for record in log:
                since = timedelta(milliseconds=record.timestamp_ms)
                batch.append(
                    ProducerRecord(
                        INTERACTIONS_IMPORTED.name,
                        "k",
                        record.value,
                        partition=record.partition,
                        timestamp=datetime(1970, 1, 1, tzinfo=UTC) + since,
                    )
                )
            batch.seal().result(patient(60))

    def write_in_transactions(
        self, log: Iterable[Recorded], *, records: int, aborted_every: int
    ) -> None:
        """The same by a transactional producer; some transactions are aborted, then repeated."""
        name = self.kafka.topic_prefix + INTERACTIONS_IMPORTED.name
        producer = Producer(
            {"bootstrap.servers": self.kafka.bootstrap_servers, "transactional.id": name}
        )
        producer.init_transactions(patient(30))
        for number, some in enumerate(batched(log, records)):
            tries = (False, True) if number % aborted_every == 0 else (True,)
            for committed in tries:
                producer.begin_transaction()
                for record in some:
                    producer.produce(
                        name,
                        record.value,
                        partition=record.partition,
                        timestamp=record.timestamp_ms,
                    )
                producer.flush(patient(30))
                end = producer.commit_transaction if committed else producer.abort_transaction
                end(patient(30))

    def recorded(self) -> list[Recorded]:
        """The log as it lies in Kafka: what the oracle judges."""
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return [
            Recorded(
                message.partition,
                message.offset,
                (message.timestamp - epoch) // timedelta(milliseconds=1),
                message.value,
            )
            for message in read_topics(self.kafka, [INTERACTIONS_IMPORTED.name])
        ]

    def start(
        self,
        stage: Stage,
        *,
        dies_before: int | None = None,
        hangs_on: str | None = None,
        commit_interval_s: float | None = None,
    ) -> Forked:
        """One worker of a stage."""
        return self._start(stage, dies_before, hangs_on, commit_interval_s).process

    def dies(self, stage: Stage, *, before: int, timeout_s: float) -> int:
        """The exit code of a worker that kills itself before so many sends.

        One that stalls earlier does not get there: another is started.
        """
        while True:
            worker = self._start(stage, before)
            ended = worker.process.wait(patient(timeout_s))
            if not worker.stalled():
                return ended

    def _start(
        self,
        stage: Stage,
        dies_before: int | None = None,
        hangs_on: str | None = None,
        commit_interval_s: float | None = None,
    ) -> LabelWorker:
        kafka = self.kafka.model_dump(mode="json", exclude_none=True)
        if self.kafka.sasl_password is not None:
            kafka["sasl_password"] = self.kafka.sasl_password.get_secret_value()
        own = self.directory / f"{stage.value}-{uuid4().hex[:12]}"
        told = {
            "stage": stage.value,
            "kafka": kafka,
            "labels": label_settings(self.rules) | dict(self.faults),
            "interactions": self.interactions.name,
            "closed": self.closed.name,
            "data_directory": str(own),
            "dies_before": dies_before,
            "hangs_on": hangs_on,
            "commit_interval_s": commit_interval_s,
        }
        log = own.with_suffix(".log")
        worker = LabelWorker(stage, Forked(work, json.dumps(told), log), log)
        self.workers.append(worker)
        return worker

    def kill(self, stage: Stage) -> None:
        """Kill -9 all workers of a stage, those included that were started anew."""
        with self._reviving:
            for worker in [w for w in self.workers if w.stage is stage]:
                worker.process.kill()
                worker.process.wait()

    def _revive(self) -> None:
        """Start a worker in the place of each that ended because it stalled."""
        with self._reviving:
            stalled = [w for w in self.workers if w not in self._revived and w.stalled()]
            self._revived.update(stalled)
            for worker in stalled:
                self.start(worker.stage)

    def stop(self) -> None:
        """Kill what is left."""
        for worker in self.workers:
            worker.process.kill()
            worker.process.wait()
        self._stop_following()

    def _stop_following(self) -> None:
        for following in self._following.values():
            following.close()
        self._following.clear()

    def wait_until_done(self, stage: Stage, partitions: int, epoch: int, timeout_s: float) -> None:
        """Until the stage has finished that epoch in every partition."""

        def finished() -> bool:
            done = self.done(stage)
            return all(any(d.epoch >= epoch for d in done.get(p, ())) for p in range(partitions))

        eventually(finished, timeout_s=timeout_s, interval_s=0.5, reason=f"{stage} {epoch} done")

    def done(self, stage: Stage) -> dict[int, list[DoneRange]]:
        """What the stage has finished, by partition."""
        if self.supervised:
            self._revive()
        if stage not in self._following:
            self._following[stage] = _Following(self.kafka)
        following = self._following[stage]
        found = done_ranges(following.new(), stage, _read_by(stage).name, run_id=None)
        for partition, ranges in found.items():
            following.done.setdefault(partition, []).extend(ranges)
        return following.done

    def forget(self) -> None:
        """Only the source topic is left: no output, no done epoch, no committed offset.

        The groups must have no members any more.
        """
        admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap_servers})
        settings = LabelSettings()
        groups = (
            join_group(settings, INTERACTIONS_IMPORTED.name),
            mine_group(settings, SEARCHES_CLOSED_IMPORTED.name),
        )
        names = [self.kafka.topic_prefix + group for group in groups]
        for removed in admin.delete_consumer_groups(names).values():
            removed.result()
        topics = [t for t in TOPICS if t is not INTERACTIONS_IMPORTED]
        known = admin.list_topics(timeout=patient(10)).topics
        everything = [
            TopicPartition(name, number, OFFSET_END)
            for name in (self.kafka.topic_prefix + topic.name for topic in topics)
            for number in known[name].partitions
        ]
        for removed in admin.delete_records(everything).values():
            removed.result()
        self._stop_following()

    def streamed(self, targets: int) -> StreamedTopics:
        """Everything that the stages wrote."""
        topics = StreamedTopics(targets)
        for message in read_topics(self.kafka, [SEARCHES_CLOSED_IMPORTED.name]):
            topics.closed[message.partition].append(message.value or b"")
        for message in read_topics(self.kafka, [TRAINING_TRIPLES.name]):
            topics.triples.append(message.value or b"")
        for message in read_topics(self.kafka, [INTERACTIONS_LATE.name]):
            topics.omitted.append(message.value or b"")
        for message in read_topics(self.kafka, [INTERACTIONS_IMPORTED_DLQ.name]):
            facts = DeadLetterFacts.parse(list(message.headers))
            topics.dead.append((facts.stage, facts.partition, facts.offset))
        return topics

    def last_closed(self, log: Iterable[Recorded], sources: int) -> int:
        """The newest epoch that is closed in every partition."""
        newest = [0] * sources
        for record in log:
            newest[record.partition] = max(newest[record.partition], record.timestamp_ms)
        return min(self.rules.oldest_open(stamp) for stamp in newest) - 1
