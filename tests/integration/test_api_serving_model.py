"""`GET /v1/models/serving`: what answers now, and how it was learned, for admins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.embedding.model_registry import model_key
from sightline.engine.settings import ApiSettings
from sightline.search_api.app import create_app
from tests.api_parts import (
    BUCKET,
    COMING,
    FILLING,
    KEYS,
    ApiWorld,
    ComingOf,
    FillingOf,
    answered_by,
    client_of,
)
from tests.released_models import released

PATH = "/v1/models/serving"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """Two public images."""
    world = ApiWorld.open(tmp_path)
    for number in (1, 2):
        world.add(f"i{number}", number)
    yield world
    world.index.close()


def asked(
    world: ApiWorld, model: str | None, *requests: tuple[str, Any], key: str = "admin"
) -> list[httpx.Response]:
    """The answers of a fresh API that serves by a model: (path, JSON to post or None) each."""
    settings = ApiSettings(keys=KEYS)
    app = create_app(replace(world.dependencies(settings), pairs=answered_by(world, model)))

    async def main() -> list[httpx.Response]:
        async with client_of(app, key=key) as client:
            return [
                await (client.get(path) if body is None else client.post(path, json=body))
                for path, body in requests
            ]

    return asyncio.run(main())


def test_a_model_of_the_registry_is_told_with_how_it_was_learned(world: ApiWorld) -> None:
    """Its name there, what is searched, what taught it and why it was released."""
    digest = released(world.store, BUCKET, {"mAP": 0.6})
    (answer,) = asked(world, f"shop@{digest}", (PATH, None))
    assert answer.json() == {
        "name": "shop",
        "digest": digest,
        "model": "grid",
        "generation": "g1",
        "turned": False,
        "number": 3,
        "experiment": None,
        "learned": {
            "release": 1,
            "released_at": "2026-03-01T12:00:00Z",
            "gate": [{"rule": "better where clicked", "outcome": "passed", "says": "+.1"}],
            "counts": {"triples": 90, "pairs": 40},
            "strength": 0.35,
            "metrics": {"mAP": 0.6},
            "before": {},
        },
        "filling": None,
        "rollouts": [],
    }


def test_the_model_of_the_settings_has_learned_nothing_here(world: ApiWorld) -> None:
    """It has no name in the registry, and no error."""
    (answer,) = asked(world, None, (PATH, None))
    told = answer.json()
    assert (answer.status_code, told["name"], told["learned"]) == (200, None, None)


def test_files_that_are_gone_fail_no_search_and_no_page(world: ApiWorld) -> None:
    """What they said is left out; searches need none of it."""
    digest = released(world.store, BUCKET, {"mAP": 0.6})
    for file in ("config.json", "metrics.json", "lineage.json"):
        world.store.delete(BUCKET, model_key("shop", digest, file))
    told, found = asked(
        world, f"shop@{digest}", (PATH, None), ("/v1/search", {"image_id": "i1", "limit": 1})
    )
    assert told.json()["learned"]["metrics"] == {}
    assert told.json()["learned"]["gate"] != []
    assert [one["image_id"] for one in found.json()["results"]] == ["i2"]


def test_a_generation_that_is_being_filled_is_told_with_what_is_left(world: ApiWorld) -> None:
    """At 20 images a second the other 900 of the step take 45 s."""
    pairs, deps = answered_by(world, None), world.dependencies(ApiSettings(keys=KEYS))
    app = create_app(replace(deps, pairs=pairs, fillings=FillingOf(FILLING)))

    async def told() -> Any:
        async with client_of(app, key="admin") as client:
            return (await client.get(PATH)).json()["filling"]

    assert asyncio.run(told()) == {
        "generation": "g2",
        "by": "features",
        "step": "seed",
        "done": 100,
        "total": 1000,
        "rate_per_s": 20.0,
        "remaining_s": 45.0,
        "trouble": "",
    }


def test_a_model_on_its_way_is_told_with_what_became_of_the_last(world: ApiWorld) -> None:
    """The stage of one, the outcome of the other, and why."""
    deps = world.dependencies(ApiSettings(keys=KEYS))
    app = create_app(replace(deps, pairs=answered_by(world, None), coming=ComingOf(COMING)))

    async def told() -> Any:
        async with client_of(app, key="admin") as client:
            return (await client.get(PATH)).json()["rollouts"]

    first, last = asyncio.run(told())
    assert first == {
        "name": "shop",
        "digest": "a" * 64,
        "generation": "g2",
        "stage": "compared",
        "outcome": None,
        "says": "",
        "since": "2026-03-01T12:00:00Z",
    }
    assert (last["stage"], last["outcome"]) == (None, "rolled_back")
    assert last["says"] == "CTR: .0310, .0420 before"


@pytest.mark.parametrize("key", ["searcher", "writer"])
def test_only_admins_are_told(world: ApiWorld, key: str) -> None:
    """As with what searches came to."""
    (answer,) = asked(world, None, (PATH, None), key=key)
    assert answer.status_code == 403
