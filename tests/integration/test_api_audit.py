"""Operators and refused callers leave a trace; keys are changed without a gap; metrics need one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import httpx
import pytest

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import ApiSettings, Scope
from sightline.schemas.audit import AccessRecorded, Decision
from sightline.schemas.fields import Visibility
from sightline.schemas.registry import decode
from sightline.search_api.http.keys import KeyRing
from tests.api_parts import KEYS, ApiWorld, app_of, client_of, key_of, picture

pytestmark = pytest.mark.integration


@pytest.fixture
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """A public picture and a private one."""
    world = ApiWorld.open(tmp_path_factory.mktemp("audit"))
    world.add("public-1", 1, owner_id="shop")
    world.add("private-1", 2, owner_id="shop", visibility=Visibility.PRIVATE)
    yield world
    world.index.close()


Requests = Callable[[httpx.AsyncClient], Any]


def told(world: ApiWorld, requests: Requests, **settings: object) -> list[AccessRecorded]:
    """What the audit log has after these requests."""

    async def main() -> None:
        async with client_of(app_of(world, **settings)) as client:
            await requests(client)

    asyncio.run(main())
    return [decode(message.value).data for message in world.log.records["audit.v1"]]


def acts(records: list[AccessRecorded]) -> set[tuple[str, str, str | None, int]]:
    """Who did what with which image, and what came of it."""
    return {
        (one.who, one.action, one.image_id, one.status)
        for one in records
        if one.decision is Decision.ACTED
    }


def as_(key: str) -> dict[str, str]:
    """The header."""
    return {"X-API-Key": key}


def test_what_an_operator_does_is_recorded(world: ApiWorld) -> None:
    """Each act, and each look at what is not everybody's; what everybody may do is not."""

    async def requests(client: httpx.AsyncClient) -> None:
        root, form = as_("admin"), {"image": ("p.jpg", picture(5), "image/jpeg")}
        await client.get("/v1/images/private-1", headers=root)
        await client.patch("/v1/images/public-1", json={"tags": ["x"], "version": 2}, headers=root)
        await client.put("/v1/images/new-1", files=form, headers=root)
        await client.get("/v1/images/public-1/thumbnail", headers=root)
        await client.post("/v1/search", json={"image_id": "public-1"}, headers=root)
        await client.get("/", headers=root)
        await client.get("/v1/images/private-1", headers=as_("writer"))

    about = "/v1/images/{image_id}"
    assert acts(told(world, requests, keys=KEYS)) == {
        ("key admin", f"GET {about}", "private-1", 200),
        ("key admin", f"PATCH {about}", "public-1", 428),
        ("key admin", f"PUT {about}", "new-1", 202),
    }


