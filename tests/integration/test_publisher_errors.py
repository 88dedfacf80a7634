"""What goes wrong on the way to the log, for both publishers, awaited or not: told every time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka import KafkaError

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Overloaded, PartUnavailable, TooLarge
from sightline.engine.event_log.embedded.http_producer import HttpEventProducer
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.ports import EventProducer
from sightline.engine.records import ProducerRecord
from sightline.engine.search_ids import SearchIds
from sightline.engine.settings import KafkaSettings
from sightline.infra.local.free_ports import LOOPBACK, free_port
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.producers.interactions.publisher import InteractionPublisher
from sightline.producers.interactions.publisher_async import AsyncInteractionPublisher
from sightline.schemas.images import ImageUploaded, ObjectReference
from sightline.schemas.topics import IMAGES, JUDGEMENTS
from tests.broker_faults import FaultyBroker, Request
from tests.patience import patient

LONG_S = 60.0
STATE = ImageUploaded(
    image_id="cat", version=1, object=ObjectReference(bucket="things", key="k", size_bytes=1)
)
Say = Callable[[EventProducer], Any]
"""Publishes one event and returns its acknowledgement."""


def _images(log: EventProducer) -> ImagePublisher:
    return ImagePublisher(
        log, MemoryObjectStore("things"), bucket="things", source="/test", clock=SystemClock()
    )


def _interactions(log: EventProducer) -> InteractionPublisher:
    return InteractionPublisher(log, SearchIds(b"s" * 32), source="/test", clock=SystemClock())


def image(log: EventProducer) -> Any:
    """An image, waited for."""
    return _images(log).publish(STATE).result(patient(LONG_S))


def image_awaited(log: EventProducer) -> Any:
    """An image, awaited."""
    return asyncio.run(AsyncImagePublisher(_images(log)).publish(STATE))


def judgement(log: EventProducer) -> Any:
    """A grade, waited for."""
    return (
        _interactions(log).judged("cat", "dog", 3, key="lab", judge="anna").result(patient(LONG_S))
    )


def judgement_awaited(log: EventProducer) -> Any:
    """A grade, awaited."""
    publisher = AsyncInteractionPublisher(_interactions(log))
    return asyncio.run(publisher.judged("cat", "dog", 3, key="lab", judge="anna"))


each_way = pytest.mark.parametrize("say", [image, image_awaited, judgement, judgement_awaited])


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    """A broker with both topics."""
    broker = FaultyBroker([IMAGES, JUDGEMENTS], 1)
    yield broker
    broker.close()


@pytest.fixture
def log(broker: FaultyBroker) -> Iterator[KafkaEventProducer]:
    """A producer that has reached it."""
    log = KafkaEventProducer(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
    for topic in (IMAGES, JUDGEMENTS):
        log.append(ProducerRecord(topic.name, "first", b"1")).result(patient(LONG_S))
    yield log
    log.close()


def nobody(**more: Any) -> KafkaSettings:
    """A broker that does not exist."""
    return KafkaSettings(
        bootstrap_servers=f"{LOOPBACK}:{free_port()}", delivery_timeout_s=1.0, **more
    )


@each_way
def test_a_full_queue_refuses_at_once(say: Say) -> None:
    """What waits already ends by itself; the call that finds no room is `Overloaded`."""
    log = KafkaEventProducer(nobody(max_queued_messages=1))
    waiting = log.append(ProducerRecord(IMAGES.name, "dog", b"1"))
    with pytest.raises(Overloaded):
        say(log)
    log.close()
    assert isinstance(waiting.exception(0), PartUnavailable)


@each_way
def test_too_large_a_message_is_told(broker: FaultyBroker, log: EventProducer, say: Say) -> None:
    """The topic's bound is below the client's: the broker's word ends the call, the next passes."""
    broker.refuse(Request.PRODUCE, KafkaError.MSG_SIZE_TOO_LARGE)
    with pytest.raises(TooLarge):
        say(log)
    say(log)


@each_way
def test_a_refused_authorisation_is_told(
    broker: FaultyBroker, log: EventProducer, say: Say
) -> None:
    """The message says what was refused; it is not retried in silence."""
    broker.refuse(Request.PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(PartUnavailable, match="authorization"):
        say(log)


@each_way
def test_a_topic_that_does_not_exist_is_told(kafka_settings: KafkaSettings, say: Say) -> None:
    """On a broker that makes none by itself: an error within the time of a delivery."""
    log = KafkaEventProducer(kafka_settings.model_copy(update={"delivery_timeout_s": 3.0}))
    with pytest.raises(PartUnavailable, match="appending to"):
        say(log)
    log.close()


@each_way
def test_a_closed_producer_takes_nothing(log: KafkaEventProducer, say: Say) -> None:
    """After `close` the call is an error at once."""
    log.close()
    with pytest.raises(PartUnavailable, match="closed"):
        say(log)


def test_what_is_on_its_way_is_acknowledged_before_close_returns(
    broker: FaultyBroker, log: KafkaEventProducer
) -> None:
    """Fifty events, closed at once: each has its place in the log."""
    broker.delay(200)
    published = [_images(log).publish(STATE) for _ in range(50)]
    log.close()
    assert all(future.result(0).offset >= 0 for future in published)


def test_what_cannot_arrive_is_an_error_before_close_returns() -> None:
    """No broker: every future has ended when `close` returns, none as acknowledged."""
    log = KafkaEventProducer(nobody())
    published = [_images(log).publish(STATE) for _ in range(50)]
    log.close()
    assert all(isinstance(future.exception(0), PartUnavailable) for future in published)


def test_what_is_awaited_ends_when_the_producer_is_closed(
    broker: FaultyBroker, log: KafkaEventProducer
) -> None:
    """Asyncio: closing in a thread leaves nobody waiting."""
    broker.delay(200)

    async def scenario() -> list[Any]:
        client = AsyncImagePublisher(_images(log))
        calls = [asyncio.ensure_future(client.publish(STATE)) for _ in range(50)]
        await asyncio.sleep(0)  # every call has been taken
        await asyncio.to_thread(log.close)
        return await asyncio.wait_for(asyncio.gather(*calls), patient(LONG_S))

    assert all(published.offset >= 0 for published in asyncio.run(scenario()))


def test_appending_while_it_is_closed_is_never_silent(log: KafkaEventProducer) -> None:
    """Threads that append till they are refused: every message that was taken has ended."""
    taken: list[Future[Any]] = []
    going = threading.Event()

    def append() -> None:
        with suppress(PartUnavailable):
            while True:
                taken.append(log.append(ProducerRecord(IMAGES.name, "cat", b"1")))
                going.set()

    threads = [threading.Thread(target=append) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert going.wait(patient(LONG_S))
    log.close()
    for thread in threads:
        thread.join()
    assert all(future.done() for future in taken)


def test_the_owners_api_is_an_acknowledgement_or_an_error_too() -> None:
    """In the embedded stack: what cannot be sent has ended when `close` returns."""
    log = HttpEventProducer(f"http://{LOOPBACK}:{free_port()}", timeout_s=1.0)
    published = [_images(log).publish(STATE) for _ in range(10)]
    log.close()
    log.close()
    assert all(isinstance(future.exception(0), PartUnavailable) for future in published)
    with pytest.raises(PartUnavailable, match="closed"):
        log.append(ProducerRecord(IMAGES.name, "cat", b"1"))
