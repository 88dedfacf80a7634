"""Every producer of ours puts a key on the partition where aiokafka and Faust would put it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from confluent_kafka.admin import AdminClient, NewTopic
from faust.transport.drivers.aiokafka import Producer as FaustProducer

from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import KafkaSettings
from tests.patience import patient

KEYS = 600
PARTITIONS = 12
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-"


def keys() -> list[str]:
    """Image ids of every length up to the bound."""
    choose = random.Random(20)
    return ["".join(choose.choices(ALPHABET, k=choose.randint(1, 128))) for _ in range(KEYS)]


def by_ours(settings: KafkaSettings, topic: str, sent: Sequence[str]) -> dict[str, int]:
    """Key to the partition that our adapter chose."""
    producer = KafkaEventProducer(settings)
    try:
        pending = {key: producer.append(ProducerRecord(topic, key, b"{}")) for key in sent}
        return {key: future.result(patient(30)).partition for key, future in pending.items()}
    finally:
        producer.close()


async def by_aiokafka(servers: str, topic: str, sent: Sequence[str]) -> dict[str, int]:
    """Key to the partition that aiokafka chose."""
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        pending = {key: await producer.send(topic, b"{}", key.encode()) for key in sent}
        return {key: (await future).partition for key, future in pending.items()}


def test_a_key_lands_on_one_partition_whoever_sends_it(kafka_settings: KafkaSettings) -> None:
    """600 keys, 12 partitions: our producer and aiokafka, which Faust uses, agree on each."""
    topic = "partitioner"
    named = f"{kafka_settings.topic_prefix}{topic}"
    admin = AdminClient({"bootstrap.servers": kafka_settings.bootstrap_servers})
    admin.create_topics([NewTopic(named, PARTITIONS, 1)])[named].result(patient(30))
    sent = keys()
    ours = by_ours(kafka_settings, topic, sent)
    assert ours == asyncio.run(by_aiokafka(kafka_settings.bootstrap_servers, named, sent))
    assert set(ours.values()) == set(range(PARTITIONS))


def test_faust_sends_through_aiokafka() -> None:
    """What makes the test above hold for Faust: its producer is a subclass of aiokafka's user."""
    assert FaustProducer.create_topic is not None
    assert "aiokafka" in FaustProducer.__module__
