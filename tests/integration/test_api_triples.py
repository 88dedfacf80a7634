"""The last triples: newest first, for admins, and nothing of what has been hidden since."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.records import Message
from sightline.engine.settings import ApiSettings
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Visibility
from sightline.schemas.labels import RetractionCause, TripleMined, TripleRetracted
from sightline.schemas.searches import IMPORTED_GENERATION, ImageQuery, UploadQuery
from sightline.search_api.app import create_app
from tests.api_parts import KEYS, ApiWorld, client_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)
HASH = "0f" * 32


def record(data: TripleMined | TripleRetracted, name: str) -> Message:
    """A record of the labelled topic."""
    event: Event[Any] = Event.of(data, event_id=name, source="/test", time=NOW)
    return Message(
        topic="training-triples.v1",
        partition=0,
        offset=0,
        key=None,
        value=event.encode(),
        timestamp=NOW,
    )


def mined(name: str, **facts: Any) -> Message:
    """A triple of the three pictures."""
    given = {
        "anchor_id": "i1",
        "positive_id": "i2",
        "negative_id": "i3",
        "grade": 3,
        "positive_position": 1,
        "negative_position": 2,
        "positive_score": 0.9,
        "negative_score": 0.8,
        "sampling_weight": 1.0,
        "search_id": "s1",
        "issued_at": NOW,
        "epoch": 1,
        "actor_id": "ann",
        "query": ImageQuery(image_id="i1"),
        "anchor_perceptual_hash": HASH,
        "positive_perceptual_hash": HASH,
        "negative_perceptual_hash": HASH,
        "model_digest": "m",
        "generation": "g1",
        "rules_version": "1",
        "variant": "default",
    }
    return record(TripleMined.model_validate(given | facts), name)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """Three pictures for everybody and a private one."""
    world = ApiWorld.open(tmp_path)
    for number in (1, 2, 3):
        world.add(f"i{number}", number)
    world.add("hidden", 4, visibility=Visibility.PRIVATE)
    yield world
    world.index.close()


def told(
    world: ApiWorld, triples: RecentTriples, *, key: str = "admin", limit: int = 12
) -> httpx.Response:
    """What the API answers."""
    deps = replace(world.dependencies(ApiSettings(keys=KEYS)), triples=triples)

    async def main() -> httpx.Response:
        async with client_of(create_app(deps), key=key) as client:
            return await client.get("/v1/triples", params={"limit": limit})

    return asyncio.run(main())


def test_the_last_triples_come_first(world: ApiWorld) -> None:
    """Each once, with the pictures' addresses; what was taken back is gone."""
    triples = RecentTriples()
    for name in ("t1", "t2", "t1", "f" * 64):
        triples.add(mined(name))
    triples.add(
        record(
            TripleRetracted(
                triple_id="f" * 64,
                anchor_id="i1",
                cause=next(iter(RetractionCause)),
                cause_event_id="c",
            ),
            "r1",
        )
    )
    rows = told(world, triples).json()["triples"]
    assert [row["triple_id"] for row in rows] == ["t2", "t1"]
    assert rows[0]["positive"] == {
        "image_id": "i2",
        "thumbnail_url": "/v1/images/i2/thumbnail",
    }


@pytest.mark.parametrize("role", ["anchor_id", "positive_id", "negative_id"])
def test_what_not_everybody_may_see_is_left_out(world: ApiWorld, role: str) -> None:
    """Also where it was public when it was clicked."""
    triples = RecentTriples()
    triples.add(mined("t1", **{role: "hidden"}, query=ImageQuery(image_id="hidden")))
    assert told(world, triples).json() == {"triples": []}


@pytest.mark.parametrize("limit", [1, 12, 100])
def test_those_that_are_left_out_make_room(world: ApiWorld, limit: int) -> None:
    """However many of the last cannot be shown: what is kept is looked through to the end."""
    triples = RecentTriples()
    for name in ("t1", "t2"):
        triples.add(mined(name))
    for number in range(400):
        triples.add(mined(f"gone{number}", negative_id=f"gone{number}"))
    rows = told(world, triples, limit=limit).json()["triples"]
    assert [row["triple_id"] for row in rows] == ["t2", "t1"][:limit]


def test_an_import_pushes_out_nothing_of_what_people_did_here(world: ApiWorld) -> None:
    """Imported triples are kept apart, told last, and bounded too."""
    triples = RecentTriples(kept=2)
    triples.add(mined("here"))
    for number in range(3):
        triples.add(mined(f"imported{number}", generation=IMPORTED_GENERATION))
    rows = told(world, triples).json()["triples"]
    assert [row["triple_id"] for row in rows] == ["here", "imported2", "imported1"]


def test_an_uploaded_query_has_no_picture(world: ApiWorld) -> None:
    """It was its visitor's alone."""
    triples = RecentTriples()
    triples.add(mined("t1", anchor_id="q-" + "0" * 32, query=UploadQuery(sha256="0" * 64)))
    [row] = told(world, triples).json()["triples"]
    assert row["anchor"]["thumbnail_url"] is None


def test_only_admins_see_triples(world: ApiWorld) -> None:
    """They tell what people clicked."""
    assert told(world, RecentTriples(), key="writer").status_code == 403


def test_only_the_last_are_kept() -> None:
    """Memory is bounded."""
    triples = RecentTriples(kept=2)
    for name in ("t1", "t2", "t3"):
        triples.add(mined(name))
    assert [name for name, _ in triples.newest()] == ["t3", "t2"]
