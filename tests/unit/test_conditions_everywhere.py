"""No route carries out a request whose `If-Match` does not hold (RFC 9110, 13.1.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.engine.object_store.catalogue import Decisions
from sightline.engine.settings import ApiSettings
from sightline.infra.processes.owner_routes import owner_router
from sightline.producers.images.moderation import ImageModeration, OperatorVerdict
from sightline.schemas.fields import Moderation
from sightline.schemas.topics import AUDIT, IMAGES_MODERATION
from sightline.search_api.app import create_app
from sightline.stream_workers.reconciling.differences import Report
from tests.api_parts import BUCKET, KEYS, ApiWorld, client_of, picture, run

READS = {"GET", "HEAD", "OPTIONS"}
NONE_SUCH = {"If-Match": '"77"'}
ADMIN = {"X-API-Key": "admin"}
URL = "/v1/images/public-1/moderation"
BLOCKED = OperatorVerdict(moderation=Moderation.BLOCKED)
BLOCK, ALLOW = {"moderation": "blocked"}, {"moderation": "allowed"}
FORM: dict[str, Any] = {"files": {"image": ("p.jpg", picture(1), "image/jpeg")}}
BODIES: tuple[dict[str, Any], ...] = ({"json": BLOCK}, {"json": {"tags": []}}, FORM)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """One public image."""
    world = ApiWorld.open(tmp_path)
    world.add("public-1", 1, owner_id="shop")
    world.work()
    yield world
    world.index.close()


def nothing_differs(*, repair: bool) -> Report:
    """No route may come so far."""
    raise AssertionError(repair)


def everything(world: ApiWorld) -> FastAPI:
    """The API with all of its routes."""
    deps = world.dependencies(ApiSettings(keys=KEYS))
    app = create_app(replace(deps, judgements=HeldJudgements()))
    app.include_router(owner_router(world.log, world.index, nothing_differs))
    return app


def written(world: ApiWorld) -> dict[str, int]:
    """How many records each topic has, but for those of who was refused."""
    return {name: len(of) for name, of in world.log.records.items() if name != AUDIT.name}


def writes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Every method and path that may change something, with names that are there."""
    return [
        (method.upper(), path.format(image_id="public-1", pool="p"))
        for path, operations in app.openapi()["paths"].items()
        for method in operations
        if method.upper() not in READS
    ]


def test_no_route_passes_over_a_condition(world: ApiWorld) -> None:
    """Whatever its body: 412, and nothing is written; routes to come are walked too."""
    app = everything(world)
    before, asked = written(world), writes_of(app)
    assert len(asked) == 12

    async def main() -> dict[tuple[str, str], set[int]]:
        headers = {**ADMIN, **NONE_SUCH, "X-Topic": "images.v1"}
        async with client_of(app) as client:
            return {
                (method, path): {
                    (await client.request(method, path, headers=headers, **body)).status_code
                    for body in BODIES
                }
                for method, path in asked
            }

    told = asyncio.run(main())
    carried_out = {route: statuses for route, statuses in told.items() if min(statuses) < 300}
    assert not carried_out
    assert all(412 in statuses for statuses in told.values()), told
    assert written(world) == before


def test_a_decision_heeds_the_version_of_the_one_before(world: ApiWorld) -> None:
    """Its ETag is its own version, not the image's."""

    async def scenario(client: httpx.AsyncClient) -> None:
        async def put(said: dict[str, str], **condition: str) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in condition.items()}
            return await client.put(URL, json=said, headers={**ADMIN, **named})

        assert (await put(BLOCK, If_Match="*")).status_code == 412
        first = await put(BLOCK, If_None_Match="*")
        assert (first.status_code, first.headers["etag"]) == (202, '"1"')
        assert (await put(ALLOW, If_None_Match="*")).status_code == 412
        assert (await put(ALLOW, If_Match='"2"')).json()["detail"].startswith("the decision is at")
        second = await put(ALLOW, If_Match='"1"')
        assert (second.status_code, second.headers["etag"]) == (202, '"2"')
        newest = await client.get(URL, headers=ADMIN)
        assert newest.headers["etag"] == '"2"'

    run(world, scenario, keys=KEYS)
    assert len(world.log.records[IMAGES_MODERATION.name]) == 2


class DownForDecisions(Decisions):
    """A store that does not answer."""

    def look(self, image_id: str) -> Any:
        """See `Entries.look`."""
        raise PartUnavailable(Part.STORE, f"nothing of {image_id} can be read")


def test_a_condition_waits_for_the_store_and_a_decision_without_one_does_not(
    world: ApiWorld,
) -> None:
    """An emergency's block is published unkept; what is to follow one decision alone is not."""
    decisions = DownForDecisions(world.store, BUCKET)
    moderation = ImageModeration(decisions, world.log, source="/test", clock=world.clock)
    with pytest.raises(PartUnavailable):
        moderation.decide("public-1", BLOCKED, permit=lambda _: None)
    assert not world.log.records[IMAGES_MODERATION.name]
    assert moderation.decide("public-1", BLOCKED).decision.version == 1
