"""Pools over HTTP: what a judge is given, what is not told, and who may ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.label_data.grading_pools import PREFIX, Pool, PooledAnchor, store_pool
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.engine.settings import ApiSettings
from sightline.schemas.fields import Visibility
from sightline.schemas.topics import JUDGEMENTS
from sightline.search_api.app import create_app
from tests.api_parts import BUCKET, KEYS, ApiWorld, client_of
from tests.asking import ok

MADE_AT = datetime(2026, 11, 21, tzinfo=UTC)
IMAGES = tuple(f"i{number}" for number in range(12))


def pooled(anchor: str, *images: str) -> PooledAnchor:
    """An anchor of the pool."""
    return PooledAnchor(anchor_id=anchor, images=images, disagreement=0.5)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """Pictures, one of them private, and a pool of three anchors."""
    world = ApiWorld.open(tmp_path)
    for number, name in enumerate(IMAGES):
        world.add(name, number + 1)
    world.add("hidden", 20, visibility=Visibility.PRIVATE)
    anchors = (pooled("i0", *IMAGES[1:], "hidden"), pooled("hidden", "i1"), pooled("i1", "i2"))
    pool = Pool(name="p", made_at=MADE_AT, models=("old", "new"), depth=9, seed=1, anchors=anchors)
    store_pool(world.store, BUCKET, pool)
    yield world
    world.index.close()


class Asked:
    """A client of one app, and what the API read back from the topic."""

    def __init__(self, world: ApiWorld, client: httpx.AsyncClient, held: HeldJudgements) -> None:
        self._world = world
        self._client = client
        self._held = held

    async def sheet(self, judge: str, **more: Any) -> dict[str, Any]:
        """The next of the pool for a judge."""
        answer = await self._client.post("/v1/pools/p/sheet", json={"judge": judge, **more})
        found: dict[str, Any] = ok(answer)
        return found

    async def grade(self, judge: str, anchor: str, image: str, grade: int) -> None:
        """Send a grade, and let the API's follower read it."""
        said = {"anchor_id": anchor, "image_id": image, "grade": grade, "judge": judge}
        ok(await self._client.post("/v1/judgements", json=said))
        self._held.add(self._world.log.records[JUDGEMENTS.name][-1])

    async def get(self, path: str) -> httpx.Response:
        """A plain answer."""
        return await self._client.get(path)


def told(world: ApiWorld, scenario: Any, *, key: str = "judge") -> None:
    """Run a scenario with a key."""
    held = HeldJudgements()
    deps = replace(world.dependencies(ApiSettings(keys=KEYS)), judgements=held)

    async def main() -> None:
        async with client_of(create_app(deps), key=key) as client:
            await scenario(Asked(world, client, held))

    asyncio.run(main())


def test_a_judge_gets_what_is_open_blind(world: ApiWorld) -> None:
    """In an order of their own that stays; nothing private, no model, no tag, no score."""

    async def scenario(asked: Asked) -> None:
        first, again, other = [await asked.sheet(judge) for judge in ("ann", "ann", "bob")]
        assert first == again
        assert [anchor["image_id"] for anchor in first["anchors"]] == ["i0", "i1"]
        shown = [[i["image_id"] for i in sheet["anchors"][0]["images"]] for sheet in (first, other)]
        assert sorted(shown[0]) == sorted(shown[1]) == sorted(IMAGES[1:])
        assert shown[0] != shown[1]
        assert set(first) == {"pool", "images", "graded", "anchors"}
        assert set(first["anchors"][0]["images"][0]) == {
            "image_id", "image_url", "thumbnail_url", "grade",
        }  # fmt: skip

    told(world, scenario)


def test_a_deleted_image_stays_in_its_pool_by_id_alone_and_is_shown_to_nobody(
    world: ApiWorld,
) -> None:
    """Neither as an anchor nor as an answer, from the delete on; the pool is what it was."""
    key = f"{PREFIX}p.json"
    before = world.store.get(BUCKET, key)

    async def shown(asked: Asked) -> str:
        return json.dumps(await asked.sheet("ann"))

    async def scenario(asked: Asked) -> None:
        assert '"i1"' in await shown(asked)
        world.publisher.delete(world.index.get(["i1"])["i1"].state, version=2)
        world.work()
        assert '"i2"' in await shown(asked)
        assert '"i1"' not in await shown(asked)

    told(world, scenario)
    assert world.store.get(BUCKET, key) == before
    assert json.loads(before)["anchors"][2] == {
        "anchor_id": "i1", "images": ["i2"], "disagreement": 0.5, "clicks": 0,
    }  # fmt: skip


def test_what_is_graded_is_not_asked_again(world: ApiWorld) -> None:
    """A judge's own grades are shown to them alone; a finished anchor is gone."""

    async def scenario(asked: Asked) -> None:
        await asked.grade("ann", "i0", "i3", 2)
        await asked.grade("ann", "i1", "i2", 5)
        sheet = await asked.sheet("ann")
        assert (sheet["images"], sheet["graded"]) == (14, 2)
        assert [anchor["image_id"] for anchor in sheet["anchors"]] == ["i0"]
        grades = {i["image_id"]: i["grade"] for i in sheet["anchors"][0]["images"]}
        assert grades.pop("i3") == 2
        assert set(grades.values()) == {None}
        others = await asked.sheet("bob", limit=1)
        assert {i["grade"] for i in others["anchors"][0]["images"]} == {None}
        assert (await asked.sheet("bob", after="i0"))["anchors"][0]["image_id"] == "i1"
        assert (await asked.sheet("bob", after="i1"))["anchors"] == []

    told(world, scenario)


def test_agreement_is_told_without_a_grade(world: ApiWorld) -> None:
    """Judges, pairs, kappa."""

    async def scenario(asked: Asked) -> None:
        for number, image in enumerate(IMAGES[1:]):
            for judge in ("ann", "bob"):
                await asked.grade(judge, "i0", image, number % 6)
        found = ok(await asked.get("/v1/pools/p/agreement"))
        assert found == {"judges": 2, "graded": 11, "shared": 11, "kappa": 1.0}

    told(world, scenario)


def test_pools_are_for_judges_only(world: ApiWorld) -> None:
    """Others are refused; a pool that is not there is 404."""

    async def refused(asked: Asked) -> None:
        for path in ("/v1/pools", "/v1/pools/p/agreement"):
            assert (await asked.get(path)).status_code == 403

    async def judge(asked: Asked) -> None:
        assert ok(await asked.get("/v1/pools")) == {"pools": ["p"]}
        for name in ("q", "..", "P"):
            assert (await asked.get(f"/v1/pools/{name}/agreement")).status_code == 404

    told(world, refused, key="site")
    told(world, judge)
