"""What other processes ask of the owner of an embedded part, over HTTP, where the API has keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import urllib3
from pydantic import SecretStr

from sightline.engine.connecting.connections import owner_headers
from sightline.engine.errors import PartUnavailable, PermanentError
from sightline.engine.event_log.embedded.http_producer import EVENTS_PATH, HttpEventProducer
from sightline.engine.settings import ApiSettings, Settings
from sightline.infra.commands.index_through_owner import known_through
from sightline.infra.processes.http_server import bind, serve, url_of
from sightline.infra.processes.owner_routes import owner_router
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageDeleted
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES
from sightline.stream_workers.reconciling.differences import Report
from sightline.stream_workers.reconciling.report_document import RECONCILE_PATH
from tests.api_parts import BUCKET, KEYS, ApiWorld, app_of
from tests.patience import patient

FEW = 20


class Owner:
    """An API with keys and the owner's routes, on a port."""

    def __init__(self, world: ApiWorld) -> None:
        self.world = world
        app = app_of(world, keys=KEYS, requests_per_minute=FEW)
        app.include_router(owner_router(world.log, world.index, self._nothing_differs))
        listener = bind("127.0.0.1", 0)
        self.url = url_of(listener)
        self._stop, ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(
            target=serve, args=(app, listener, self._stop), kwargs={"ready": ready.set}
        )
        self._thread.start()
        assert ready.wait(patient(20))

    def close(self) -> None:
        """Stop serving."""
        self._stop.set()
        self._thread.join()

    def status(self, method: str, path: str, key: str | None) -> int:
        """What a request with that key is answered."""
        headers = {} if key is None else {"X-API-Key": key}
        return urllib3.request(method, self.url + path, headers=headers, retries=False).status

    def publisher(self, key: str | None) -> tuple[ImagePublisher, HttpEventProducer]:
        """What `sightline upload` publishes through, with that key in its settings."""
        secret = None if key is None else SecretStr(key)
        settings = Settings(api=ApiSettings(command_key=secret))
        producer = HttpEventProducer(self.url, headers=owner_headers(settings))
        world = self.world
        made = ImagePublisher(
            producer, world.store, bucket=BUCKET, source="/test", clock=world.clock
        )
        return made, producer

    @staticmethod
    def _nothing_differs(*, repair: bool) -> Report:
        del repair
        return Report(catalogued=0, indexed=0, differences=())


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    """With one private image."""
    world = ApiWorld.open(tmp_path)
    world.add("secret", 1, visibility=Visibility.PRIVATE)
    owner = Owner(world)
    yield owner
    owner.close()
    world.index.close()


def test_only_an_admin_is_heard(owner: Owner) -> None:
    """No other key publishes events, reads the winner of an image, or reconciles."""
    asked = (("POST", EVENTS_PATH), ("GET", f"{EVENTS_PATH}/secret"), ("POST", RECONCILE_PATH))
    for method, path in asked:
        for key, status in ((None, 401), ("wrong", 401), ("searcher", 403), ("writer", 403)):
            headers_missing = {422} if path == EVENTS_PATH else set()
            assert owner.status(method, path, key) in {status} | headers_missing
    assert owner.status("GET", f"{EVENTS_PATH}/secret", "admin") == 200
    assert owner.status("GET", f"{EVENTS_PATH}/unknown", "admin") == 404
    assert owner.status("POST", RECONCILE_PATH, "admin") == 200


def test_a_command_publishes_with_its_key(owner: Owner) -> None:
    """Acknowledged with its place; refused, not lost in silence, without a key or a wrong one."""
    publisher, producer = owner.publisher("admin")
    published = publisher.upload(b"1", image_id="a", version=1)
    assert published.offset == len(owner.world.log.records["images.v1"]) - 1
    producer.close()
    for key in (None, "wrong", "writer"):
        publisher, producer = owner.publisher(key)
        with pytest.raises(PermanentError, match=r"40[13]"):
            publisher.upload(b"1", image_id="b", version=1)
        producer.close()


def test_a_backfill_is_not_held_up_by_the_rate_limit(owner: Owner) -> None:
    """More events than anybody else may ask for come through; strangers are limited as ever."""
    publisher, producer = owner.publisher("admin")
    for number in range(2 * FEW):
        publisher.upload(b"1", image_id=f"n{number}", version=1)
    producer.close()
    asked = [owner.status("GET", f"{EVENTS_PATH}/secret", "wrong") for _ in range(2 * FEW)]
    assert 429 in asked


def test_a_command_learns_what_is_known(owner: Owner) -> None:
    """The state of any image; nothing of what is unknown; an error, not nothing, without a key."""
    known = known_through(owner.url, {"X-API-Key": "admin"})
    state = known("secret")
    assert state is not None
    assert state.visibility is Visibility.PRIVATE
    assert known("unknown") is None
    with pytest.raises(PartUnavailable, match="401"):
        known_through(owner.url, {})("secret")


def test_threads_that_ask_at_once_keep_their_connections(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    """Else each opens one for each question, and urllib3 says so on the terminal each time."""
    known, together = known_through(owner.url, {"X-API-Key": "admin"}, threads=4), Barrier(4)

    def ask(number: int) -> None:
        together.wait(patient(20))
        known(f"unknown-{number}")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(8)))
    assert "pool is full" not in caplog.text


def test_what_is_appended_of_a_delete_names_no_tags(owner: Owner) -> None:
    """Whatever else came with it: it would lie in the log for as long as the tombstone."""
    said = {"image_id": "a", "version": 2, "tags": ["secret"], "attributes": {"title": "secret"}}
    event = {
        "specversion": "1.0",
        "id": "e",
        "source": "/test",
        "type": ImageDeleted.TYPE,
        "subject": "a",
        "time": "2026-03-01T12:00:00Z",
        "data": said,
    }
    headers = {"X-API-Key": "admin", "X-Topic": IMAGES.name, "Content-Type": "application/json"}
    body = json.dumps(event).encode()
    url = owner.url + EVENTS_PATH
    assert urllib3.request("POST", url, body=body, headers=headers, retries=False).status == 200
    appended = owner.world.log.records[IMAGES.name][-1].value
    assert appended is not None
    assert b"secret" not in appended
    assert decode(appended).data.version == 2
