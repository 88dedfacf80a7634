"""Every route of the app, walked with images that the caller must not see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.errors import Part, PartUnavailable
from sightline.schemas.fields import Moderation, Visibility
from tests.api_parts import KEYS, ApiWorld, client_of, picture
from tests.generated_requests import POOL, app_of_every_route

HIDDEN = ("private-1", "blocked-1", "deleted-1")
SEEDS = dict(zip(HIDDEN, (101, 102, 103), strict=True))
NOBODY = "never-was"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """Ten public pictures of `shop`, and a private, a blocked and a deleted one."""
    world = ApiWorld.open(tmp_path, embedded=True)
    for n in range(10):
        world.add(f"i{n}", n, owner_id="shop")
    world.add("private-1", 101, owner_id="shop", visibility=Visibility.PRIVATE, tags=("secret",))
    world.add("blocked-1", 102, owner_id="shop", moderation=Moderation.BLOCKED, tags=("secret",))
    world.add("deleted-1", 103, owner_id="shop", tags=("secret",))
    state = world.index.get(["deleted-1"])["deleted-1"].state
    world.publisher.delete(state, version=2)
    world.work()
    yield world
    world.index.close()


def walk(world: ApiWorld, scenario: Any) -> None:
    """Run a scenario with the app and a client without a key of its own."""

    async def main() -> None:
        app = app_of_every_route(world, keys=KEYS)
        async with client_of(app) as client:
            await scenario(client, app.openapi())
            await app.state.impressions.drain()

    asyncio.run(main())


async def ask(
    client: httpx.AsyncClient, method: str, path: str, image_id: str, key: str
) -> httpx.Response:
    """One request to an operation, about an image, with a body where it takes one."""
    headers = {"X-API-Key": key}
    if method != "post":  # what is posted to has no versions
        headers["If-Match"] = '"1"'
    address = path.replace("{image_id}", image_id)
    if path == "/v1/search":
        return await client.post(address, json={"image_id": image_id}, headers=headers)
    if method == "patch":
        return await client.patch(address, json={"tags": ["x"], "version": 9}, headers=headers)
    if method in ("put", "post"):
        files = {"image": ("p.jpg", picture(SEEDS.get(image_id, 500)), "image/jpeg")}
        return await client.request(method, address, files=files, headers=headers)
    return await client.request(method, address, headers=headers)


def essence(answer: httpx.Response, image_id: str) -> tuple[int, str, dict[str, str]]:
    """All of an answer that could tell one image from another, its own id aside."""
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in ("server-timing", "content-length", "location")
    }
    return answer.status_code, answer.text.replace(image_id, "ID"), headers


@pytest.mark.parametrize("image_id", HIDDEN)
def test_no_route_tells_a_hidden_image_from_one_that_never_was(
    world: ApiWorld, image_id: str
) -> None:
    """For a `search` key: same status, body and headers, by every operation that takes an id."""

    async def scenario(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
        walked = 0
        for path, operations in document["paths"].items():
            if "{image_id}" not in path and path != "/v1/search":
                continue
            for method in operations:
                hidden = await ask(client, method, path, image_id, "searcher")
                absent = await ask(client, method, path, NOBODY, "searcher")
                assert essence(hidden, image_id) == essence(absent, NOBODY), (method, path)
                assert hidden.status_code in (403, 404), (method, path)
                walked += 1
        assert walked >= 7

    walk(world, scenario)


@pytest.mark.parametrize("key", ["searcher", "judge"])
def test_no_other_route_names_a_hidden_image(world: ApiWorld, key: str) -> None:
    """Readiness, metrics, the page, OpenAPI, pools: none has a hidden image's id, or its tag."""

    async def scenario(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
        addresses = [path for path in document["paths"] if "{image_id}" not in path]
        for path in [*addresses, "/", "/openapi.json", "/page/app.js"]:
            address = path.replace("{pool}", POOL)
            posted: dict[str, Any] = {"method": "POST", "json": {"judge": "anna", "limit": 20}}
            asked = posted if path.endswith("/sheet") else {"method": "GET"}
            answer = await client.request(url=address, headers={"X-API-Key": key}, **asked)
            said = answer.text + str(answer.headers)
            assert not any(name in said for name in (*HIDDEN, "secret")), address

    walk(world, scenario)


@pytest.mark.parametrize("key", ["searcher", "admin"])
@pytest.mark.parametrize("image_id", HIDDEN)
def test_the_very_picture_does_not_find_its_hidden_image(
    world: ApiWorld, image_id: str, key: str
) -> None:
    """Nor its tag, nor a count; for an admin neither, since searches are the same for all."""

    async def scenario(client: httpx.AsyncClient, _: dict[str, Any]) -> None:
        for fields in ({"limit": "100"}, {"tags_any": "secret"}, {"near_duplicates": "keep"}):
            answer = await client.post(
                "/v1/search",
                files={"image": ("p.jpg", picture(SEEDS[image_id]), "image/jpeg")},
                data=fields,
                headers={"X-API-Key": key},
            )
            body = answer.json()
            assert answer.status_code == 200
            assert not {r["image_id"] for r in body["results"]} & set(HIDDEN)
            assert body["removed"] == {}
        by_id = await client.post(
            "/v1/search", json={"image_id": image_id}, headers={"X-API-Key": key}
        )
        assert by_id.status_code == 404

    walk(world, scenario)
    said = b"".join(m.value or b"" for m in world.log.records["interactions.v1"])
    assert not any(name.encode() in said for name in HIDDEN)


def test_a_rendition_made_while_public_is_gone_once_private(world: ApiWorld) -> None:
    """The kept thumbnail, and a browser's copy that asks again, are both refused."""

    async def scenario(client: httpx.AsyncClient, _: dict[str, Any]) -> None:
        key = {"X-API-Key": "searcher"}
        before = await client.get("/v1/images/i3/thumbnail", headers=key)
        assert before.status_code == 200
        assert before.headers["cache-control"] == "private, no-cache"
        state = world.index.get(["i3"])["i3"].state
        world.publisher.change(state, version=2, visibility=Visibility.PRIVATE)
        world.work()
        again = {**key, "If-None-Match": before.headers["etag"]}
        after = await client.get("/v1/images/i3/thumbnail", headers=again)
        assert after.status_code == 404
        own = await client.get("/v1/images/i3/thumbnail", headers={"X-API-Key": "writer"})
        assert own.status_code == 200
        assert own.headers["cache-control"] == "no-store"

    walk(world, scenario)


def test_readiness_tells_strangers_nothing_of_the_inside(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a part says of its failure may name hosts, paths, a password: an admin's business."""
    secret = "https://qdrant:hunter2@10.0.0.7:6333 at /srv/index: Traceback"

    def down(*_: object, **__: object) -> None:
        raise PartUnavailable(Part.INDEX, secret)

    async def scenario(client: httpx.AsyncClient, _: dict[str, Any]) -> None:
        monkeypatch.setattr(world.index, "get", down)
        for headers in ({}, {"X-API-Key": "searcher"}, {"X-API-Key": "wrong"}):
            answer = await client.get("/readyz", headers=headers)
            said = answer.json()["parts"]["index"]
            assert (answer.status_code, said["up"]) == (503, False)
            assert "sightline doctor" in said["reason"]
            assert "hunter2" not in answer.text + str(answer.headers)
        inside = await client.get("/readyz", headers={"X-API-Key": "admin"})
        assert secret in inside.json()["parts"]["index"]["reason"]
        refused = await client.get("/v1/images/i1", headers={"X-API-Key": "searcher"})
        assert refused.status_code == 503
        assert "hunter2" not in refused.text

    walk(world, scenario)


def test_a_picture_that_is_gone_is_not_told_by_its_key(world: ApiWorld) -> None:
    """Where the bytes lay is its owner's business."""
    reference = world.index.get(["i4"])["i4"].object
    assert reference is not None
    world.store.delete(reference.bucket, reference.key)

    async def scenario(client: httpx.AsyncClient, _: dict[str, Any]) -> None:
        answer = await client.get("/v1/images/i4/content", headers={"X-API-Key": "searcher"})
        assert answer.status_code == 404
        assert "images/" not in answer.text

    walk(world, scenario)


def test_owners_and_admins_see_what_is_theirs(world: ApiWorld) -> None:
    """Its owner's `write` key and an admin see every status; a rival's key sees nothing."""

    async def scenario(client: httpx.AsyncClient, _: dict[str, Any]) -> None:
        for image_id, status in zip(HIDDEN, ("hidden", "hidden", "deleted"), strict=True):
            for key in ("writer", "admin"):
                answer = await client.get(f"/v1/images/{image_id}", headers={"X-API-Key": key})
                assert answer.json()["status"] == status
            for method in ("get", "patch", "put", "delete"):
                hidden = await ask(client, method, "/v1/images/{image_id}", image_id, "rival")
                absent = await ask(client, method, "/v1/images/{image_id}", NOBODY, "rival")
                assert essence(hidden, image_id) == essence(absent, NOBODY)
                # Of what is not there, no version is the present one.
                assert hidden.status_code == (412 if method == "put" else 404), method

    walk(world, scenario)


def test_renditions_carry_nothing_of_the_original(world: ApiWorld) -> None:
    """Re-encoded: no metadata and nothing after the picture."""
    secret = b"GPS 52.52 N, 13.40 E"
    data = picture(300) + secret
    world.publisher.upload(data, image_id="trailing", version=1, visibility=Visibility.PUBLIC)
    world.work()

    async def scenario(client: httpx.AsyncClient, _: dict[str, Any]) -> None:
        for kind in ("content", "thumbnail"):
            answer = await client.get(
                f"/v1/images/trailing/{kind}", headers={"X-API-Key": "searcher"}
            )
            assert answer.headers["content-type"] == "image/jpeg"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert secret not in answer.content

    walk(world, scenario)


def test_only_who_may_write_learns_whose_an_image_is(world: ApiWorld) -> None:
    """A status names the owner to sellers and admins; why it was allowed, to its own and admins."""
    url = "/v1/images/i0"
    word = {"moderation": "allowed", "reason": "looked at twice"}

    async def scenario(client: httpx.AsyncClient, _: Any) -> None:
        headers = {"X-API-Key": "admin"}
        assert (await client.put(f"{url}/moderation", json=word, headers=headers)).is_success
        world.work()
        blocked = {"moderation": "blocked"}
        assert (await client.put(f"{url}/moderation", json=blocked, headers=headers)).is_success
        told = {}
        for key in ("searcher", "site", "rival", "writer", "admin"):
            status = (await client.get(url, headers={"X-API-Key": key})).json()
            told[key] = (status["owner_id"], status["moderation_reason"], status["moderation"])
        # The block is on its way: those who do not see it yet are told what is applied.
        assert told["searcher"] == told["site"] == (None, None, "allowed")
        assert told["rival"] == ("shop", None, "allowed")
        assert told["writer"] == told["admin"] == ("shop", None, "blocked")
        await client.put(f"{url}/moderation", json=word, headers=headers)
        world.work()
        mine = (await client.get(url, headers={"X-API-Key": "writer"})).json()
        assert mine["moderation_reason"] == "looked at twice"

    walk(world, scenario)
