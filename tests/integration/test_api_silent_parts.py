"""Requests while broker or store is silent: no write is taken for done, and nobody else waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.records import Message, StoredObject
from sightline.search_api.threads.pools import MAX_WRITES
from tests.api_parts import ApiWorld, part, run
from tests.patience import patient

PUBLIC = {"visibility": "public"}
PRIVATE = {"visibility": "private"}
AT_VERSION_1 = {"If-Match": '"1"'}
REFUSED = PartUnavailable(Part.BROKER, "refused")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """One indexed image, `mine`, whose versions Sightline counts."""
    world = ApiWorld.open(tmp_path)

    async def upload(client: httpx.AsyncClient) -> None:
        await client.put("/v1/images/mine", files=part(), data=PUBLIC)

    run(world, upload)
    world.work()
    yield world
    world.index.close()


def test_a_repeated_delete_is_published(world: ApiWorld) -> None:
    """The first got as far as the catalogue; the answer to the second is the truth."""

    async def scenario(client: httpx.AsyncClient) -> None:
        world.log.refusals = [REFUSED, REFUSED]
        assert (await client.delete("/v1/images/mine")).status_code == 503
        assert (await client.delete("/v1/images/mine")).status_code == 503
        assert world.log.refusals == []
        assert (await client.delete("/v1/images/mine")).status_code == 202
        world.work()
        assert (await client.get("/v1/images/mine")).json()["status"] == "deleted"

    run(world, scenario)


def test_a_repeated_conditional_change_ends(world: ApiWorld) -> None:
    """What the first left unpublished is published, so that reading again shows another ETag."""

    async def scenario(client: httpx.AsyncClient) -> None:
        world.log.refusals = [REFUSED]
        failed = await client.patch("/v1/images/mine", json=PRIVATE, headers=AT_VERSION_1)
        assert (failed.status_code, world.log.refusals) == (503, [])
        stale = await client.patch("/v1/images/mine", json=PRIVATE, headers=AT_VERSION_1)
        assert (stale.status_code, stale.headers["etag"]) == (412, '"2"')
        world.work()
        now = (await client.get("/v1/images/mine")).json()
        assert (now["version"], now["status"]) == (2, "hidden")

    run(world, scenario)


def test_writes_that_wait_for_the_broker_hold_up_nothing_else(world: ApiWorld) -> None:
    """Status and readiness answer meanwhile; too many writes are told to come back."""
    silent: Future[Message] = Future()

    async def scenario(client: httpx.AsyncClient) -> None:
        world.log.answer = silent
        writes = [
            asyncio.create_task(client.post("/v1/images", files=part()))
            for _ in range(2 * MAX_WRITES + 8)
        ]
        refused, waiting = await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
        async with asyncio.timeout(patient(20)):
            while len(refused) < 8:  # the others can only end with the broker
                more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                refused |= more
            assert (await client.get("/v1/images/mine")).json()["status"] == "indexed"
            assert (await client.get("/readyz")).json()["parts"]["store"]["up"]
        for write in refused:
            answer = write.result()
            assert (answer.status_code, answer.json()["part"]) == (503, "broker")
            assert answer.json()["type"].endswith("overloaded")
        silent.set_exception(PartUnavailable(Part.BROKER, "not acknowledged"))
        assert {(await write).status_code for write in waiting} == {503}

    run(world, scenario)


def test_a_silent_store_holds_up_only_what_needs_it(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many requests wait for it; `/readyz` names the store and nothing else."""
    answers = threading.Event()
    stat = world.store.stat

    def silent(bucket: str, key: str) -> StoredObject:
        answers.wait(patient(60))
        return stat(bucket, key)

    async def scenario(client: httpx.AsyncClient) -> None:
        monkeypatch.setattr(world.store, "stat", silent)
        waiting = [asyncio.create_task(client.get(f"/v1/images/no{n}")) for n in range(40)]
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(patient(20)):
                assert (await client.get("/v1/images/mine")).json()["status"] == "indexed"
                parts = (await client.get("/readyz")).json()["parts"]
            assert [name for name, part in parts.items() if not part["up"]] == ["store"]
        finally:
            answers.set()
        assert {(await one).status_code for one in waiting} == {404}

    run(world, scenario)


def test_what_waits_for_index_and_store_waits_in_its_own_threads(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asyncio's own, where forms are read and pictures hashed, wait for neither."""
    waited: set[tuple[str, str]] = set()

    def watch(part: object, name: str) -> None:
        method = getattr(part, name)

        def watched(*args: Any, **more: Any) -> Any:
            waited.add((name, threading.current_thread().name.rpartition("_")[0]))
            return method(*args, **more)

        monkeypatch.setattr(part, name, watched)

    async def scenario(client: httpx.AsyncClient) -> None:
        owned = {**PUBLIC, "version": "1"}
        stored = await client.put("/v1/images/theirs", files=part(), data=owned)
        assert stored.status_code == 202
        said = {"anchor_id": "mine", "image_id": "mine", "grade": 3, "judge": "anna"}
        assert (await client.post("/v1/judgements", json=said)).status_code == 202

    watch(world.store, "put")
    watch(world.index, "get")
    run(world, scenario)
    assert {kind for name, kind in waited if name == "put"} == {"image-write"}
    assert {kind for name, kind in waited if name == "get"} == {"image-status", "judgement"}


def test_too_many_pictures_are_told_to_come_back(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is being fetched and one waits; the third names the store and a time, the two arrive."""
    answers, asked = threading.Event(), threading.Event()
    get = world.store.get

    def silent(bucket: str, key: str, **bounds: Any) -> bytes:
        asked.set()
        answers.wait(patient(60))
        return get(bucket, key, **bounds)

    async def scenario(client: httpx.AsyncClient) -> None:
        monkeypatch.setattr(world.store, "get", silent)
        kinds = ("content", "thumbnail", "thumbnail")
        asks = [asyncio.create_task(client.get(f"/v1/images/mine/{kind}")) for kind in kinds]
        try:
            async with asyncio.timeout(patient(20)):
                (refused,), waiting = await asyncio.wait(asks, return_when=asyncio.FIRST_COMPLETED)
                assert await asyncio.to_thread(asked.wait, patient(20))
        finally:
            answers.set()
        told = refused.result()
        assert (told.status_code, told.json()["part"]) == (503, "store")
        assert told.json()["type"].endswith("overloaded")
        assert int(told.headers["retry-after"]) >= 1
        assert {(await one).status_code for one in waiting} == {200}

    run(world, scenario, max_concurrent_renditions=1)
