"""The API while broker or store is away: what needs it says so, the rest goes on (docs/api.md).

An index that is down is shown against the API alone, in `tests/integration`: the embedded index
lives in the process and cannot be away while the API answers.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import pytest
from pydantic import SecretStr

from sightline.engine.event_log.kafka import read_topics
from sightline.engine.settings import KafkaSettings, Mode, StoreSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from sightline.infra.local.node_process import NodeProcess
from sightline.schemas.indexed import Outcome
from sightline.schemas.topics import TOPICS
from tests.asking import Asking, drawn, embedded, ok
from tests.outcomes import outcomes_by_version
from tests.processes import ForkedNode
from tests.waiting import eventually

PICTURES = drawn(3, seed=4)
SOON_S = 30.0


@dataclass
class Stack:
    """`sightline up` on a broker and a store that a test may take away."""

    kafka: LocalKafka
    minio: LocalMinio
    node: NodeProcess
    settings: KafkaSettings


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Shared by the tests of this module: each leaves it whole."""
    directory = tmp_path_factory.mktemp("outages")
    with LocalKafka(directory / "kafka") as kafka, LocalMinio(directory / "minio") as minio:
        log = KafkaSettings(
            bootstrap_servers=kafka.bootstrap_servers,
            partitions=3,
            session_timeout_s=6.0,
            delivery_timeout_s=3.0,
        )
        store = StoreSettings(
            endpoint=minio.endpoint,
            access_key=minio.access_key,
            secret_key=SecretStr(minio.secret_key),
            timeout_s=2.0,
        )
        settings = embedded(directory / "data", learns=True).model_copy(
            update={"mode": Mode.SERVICES, "kafka": log, "store": store}
        )
        with ForkedNode(settings, directory / "node.log") as node:
            yield Stack(kafka, minio, node, log)


@pytest.fixture
def api(stack: Stack) -> Iterator[Asking]:
    """A caller of the stack; afterwards every part is up and nothing was dead-lettered."""
    with Asking(stack.node.url) as caller:
        yield caller
        eventually(lambda: caller.get("/readyz").json()["ready"], timeout_s=SOON_S)
    letters = [topic.name for topic in TOPICS if topic.dead_letters_of is not None]
    assert not list(read_topics(stack.settings, letters))


def test_without_the_broker_searches_answer_and_writes_are_refused(
    stack: Stack, api: Asking
) -> None:
    """Killed: searches go on without feedback, writes are 503 naming it, reads are as before."""
    ok(api.upload("before-broker", PICTURES[0]))
    with _away(stack.kafka, "killed"):
        eventually(lambda: _down(api) == ["broker"], timeout_s=SOON_S)  # readiness is told for 2 s
        answer = ok(_kept_search(api, PICTURES[0]))
        assert answer["feedback"] is False
        assert answer["results"][0]["image_id"] == "before-broker"
        _refused(api.upload("during-broker", PICTURES[1], wait=False), "broker")
        _refused(api.change("before-broker", wait=False, tags=["late"]), "broker")
        assert api.get("/v1/images/before-broker/thumbnail").status_code == httpx.codes.OK
        assert api.get("/healthz").status_code == httpx.codes.OK
    eventually(lambda: not _down(api), timeout_s=SOON_S)
    assert ok(api.upload("during-broker", PICTURES[1]))["status"] == "indexed"
    assert ok(api.change("before-broker", tags=["late"]))["tags"] == ["late"]
    eventually(lambda: ok(_kept_search(api, PICTURES[1]))["feedback"], timeout_s=SOON_S)
    told = outcomes_by_version(stack.settings)
    assert set(told.values()) == {Outcome.INDEXED}


@pytest.mark.parametrize("how", ["killed", "stalled"])
def test_without_the_store_searches_answer_and_what_needs_bytes_is_refused(
    stack: Stack, api: Asking, how: str
) -> None:
    """Killed, or silent: searches go on, what hides applies, what needs bytes is 503 naming it."""
    name = f"before-{how}"
    first, second = drawn(2, seed=5 if how == "killed" else 6)
    ok(api.upload(name, first, version="1"))
    with _away(stack.minio, how):
        eventually(lambda: _down(api) == ["store"], timeout_s=SOON_S)  # stalling is not at once
        by_upload = ok(_kept_search(api, first))
        assert by_upload["feedback"] is False
        assert name in [result["image_id"] for result in by_upload["results"]]
        assert ok(api.post("/v1/search", json={"image_id": name}))["feedback"] is True
        _refused(api.upload(f"during-{how}", second, wait=False), "store")
        _refused(api.get(f"/v1/images/{name}/thumbnail"), "store")
        hidden = api.change(name, if_match=1, version=2, visibility="private")
        assert ok(hidden)["status"] == "hidden"  # needs no bytes, so it does not wait for any
        assert name not in api.found(first)
    eventually(lambda: not _down(api), timeout_s=SOON_S)
    assert ok(api.upload(f"during-{how}", second))["status"] == "indexed"
    assert ok(api.change(name, if_match=2, version=3, visibility="public"))["status"] == "indexed"
    assert api.get(f"/v1/images/{name}/thumbnail").status_code == httpx.codes.OK


def test_events_that_come_while_the_store_is_away_are_indexed_when_it_is_back(
    stack: Stack, api: Asking
) -> None:
    """Acknowledged before the store went: indexed after it is back, never rejected."""
    names = [f"waiting-{number}" for number in range(20)]
    for name in names:
        ok(api.upload(name, PICTURES[2], wait=False))
    with _away(stack.minio, "killed"):
        eventually(lambda: _down(api) == ["store"], timeout_s=SOON_S)  # readiness is told for 2 s
    for name in names:
        eventually(lambda name=name: api.status(name)["status"] == "indexed", timeout_s=SOON_S)  # type: ignore[misc]


@contextmanager
def _away(server: LocalKafka | LocalMinio, how: str) -> Iterator[None]:
    """Killed and started again, or alive and silent."""
    if how == "killed":
        server.kill()
    else:
        os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        if how == "killed":
            server.start()
        else:
            os.kill(server.pid, signal.SIGCONT)


def _kept_search(api: Asking, picture: bytes) -> httpx.Response:
    """A search whose picture is kept, so that it needs broker and store to be recorded."""
    return api.post("/v1/search", files={"image": picture})


def _down(api: Asking) -> list[str]:
    """The parts that `/readyz` calls down; each with a reason, and then it is 503."""
    answer = api.get("/readyz")
    parts = answer.json()["parts"]
    down = sorted(name for name, part in parts.items() if not part["up"])
    assert all(parts[name]["reason"] for name in down)
    assert answer.status_code == (503 if down else 200)
    return down


def _refused(answer: httpx.Response, part: str) -> None:
    """503 as a problem that names the part, and says when to come again."""
    assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["part"] == part
    assert float(answer.headers["Retry-After"]) >= 1
