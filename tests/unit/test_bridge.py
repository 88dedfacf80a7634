"""The bucket bridge on a log and a store in memory."""

from __future__ import annotations

import json
import threading

from prometheus_client import CollectorRegistry

from sightline.engine.clock import ManualClock
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.records import TopicPartition
from sightline.engine.settings import BridgeSettings, WorkerSettings
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.ids import id_of_object
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.topics import BUCKET_NOTIFICATIONS, BUCKET_NOTIFICATIONS_DLQ, IMAGES
from sightline.stream_workers.bucket_bridge.bridge import BucketBridge
from tests.waiting import eventually
from tests.worker_parts import MemoryConsumer, MemoryLog, MemoryStore

OURS, WATCHED, GROUP = "sightline", "photos", "bridge"
PLACE = TopicPartition(BUCKET_NOTIFICATIONS.name, 0)


def created(key: str) -> bytes:
    """What MinIO says of a new object."""
    item = {"key": key, "size": 3, "sequencer": "17F00000000", "userMetadata": {}}
    s3 = {"bucket": {"name": WATCHED}, "object": item}
    return json.dumps({"Records": [{"eventName": "s3:ObjectCreated:Put", "s3": s3}]}).encode()


def test_a_damaged_entry_of_the_catalogue_stops_only_its_own_image() -> None:
    """Its notification is a dead letter, the next one an event, and both are committed."""
    clock, store = ManualClock(), MemoryStore()
    log = MemoryLog(clock)
    metrics = Metrics(CollectorRegistry())
    store.put(OURS, f"catalogue/{id_of_object(WATCHED, 'a.jpg')}.json", b"not ours")
    publisher = ImagePublisher(log, store, bucket=OURS, source="/test", clock=clock)
    bridge = BucketBridge(
        consumer=MemoryConsumer(log, GROUP),
        producer=log,
        store=store,
        images=CataloguedImages(Catalogue(store, OURS), publisher),
        own_bucket=OURS,
        settings=BridgeSettings(),
        limits=WorkerSettings(),
        clock=clock,
        metrics=metrics,
        health=Health(clock),
    )
    for key in ("a.jpg", "b.jpg"):
        log.append(BUCKET_NOTIFICATIONS.name, key, created(key))
    stop = threading.Event()
    thread = threading.Thread(target=bridge.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: log.committed.get((GROUP, PLACE)) == 2, timeout_s=10)
    finally:
        stop.set()
        thread.join()
    assert len(log.records[BUCKET_NOTIFICATIONS_DLQ.name]) == 1
    assert [m.key for m in log.records[IMAGES.name]] == [id_of_object(WATCHED, "b.jpg").encode()]
