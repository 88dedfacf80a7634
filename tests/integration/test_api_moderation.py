"""The operator's decisions through the API: no version stands in their way, no owner undoes one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.object_store.catalogue import PREFIX
from sightline.producers.images.ids import id_of_file, id_of_object
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.schemas.fields import MAX_OWNER_VERSION, MAX_VERSION, Moderation
from sightline.schemas.images import Authority, ImageUploaded, ObjectReference
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES_MODERATION
from tests.api_parts import BUCKET, KEYS, ApiWorld, part, picture, run

PUBLIC = {"visibility": "public"}
ADMIN, OWNER, RIVAL = ({"X-API-Key": name} for name in ("admin", "writer", "rival"))
BLOCK = {"moderation": "blocked"}
ALLOW = {"moderation": "allowed"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """An empty world."""
    world = ApiWorld.open(tmp_path)
    yield world
    world.index.close()


def listed(world: ApiWorld) -> int:
    """How many images a search can return, once all is applied."""
    world.work()
    return world.index.count(listed_only=True)


async def put(client: httpx.AsyncClient, image_id: str, **fields: str) -> httpx.Response:
    """An owner's upload."""
    said = {**PUBLIC, **fields}
    return await client.put(f"/v1/images/{image_id}", files=part(), data=said, headers=OWNER)


@pytest.mark.parametrize("version", [None, "1", str(MAX_OWNER_VERSION)])
def test_the_runbooks_command_hides_any_image_now(world: ApiWorld, version: str | None) -> None:
    """Whoever counts, wherever the version is; and no upload of the owner undoes it."""
    said = {} if version is None else {"version": version}

    async def scenario(client: httpx.AsyncClient) -> None:
        assert (await put(client, "abuse", **said)).status_code == 202
        assert listed(world) == 1
        answer = await client.patch("/v1/images/abuse", json=BLOCK, headers=ADMIN)
        assert (answer.status_code, answer.json()["moderation"]) == (202, "blocked")
        assert listed(world) == 0
        status = (await client.get("/v1/images/abuse", headers=OWNER)).json()
        assert (status["status"], status["moderation"]) == ("hidden", "blocked")
        lifted = await client.patch("/v1/images/abuse", json=ALLOW, headers=OWNER)
        assert lifted.status_code == 403
        again = (
            {} if version is None else {"version": str(min(int(version) + 1, MAX_OWNER_VERSION))}
        )
        assert (await put(client, "abuse", **again)).status_code == 202
        await put(client, "abuse", group_id="g", **again)
        assert listed(world) == 0
        status = (await client.get("/v1/images/abuse", headers=OWNER)).json()
        assert (status["status"], status["moderation"]) == ("hidden", "blocked")
        await client.patch("/v1/images/abuse", json=ALLOW, headers=ADMIN)
        assert listed(world) == 1

    run(world, scenario, keys=KEYS)


@pytest.mark.parametrize("already", [["abuse"], []], ids=["there", "not there"])
def test_an_upload_that_says_allowed_lifts_no_block(world: ApiWorld, already: list[str]) -> None:
    """Not of an image that is there, and not of one that was blocked before it came."""

    async def scenario(client: httpx.AsyncClient) -> None:
        for _ in already:
            assert (await put(client, "abuse")).status_code == 202
        block = {**BLOCK, "reason": "skin"}
        await client.put("/v1/images/abuse/moderation", json=block, headers=ADMIN)
        world.work()
        await put(client, "abuse", **ALLOW)
        assert listed(world) == 0
        decided = (await client.get("/v1/images/abuse/moderation", headers=ADMIN)).json()
        assert (decided["moderation"], decided["version"]) == ("blocked", 1)

    run(world, scenario, keys=KEYS)


