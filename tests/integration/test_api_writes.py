from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.schemas.fields import Visibility
from sightline.schemas.images import Authority, ImageUploaded, ObjectReference
from sightline.schemas.indexed import Outcome
from sightline.schemas.registry import decode
from tests.api_parts import BUCKET, KEYS, LONG_WAIT, ApiWorld, part, picture, run
from tests.waiting import eventually

PUBLIC = {"visibility": "public"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """An empty world."""
    world = ApiWorld.open(tmp_path)
    yield world
    world.index.close()


def events(world: ApiWorld) -> list[Any]:
    """What was published about images."""
    return [decode(message.value).data for message in world.log.records["images.v1"]]


def test_an_upload_is_pending_then_indexed(world: ApiWorld) -> None:
    """202 with `Location` and ETag; status says pending, then indexed with its stage times."""

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.post("/v1/images", files=part(), data={**PUBLIC, "tags": ["a", "b"]})
        assert answer.status_code == 202
        where = answer.headers["location"]
        assert where == f"/v1/images/{answer.json()['image_id']}"
        assert answer.headers["etag"] == '"1"'
        assert (await client.get(where)).json()["status"] == "pending"
        world.work()
        status = (await client.get(where)).json()
        assert (status["status"], status["tags"]) == ("indexed", ["a", "b"])
        assert status["freshness"].keys() == {"occurred", "appended", "searchable", "seconds"}

    run(world, scenario)
    assert events(world)[0].authority is Authority.SIGHTLINE


@pytest.mark.parametrize("counted_by", ["sightline", "owner"])
def test_an_uploads_bytes_are_hashed_once(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch, counted_by: str
) -> None:
    """Comparing, storing and publishing share one digest, also where an image is replaced."""
    hashed: list[int] = []

    def counting(data: bytes = b"") -> Any:
        hashed.append(len(data))
        return sha256(data)

    monkeypatch.setattr("sightline.producers.images.originals.sha256", counting)

    async def scenario(client: httpx.AsyncClient) -> None:
        for version in (1, 2):
            said = {"version": str(version)} if counted_by == "owner" else {}
            answer = await client.put("/v1/images/a", files=part(version), data=PUBLIC | said)
            assert answer.status_code == 202
            world.work()

    run(world, scenario)
    assert hashed == [len(picture(1)), len(picture(2))]


def test_private_is_the_default(world: ApiWorld) -> None:
    """What is not said is private: kept ready, and hidden."""

    async def scenario(client: httpx.AsyncClient) -> None:
        await client.put("/v1/images/mine", files=part())
        world.work()
        assert (await client.get("/v1/images/mine")).json()["status"] == "hidden"

    run(world, scenario)


def test_a_put_is_idempotent(world: ApiWorld) -> None:
    """The same picture and fields again: the same version, no second event."""

    async def scenario(client: httpx.AsyncClient) -> None:
        for _ in range(3):
            answer = await client.put("/v1/images/mine", files=part(), data=PUBLIC)
            assert (answer.status_code, answer.headers["etag"]) == (202, '"1"')
        other = await client.put("/v1/images/mine", files=part(2), data=PUBLIC)
        assert other.headers["etag"] == '"2"'

    run(world, scenario)
    assert [event.version for event in events(world)] == [1, 2]


def test_wait_answers_when_it_is_searchable(world: ApiWorld) -> None:
    """200 once the index has it, 202 when the time is over, 422 with the reason when rejected."""

    async def scenario(client: httpx.AsyncClient) -> None:
        late = await client.put(
            "/v1/images/mine?wait=searchable&timeout_s=0.05", files=part(), data=PUBLIC
        )
        assert late.status_code == 202
        asked = asyncio.create_task(
            client.put(f"/v1/images/two?{LONG_WAIT}", files=part(), data=PUBLIC)
        )
        while not asked.done():
            await asyncio.to_thread(world.work)
            await asyncio.sleep(0.01)
        assert (await asked).status_code == 200
        assert (await asked).json()["status"] == "indexed"

    run(world, scenario)


def test_wait_tells_why_an_image_was_rejected(world: ApiWorld) -> None:
    """422, with the reason that the worker found; the same bytes again are a new try."""

    def reject() -> None:
        world.work()
        (image,) = world.index.get(["mine"]).values()
        rejected = replace(
            image,
            outcome=Outcome.REJECTED,
            reason="object_changed",
            message="no",
            tie=image.tie + 1,
        )
        world.index.apply([replace(rejected, vector=None, tie=image.tie + 1)])

    async def scenario(client: httpx.AsyncClient) -> None:
        await client.put("/v1/images/mine", files=part(), data=PUBLIC)
        await asyncio.to_thread(reject)
        same = {"visibility": "public"}
        answer = await client.patch("/v1/images/mine?wait=searchable", json=same)
        assert (answer.status_code, answer.json()["reason"]) == (422, "object_changed")
        assert (await client.get("/v1/images/mine/content")).status_code == 404
        status = (await client.get("/v1/images/mine")).json()
        assert status["freshness"].keys() == {"occurred", "appended"}  # it never was searchable
        again = await client.put("/v1/images/mine", files=part(), data=PUBLIC)
        assert again.headers["etag"] == '"2"'

    run(world, scenario)


def test_a_patch_keeps_what_it_does_not_name(world: ApiWorld) -> None:
    """Null clears what may be empty; `If-Match` is honoured before and after it is indexed."""

    async def scenario(client: httpx.AsyncClient) -> None:
        fields = {**PUBLIC, "tags": ["a"], "group_id": "g", "attributes": '{"n": 1}'}
        await client.put("/v1/images/mine", files=part(), data=fields)
        first = await client.patch(
            "/v1/images/mine", json={"tags": ["b"], "group_id": None}, headers={"If-Match": '"1"'}
        )
        assert first.status_code == 202
        stale = await client.patch(
            "/v1/images/mine", json={"tags": ["c"]}, headers={"If-Match": '"1"'}
        )
        assert (stale.status_code, stale.json()["field"]) == (412, "If-Match")
        world.work()
        again = await client.patch(
            "/v1/images/mine", json={"tags": ["c"]}, headers={"If-Match": '"1"'}
        )
        assert (again.status_code, again.headers["etag"]) == (412, '"2"')
        status = (await client.get("/v1/images/mine")).json()
        assert (status["tags"], status["group_id"]) == (["b"], None)
        assert (status["visibility"], status["attributes"]) == ("public", {"n": 1})

    run(world, scenario)


def test_of_racing_patches_none_undoes_another(world: ApiWorld) -> None:
    """Without `If-Match` all are kept; with it exactly one wins, the others learn it."""

    async def scenario(client: httpx.AsyncClient) -> None:
        await client.put("/v1/images/mine", files=part(), data=PUBLIC)
        changes: list[dict[str, Any]] = [
            {"visibility": "private"},
            {"tags": ["t"]},
            {"group_id": "g"},
            {"attributes": {"n": 1}},
        ]
        answers = await asyncio.gather(
            *(client.patch("/v1/images/mine", json=change) for change in changes)
        )
        assert {answer.status_code for answer in answers} == {202}
        world.work()
        status = (await client.get("/v1/images/mine")).json()
        assert status["version"] == 5
        for change in changes:
            assert change.items() <= status.items()
        racing = await asyncio.gather(
            *(
                client.patch(
                    "/v1/images/mine", json={"tags": [str(n)]}, headers={"If-Match": '"5"'}
                )
                for n in range(5)
            )
        )
        assert sorted(answer.status_code for answer in racing) == [202, 412, 412, 412, 412]

    run(world, scenario)


def test_a_deleted_image_is_gone_until_it_is_uploaded_again(world: ApiWorld) -> None:
    """Deleting again changes nothing; patching is 404; a new upload is a higher version."""

    async def scenario(client: httpx.AsyncClient) -> None:
        await client.put("/v1/images/mine", files=part(), data=PUBLIC)
        world.work()
        assert (await client.delete("/v1/images/mine")).status_code == 202
        assert (await client.delete("/v1/images/mine")).headers["etag"] == '"2"'
        world.work()
        assert (await client.get("/v1/images/mine")).json()["status"] == "deleted"
        assert (await client.get("/v1/images/mine/content")).status_code == 404
        patched = await client.patch("/v1/images/mine", json={"tags": []})
        assert patched.status_code == 404
        again = await client.put("/v1/images/mine", files=part(), data=PUBLIC)
        assert again.headers["etag"] == '"3"'
        world.work()
        assert (await client.get("/v1/images/mine")).json()["status"] == "indexed"

    run(world, scenario)


def test_an_owner_counts_its_own_versions(world: ApiWorld) -> None:
    """A write without a version is 409, a lower one too; changes need `If-Match`; races end 412."""

    async def scenario(client: httpx.AsyncClient) -> None:
        url = "/v1/images/theirs"
        first = await client.put(url, files=part(), data={**PUBLIC, "version": "7"})
        assert (first.status_code, first.headers["etag"]) == (202, '"7"')
        for answer in (
            await client.put(url, files=part(), data=PUBLIC),
            await client.put(url, files=part(), data={**PUBLIC, "version": "6"}),
            await client.patch(url, json={"tags": ["x"]}),
            await client.patch(
                url, json={"tags": ["x"], "version": 7}, headers={"If-Match": '"7"'}
            ),
            await client.delete(url),
        ):
            assert (answer.status_code, answer.json()["field"]) == (409, "version")
        unsaid = await client.patch(url, json={"tags": ["x"], "version": 8})
        assert unsaid.status_code == 428
        racing = await asyncio.gather(
            *(
                client.patch(
                    url, json={"tags": [str(n)], "version": 8 + n}, headers={"If-Match": '"7"'}
                )
                for n in range(3)
            )
        )
        assert sorted(answer.status_code for answer in racing) == [202, 412, 412]
        world.work()
        gone = await client.delete(url + "?version=20", headers={"If-Match": "*"})
        assert (gone.status_code, gone.headers["etag"]) == (202, '"20"')

    run(world, scenario, key="writer", keys=KEYS)
    assert {event.authority for event in events(world)} == {Authority.OWNER}


def test_an_owners_version_is_one_content(world: ApiWorld) -> None:
    """A repeat word for word is fine; anything else at that version is 409, not the old answer."""
    url = "/v1/images/theirs"
    said = {**PUBLIC, "version": "1", "tags": ["one"]}

    async def scenario(client: httpx.AsyncClient) -> None:
        async def refused(**request: Any) -> None:
            answer = await client.put(f"{url}?wait=searchable&timeout_s=0.1", **request)
            assert (answer.status_code, answer.json()["field"]) == (409, "version"), answer.text
            assert "above 1" in answer.json()["detail"]

        for _ in range(2):  # on its way, and applied
            assert (await client.put(url, files=part(), data=said)).status_code == 202
            await refused(files=part(), data={**said, "visibility": "private"})
            await refused(files=part(), data={**said, "tags": ["two"]})
            await refused(files=part(2), data=said)
            world.work()
        repeat = await client.put(f"{url}?wait=searchable", files=part(), data=said)
        assert (repeat.status_code, repeat.json()["tags"]) == (200, ["one"])

    run(world, scenario)
    assert {event.model_dump_json() for event in events(world)} == {
        events(world)[0].model_dump_json()
    }


def test_wait_is_for_this_write_and_not_for_its_version(world: ApiWorld) -> None:
    """The owner's own service published the version too: what hides wins, the other is told."""

    def elsewhere(image_id: str, visibility: Visibility) -> None:
        world.publisher.upload(picture(1), image_id=image_id, version=1, visibility=visibility)

    async def scenario(client: httpx.AsyncClient) -> None:
        elsewhere("hiding", Visibility.PUBLIC)
        asked = asyncio.create_task(
            client.put(
                "/v1/images/hiding?wait=searchable&timeout_s=0.3",
                files=part(),
                data={"visibility": "private", "version": "1"},
            )
        )
        await asyncio.to_thread(eventually, lambda: len(events(world)) == 2)
        world.work(at_most=1)
        answer = await asked
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
        assert answer.json()["visibility"] == "private"
        world.work()
        assert (await client.get("/v1/images/hiding")).json()["status"] == "hidden"

        elsewhere("losing", Visibility.PRIVATE)
        asked = asyncio.create_task(
            client.put(
                f"/v1/images/losing?{LONG_WAIT}",
                files=part(),
                data={**PUBLIC, "version": "1"},
            )
        )
        await asyncio.to_thread(eventually, lambda: len(events(world)) == 4)
        world.work()
        answer = await asked
        assert (answer.status_code, answer.json()["field"]) == (409, "version")
        assert "won" in answer.json()["detail"]
        assert (await client.get("/v1/images/losing")).json()["status"] == "hidden"

    run(world, scenario)


def test_who_forgets_the_version_is_told_how_to_send_it(world: ApiWorld) -> None:
    """As the request takes it: in the query of a delete, else as a field."""

    async def scenario(client: httpx.AsyncClient) -> None:
        url = "/v1/images/theirs"
        await client.put(url, files=part(), data={**PUBLIC, "version": "5"})
        deleted = await client.delete(url)
        assert deleted.json()["detail"].endswith("send `?version=N` with N above 5")
        changed = await client.patch(url, json={"tags": []})
        assert changed.json()["detail"].endswith("send `version` above 5")
        gone = await client.delete(f"{url}?version=6", headers={"If-Match": '"5"'})
        assert gone.status_code == 202

    run(world, scenario, key="writer", keys=KEYS)


def test_sightline_counts_where_nobody_else_does(world: ApiWorld) -> None:
    """A version for an image that Sightline counts is 409."""

    async def scenario(client: httpx.AsyncClient) -> None:
        await client.put("/v1/images/mine", files=part(), data=PUBLIC)
        answer = await client.put("/v1/images/mine", files=part(), data={"version": "9"})
        assert answer.status_code == 409

    run(world, scenario)


def test_a_backfilled_image_takes_the_first_authority_that_writes(world: ApiWorld) -> None:
    """Version 0 fixes none: a patch without a version makes it Sightline's."""
    data = picture(5)
    world.store.put(BUCKET, "images/old", data)
    world.publisher.publish(
        ImageUploaded(
            image_id="old",
            version=0,
            authority=Authority.BACKFILL,
            object=ObjectReference(bucket=BUCKET, key="images/old", size_bytes=len(data)),
        )
    )
    world.work()

    async def scenario(client: httpx.AsyncClient) -> None:
        answer = await client.patch("/v1/images/old", json=PUBLIC)
        assert (answer.status_code, answer.headers["etag"]) == (202, '"1"')
        world.work()
        status = (await client.get("/v1/images/old")).json()
        assert (status["status"], status["authority"]) == ("indexed", "sightline")

    run(world, scenario)


def test_writers_write_as_their_owner(world: ApiWorld) -> None:
    """The owner is filled in; another owner, moderation and a `search` key are refused."""

    async def scenario(client: httpx.AsyncClient) -> None:
        mine = await client.put("/v1/images/mine", files=part(), data=PUBLIC)
        assert mine.json()["owner_id"] == "shop"
        for fields in ({"owner_id": "rival"}, {"moderation": "blocked"}):
            assert (
                await client.put("/v1/images/new", files=part(), data=fields)
            ).status_code == 403
        assert (
            await client.patch("/v1/images/mine", json={"owner_id": "rival"})
        ).status_code == 403
        searcher = {"X-API-Key": "searcher"}
        assert (await client.post("/v1/images", files=part(), headers=searcher)).status_code == 403
        assert (await client.post("/v1/search", json={"image_id": "mine"})).status_code == 403

    run(world, scenario, key="writer", keys=KEYS)


def test_another_process_knows_what_the_catalogue_knows(world: ApiWorld) -> None:
    """Published through one app and not indexed yet: the other says pending, and patches it."""

    async def publish(client: httpx.AsyncClient) -> None:
        await client.put("/v1/images/mine", files=part(), data=PUBLIC)

    async def patch(client: httpx.AsyncClient) -> None:
        assert (await client.get("/v1/images/mine")).json()["status"] == "pending"
        answer = await client.patch(
            "/v1/images/mine", json={"tags": ["x"]}, headers={"If-Match": '"1"'}
        )
        assert (answer.status_code, answer.headers["etag"]) == (202, '"2"')

    run(world, publish)
    run(world, patch)


def test_while_the_store_or_the_broker_is_down_searches_answer(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `feedback: false` once it is known; uploads are 503 with the part; then it recovers."""
    world.add("i1", 1)
    world.add("i2", 2)

    def down(*_: object, **__: object) -> None:
        raise PartUnavailable(Part.STORE, "refused at host:9000", retry_after_s=3)

    async def scenario(client: httpx.AsyncClient) -> None:
        drain = client._transport.app.state.impressions.drain  # type: ignore[attr-defined]
        with monkeypatch.context() as away:
            away.setattr(world.store, "put", down)
            await client.post("/v1/search", files=part())
            await drain()
            answer = await client.post("/v1/search", files=part())
            assert (answer.status_code, answer.json()["feedback"]) == (200, False)
            by_id = await client.post("/v1/search", json={"image_id": "i1"})
            assert (by_id.status_code, by_id.json()["feedback"]) == (200, True)
            refused = await client.post("/v1/images", files=part())
            assert (refused.status_code, refused.json()["part"]) == (503, "store")
            assert refused.headers["retry-after"] == "3"
            assert "host" not in refused.text
            await drain()
        await client.post("/v1/search", files=part())
        await drain()
        assert (await client.post("/v1/search", files=part())).json()["feedback"] is True

    run(world, scenario)


def test_while_the_index_is_down_the_part_is_named(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503 for searches and status, a new upload is still taken; `/readyz` says which part."""
    world.add("i1", 1)

    def down(*_: object, **__: object) -> None:
        raise PartUnavailable(Part.INDEX, "refused")

    async def scenario(client: httpx.AsyncClient) -> None:
        for name in ("get", "search"):
            monkeypatch.setattr(world.index, name, down)
        for answer in (
            await client.post("/v1/search", files=part()),
            await client.post("/v1/search", json={"image_id": "i1"}),
            await client.get("/v1/images/i1"),
        ):
            assert (answer.status_code, answer.json()["part"]) == (503, "index")
            assert int(answer.headers["retry-after"]) >= 1
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert [n for n, p in ready.json()["parts"].items() if not p["up"]] == ["index"]
        assert (await client.get("/healthz")).status_code == 200
        taken = await client.post("/v1/images", files=part())
        assert (taken.status_code, taken.json()["status"]) == (202, "pending")

    run(world, scenario)


class InFiveWeeks(SystemClock):
    """The time when today's deletes are past their retention."""

    def now(self) -> datetime:
        """See `Clock`."""
        return super().now() + timedelta(weeks=5)


def test_a_purged_image_is_deleted_and_not_for_ever_pending(world: ApiWorld) -> None:
    """The index has forgotten it, the catalogue has not: its owner reads the truth, others 404."""
    address = "/v1/images/mine"

    async def upload_and_delete(client: httpx.AsyncClient) -> None:
        await client.put(address, files=part(), data=PUBLIC)
        assert (await client.delete(address)).status_code == 202
        world.work()
        world.index.purge(["mine"])

    async def just_now(client: httpx.AsyncClient) -> None:
        assert (await client.get(address)).json()["status"] == "pending"

    async def five_weeks_later(client: httpx.AsyncClient) -> None:
        said = await client.get(address)
        assert said.json()["status"] == "deleted"
        assert (said.json()["version"], said.json()["applied_version"]) == (2, 2)
        again = await client.delete(f"{address}?{LONG_WAIT}")
        assert (again.status_code, again.json()["status"]) == (200, "deleted")
        for key in ("searcher", "rival"):
            assert (await client.get(address, headers={"X-API-Key": key})).status_code == 404
        anew = await client.put(address, files=part(), data=PUBLIC)
        assert (anew.headers["etag"], anew.json()["status"]) == ('"3"', "pending")

    run(world, upload_and_delete, key="writer", keys=KEYS)
    run(world, just_now, key="writer", keys=KEYS)
    world.clock = InFiveWeeks()
    run(world, five_weeks_later, key="writer", keys=KEYS)


def test_if_match_may_name_several_versions(world: ApiWorld) -> None:
    """Any of them will do, in one header or in several; a weak one never does."""

    async def scenario(client: httpx.AsyncClient) -> None:
        await client.put("/v1/images/mine", files=part(), data=PUBLIC)
        for n, (headers, status) in enumerate(
            (
                ([("If-Match", '"7",, "1",')], 202),
                ([("If-Match", '"1"'), ("If-Match", '"2"')], 202),
                ([("If-Match", '"1", W/"3", "2"')], 412),
            )
        ):
            answer = await client.patch("/v1/images/mine", json={"tags": [str(n)]}, headers=headers)
            assert answer.status_code == status, headers

    run(world, scenario)