def test_a_refusal_where_no_key_is_needed_names_the_key(world: ApiWorld) -> None:
    """A beacon needs none; who shows one is known by it, also when it asks too often."""

    async def requests(client: httpx.AsyncClient) -> None:
        beacon = {"search_id": "none", "items": [{"kind": "click", "image_id": "public-1"}]}
        statuses = {
            (await client.post("/v1/interactions", json=beacon, headers=as_("site"))).status_code
            for _ in range(10)
        }
        assert 429 in statuses

    records = told(world, requests, keys=KEYS, requests_per_minute=6)
    assert {one.who for one in records} == {"key site"}
    assert 429 in {one.status for one in records}


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([("X-API-Key", "searcher"), ("X-API-Key", "admin")], 401),
        ([("Authorization", "Bearer admin"), ("Authorization", "Bearer searcher")], 401),
        ([("X-API-Key", "searcher"), ("X-API-Key", "searcher")], 200),
    ],
)
def test_two_keys_are_none(world: ApiWorld, lines: list[tuple[str, str]], status: int) -> None:
    """A proxy may have believed the other; the refusal is recorded."""

    async def requests(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v1/images/public-1", headers=lines)).status_code == status

    assert [one.status for one in told(world, requests, keys=KEYS)] == [401] * (status == 401)


def test_no_key_is_tried_unseen_where_none_is_needed(world: ApiWorld) -> None:
    """`/readyz` tells an admin more: a wrong key changes nothing there, and is recorded."""

    async def requests(client: httpx.AsyncClient) -> None:
        tried = [await client.get("/readyz", headers=as_(f"guess {n}")) for n in range(30)]
        assert {one.status_code for one in tried} == {200, 429}
        for headers in ({}, as_("searcher"), as_("admin")):
            assert (await client.get("/readyz", headers=headers)).status_code == 200

    records = told(world, requests, keys=KEYS, requests_per_minute=60)
    assert sum(one.count for one in records) == 30
    assert {(one.decision, one.action) for one in records} == {(Decision.REFUSED, "GET /readyz")}


def test_refusals_are_recorded_with_who_and_how_often(world: ApiWorld) -> None:
    """300 wrong keys, a key without the scope, a caller who asks too often."""

    async def requests(client: httpx.AsyncClient) -> None:
        for n in range(300):
            answer = await client.get(f"/v1/images/i{n}", headers=as_(f"guess {n}"))
            assert answer.status_code in (401, 429)
        await client.delete("/v1/images/public-1", headers=as_("searcher"))

    records = told(world, requests, keys=KEYS, requests_per_minute=60)
    by = {(one.who, one.status): 0 for one in records}
    for one in records:
        assert one.decision is Decision.REFUSED
        by[one.who, one.status] += one.count
    assert by["address 127.0.0.1", 401] + by["address 127.0.0.1", 429] == 300
    assert by["key searcher", 403] == 1
    assert len(records) <= 6
    assert not any("guess" in one.model_dump_json() for one in records)


def test_metrics_need_a_scope(world: ApiWorld) -> None:
    """They tell how the business goes; a key of that scope alone reads nothing else."""
    keys = (*KEYS, key_of("prometheus", Scope.METRICS))

    async def requests(client: httpx.AsyncClient) -> None:
        wanted = {None: 401, "searcher": 403, "writer": 403, "admin": 200, "prometheus": 200}
        for key, status in wanted.items():
            answer = await client.get("/metrics", headers={} if key is None else as_(key))
            assert answer.status_code == status, key
            assert answer.headers["cache-control"] == "no-store"  # a cache asks for no key
        for path in ("/v1/images/private-1", "/v1/images/public-1"):
            answer = await client.get(path, headers=as_("prometheus"))
            assert answer.status_code == 404
        by_id = {"image_id": "public-1"}
        answer = await client.post("/v1/search", json=by_id, headers=as_("prometheus"))
        assert answer.status_code == 403

    told(world, requests, keys=keys)


def test_a_key_is_changed_without_a_gap(world: ApiWorld) -> None:
    """Both are valid under one name; the metrics tell which of them was used, and when."""
    old, new = (sha256(text).hexdigest() for text in (b"old", b"new"))
    both = {"name": "shop-key", "sha256": new, "also_sha256": [old], "scopes": ["search"]}

    async def requests(client: httpx.AsyncClient) -> None:
        for key in ("old", "new"):
            answer = await client.get("/v1/images/public-1", headers=as_(key))
            assert answer.status_code == 200

    told(world, requests, keys=[both])
    for digest in (old, new):
        used = world.metrics.registry.get_sample_value(
            "sightline_api_key_last_used_timestamp_seconds",
            {"key": "shop-key", "sha256": digest[:8]},
        )
        assert used == pytest.approx(world.clock.now().timestamp(), abs=300)

    async def afterwards(client: httpx.AsyncClient) -> None:
        for key, status in (("old", 401), ("new", 200)):
            answer = await client.get("/v1/images/public-1", headers=as_(key))
            assert answer.status_code == status

    told(world, afterwards, keys=[both | {"also_sha256": []}])


@pytest.mark.parametrize(
    "keys",
    [
        [{"name": "a", "sha256": "0" * 64}, {"name": "a", "sha256": "1" * 64}],
        [{"name": "a", "sha256": "0" * 64}, {"name": "b", "sha256": "0" * 64}],
        [{"name": "a", "sha256": "0" * 64, "also_sha256": ["0" * 64]}],
    ],
)
def test_a_name_and_a_hash_are_of_one_key(keys: list[dict[str, Any]]) -> None:
    """Else nobody could say which of them somebody used."""
    settings = ApiSettings.model_validate({"keys": [one | {"scopes": ["search"]} for one in keys]})
    with pytest.raises(SettingsInvalid, match="api key"):
        KeyRing(settings)