def test_no_platform_event_undoes_a_block(world: ApiWorld) -> None:
    """Its `moderation` says `allowed` by default, which lifts nothing; `blocked` there hides."""

    async def scenario(client: httpx.AsyncClient) -> None:
        world.add("i", 1)
        await client.patch("/v1/images/i", json=BLOCK, headers=ADMIN)
        world.publisher.upload(picture(1), image_id="i", version=9, **PUBLIC)  # type: ignore[arg-type]
        assert listed(world) == 0
        await client.patch("/v1/images/i", json=ALLOW, headers=ADMIN)
        assert listed(world) == 1
        world.publisher.upload(
            picture(1), image_id="i", version=10, visibility="public", moderation=Moderation.BLOCKED
        )
        assert listed(world) == 0

    run(world, scenario, keys=KEYS)


def test_a_block_may_come_before_its_image(world: ApiWorld) -> None:
    """It holds when the image comes; only admins decide, and read what was decided."""
    url = "/v1/images/later/moderation"

    async def scenario(client: httpx.AsyncClient) -> None:
        for headers in (OWNER, RIVAL):
            assert (await client.put(url, json=BLOCK, headers=headers)).status_code == 403
            assert (await client.get(url, headers=headers)).status_code == 403
        assert (await client.get(url, headers=ADMIN)).status_code == 404
        said = {**BLOCK, "decided_by": "nsfw-2", "reason": "skin"}
        answer = await client.put(url, json=said, headers=ADMIN)
        assert answer.status_code == 202
        assert answer.json() == {"image_id": "later", "version": 1, **said}
        assert (await client.put(url, json=said, headers=ADMIN)).json()["version"] == 1
        await put(client, "later")
        assert listed(world) == 0
        assert (await client.get(url, headers=ADMIN)).json() == answer.json()
        status = (await client.get("/v1/images/later", headers=OWNER)).json()
        assert (status["moderation_reason"], status["moderation_version"]) == ("skin", 1)
        waited = await client.put(f"{url}?wait=searchable", json=BLOCK, headers=ADMIN)
        assert (waited.status_code, waited.json()["version"]) == (202, 2)
        world.work()
        waited = await client.put(f"{url}?wait=searchable", json=BLOCK, headers=ADMIN)
        assert (waited.status_code, waited.json()["version"]) == (200, 2)

    run(world, scenario, keys=KEYS)


def test_a_block_goes_through_while_the_store_is_down(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is published without being kept; the next decision is above it all the same."""

    def down(*_: object, **__: object) -> None:
        raise PartUnavailable(Part.STORE, "away")

    async def scenario(client: httpx.AsyncClient) -> None:
        world.add("i", 1)
        with monkeypatch.context() as patched:
            for name in ("stat", "get", "put_if"):
                patched.setattr(world.store, name, down)
            answer = await client.patch("/v1/images/i", json=BLOCK, headers=ADMIN)
            assert answer.status_code == 202
        assert listed(world) == 0
        await client.patch("/v1/images/i", json=ALLOW, headers=ADMIN)
        assert listed(world) == 1

    run(world, scenario, keys=KEYS)
    versions = [decode(m.value).data.version for m in world.log.records[IMAGES_MODERATION.name]]
    assert versions == [1, 2]


@pytest.mark.parametrize("version", [MAX_VERSION - 1, MAX_VERSION])
def test_an_admin_deletes_at_any_version(world: ApiWorld, version: int) -> None:
    """What a platform's own event, or an earlier release, brought there."""
    reference = ObjectReference(bucket=BUCKET, key="k", size_bytes=len(picture(1)))
    world.store.put(BUCKET, "k", picture(1))
    state = ImageUploaded(
        image_id="stuck",
        version=version,
        authority=Authority.OWNER,
        object=reference,
        visibility="public",
    )
    world.publisher.publish(state).result()

    async def scenario(client: httpx.AsyncClient) -> None:
        assert listed(world) == 1
        await client.patch("/v1/images/stuck", json=BLOCK, headers=ADMIN)
        assert listed(world) == 0
        gone = await client.delete("/v1/images/stuck", headers=ADMIN)
        assert gone.status_code == 202
        world.work()
        status = (await client.get("/v1/images/stuck", headers=ADMIN)).json()
        assert (status["status"], status["version"]) == ("deleted", MAX_VERSION)

    run(world, scenario, keys=KEYS)


def test_an_owners_version_leaves_head_room(world: ApiWorld) -> None:
    """For uploads, changes and deletes; who has counted to the end may still delete."""
    url = "/v1/images/high"
    top = MAX_OWNER_VERSION

    async def scenario(client: httpx.AsyncClient) -> None:
        for beyond in (top + 1, MAX_VERSION):
            assert (await put(client, "high", version=str(beyond))).status_code == 422
        await put(client, "high", version=str(top))
        match = {**OWNER, "If-Match": f'"{top}"'}
        change = await client.patch(url, json={"tags": [], "version": top + 1}, headers=match)
        assert (change.status_code, change.json()["field"]) == (422, "version")
        far = await client.delete(f"{url}?version={MAX_VERSION}", headers=match)
        assert far.status_code == 422
        gone = await client.delete(f"{url}?version={top + 1}", headers=match)
        assert gone.status_code == 202

    run(world, scenario, keys=KEYS)


def test_a_library_deletes_no_further_than_an_owner_may(world: ApiWorld) -> None:
    """One above the last write; what is above that would be out of the operator's reach."""
    world.add("i", 1)
    state = world.index.get(["i"])["i"].state
    for version in (MAX_OWNER_VERSION + 2, MAX_VERSION):
        with pytest.raises(ValidationError):
            world.publisher.delete(state, version=version)
        with pytest.raises(ValidationError):
            asyncio.run(AsyncImagePublisher(world.publisher).delete(state, version=version))
    assert world.publisher.delete(state, version=MAX_OWNER_VERSION + 1).version
    awaited = AsyncImagePublisher(world.publisher).delete(state, version=MAX_OWNER_VERSION + 1)
    assert asyncio.run(awaited).version


@pytest.mark.parametrize(
    "image_id", [id_of_file("a.jpg"), id_of_object("shop", "a.jpg"), "q-" + "0" * 32]
)
def test_a_derived_id_is_nobodys_to_take(world: ApiWorld, image_id: str) -> None:
    """403 for every key; what merely looks alike is free."""

    async def scenario(client: httpx.AsyncClient) -> None:
        url = f"/v1/images/{image_id}"
        for headers in (OWNER, RIVAL, ADMIN):
            answer = await client.put(url, files=part(), data=PUBLIC, headers=headers)
            assert (answer.status_code, answer.json()["field"]) == (403, "image_id")
        for free in (image_id[:-1], image_id + "0", image_id.upper(), "x" + image_id):
            assert (await put(client, free)).status_code == 202

    run(world, scenario, keys=KEYS)
    assert image_id not in {d.image_id for d in map(_state, world.log.records["images.v1"])}


def _state(message: Any) -> Any:
    return decode(message.value).data


@pytest.mark.parametrize("indexed", [True, False])
def test_an_admin_deletes_what_cannot_be_read(world: ApiWorld, *, indexed: bool) -> None:
    """Whether or not the index knows the image; nobody else may take its id meanwhile."""
    key = f"{PREFIX}broken.json"

    async def scenario(client: httpx.AsyncClient) -> None:
        if indexed:
            await put(client, "broken")
            world.work()
        world.store.put(BUCKET, key, b'{"event": "' + b"[" * 300)
        if not indexed:
            assert (await put(client, "broken")).status_code == 409
        assert (
            await client.patch("/v1/images/other", json=BLOCK, headers=ADMIN)
        ).status_code == 404
        blocked = await client.put("/v1/images/broken/moderation", json=BLOCK, headers=ADMIN)
        assert blocked.status_code == 202
        gone = await client.delete("/v1/images/broken", headers=ADMIN)
        assert gone.status_code == 202
        world.work()
        status = (await client.get("/v1/images/broken", headers=ADMIN)).json()
        assert status["status"] == "deleted"
        assert listed(world) == 0

    run(world, scenario, keys=KEYS)
