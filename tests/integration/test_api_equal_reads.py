"""A hidden image costs what an unknown id costs: the same reads of index, store and catalogue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.object_store.entries import decode_entry
from sightline.engine.settings import ApiSettings
from sightline.engine.vector_index.stored_images import from_payload
from sightline.infra.wiring.publishing import known_in
from sightline.producers.images.catalogued import CataloguedImages
from sightline.schemas.fields import Moderation, Visibility
from sightline.search_api.app import create_app
from sightline.search_api.images.pending import _Held
from tests.api_parts import BUCKET, KEYS, ApiWorld, client_of, picture, serving

pytestmark = pytest.mark.integration

HIDDEN = ("private-1", "blocked-1", "deleted-1", "counted-1", "waiting-1")
NOBODY = "neverwas1"
STRANGERS = ("searcher", "rival", "stranger", "judge")


class Counting:
    """Passes calls on to a part and counts them by name."""

    def __init__(self, part: Any, calls: Counter[str]) -> None:
        self._part = part
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return found

        def called(*args: Any, **named: Any) -> Any:
            self._calls[f"{type(self._part).__name__}.{name}"] += 1
            return found(*args, **named)

        return called


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """A public image, and hidden ones of every kind."""
    world = ApiWorld.open(tmp_path, embedded=True)
    world.add("public-1", 1, owner_id="shop")
    world.add("private-1", 2, owner_id="shop", visibility=Visibility.PRIVATE)
    world.add("blocked-1", 3, owner_id="shop", moderation=Moderation.BLOCKED)
    world.add("deleted-1", 4, owner_id="shop")
    world.publisher.delete(world.index.get(["deleted-1"])["deleted-1"].state, version=2)
    world.work()
    yield world
    world.index.close()


def _requests(image_id: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Everything that can be asked about an image that is not the caller's."""
    about, has = f"/v1/images/{image_id}", {"If-Match": '"1"'}
    form = {"files": {"image": ("p.jpg", picture(9), "image/jpeg")}}
    grade = {"anchor_id": image_id, "image_id": "public-1", "grade": 5, "judge": "anna"}
    return [
        ("GET", about, {}),
        ("HEAD", about, {}),
        ("GET", f"{about}/content", {}),
        ("GET", f"{about}/thumbnail", {"headers": {"If-None-Match": "*"}}),
        ("POST", "/v1/search", {"json": {"image_id": image_id}}),
        ("POST", "/v1/judgements", {"json": grade}),
        (
            "POST",
            "/v1/judgements",
            {"json": {**grade, "anchor_id": "public-1", "image_id": image_id}},
        ),
        ("PUT", about, {**form, "headers": has}),
        ("PUT", about, {**form, "headers": {"If-Match": "*"}}),
        ("PATCH", about, {"json": {"tags": ["x"]}}),
        ("PATCH", about, {"json": {"tags": ["x"], "version": 9}, "headers": has}),
        ("DELETE", about, {}),
        ("DELETE", f"{about}?version=9", {"headers": has}),
    ]


def counted(world: ApiWorld, calls: Counter[str]) -> FastAPI:
    """The app over the world, with its reads counted."""
    store, index = Counting(world.store, calls), Counting(world.index, calls)
    catalogue = Catalogue(store, BUCKET)
    stranger = {
        "sha256": sha256(b"stranger").hexdigest(),
        "scopes": ["write"],
        "owner_id": "elsewhere",
    }
    deps = world.dependencies(ApiSettings.model_validate({"keys": (*KEYS, stranger)}))
    return create_app(
        replace(
            deps,
            pairs=serving(world.embedder, index),
            store=store,
            catalogue=catalogue,
            catalogued=CataloguedImages(catalogue, world.publisher, known=known_in(index)),
        )
    )


async def uploaded(client: httpx.AsyncClient, world: ApiWorld) -> None:
    """An image whose versions we count, and one that is on its way."""
    form = {"image": ("p.jpg", picture(7), "image/jpeg")}
    for name in ("counted-1", "waiting-1"):
        await client.put(f"/v1/images/{name}", files=form, headers={"X-API-Key": "writer"})
        if name == "counted-1":
            world.work()


@pytest.mark.parametrize("key", STRANGERS)
def test_hidden_and_unknown_ids_are_read_alike(
    world: ApiWorld, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal answers after equal reads, and no hidden image is parsed, as a public one is.

    Neither the index's, nor the catalogue's, nor what is on its way: its cost would tell how much
    is said there.
    """
    calls, parsed = Counter[str](), list[str]()

    def watched(*args: Any) -> Any:
        image = from_payload(*args)
        parsed.append(image.image_id)
        return image

    def watched_entry(data: bytes, *args: Any, **named: Any) -> Any:
        calls["an entry parsed"] += 1
        entry = decode_entry(data, *args, **named)
        parsed.append(entry.state.subject)
        return entry

    def watched_pending(held: Any) -> Any:
        pending = unpack(held)
        parsed.append(pending.state.image_id)
        return pending

    async def asked(client: httpx.AsyncClient, image_id: str, at: int) -> tuple[int, Counter[str]]:
        method, url, more = _requests(image_id)[at]
        headers = {"X-API-Key": key, **more.get("headers", {})}
        calls.clear()
        answer = await client.request(method, url, **{**more, "headers": headers})
        return answer.status_code, Counter(calls)

    async def main() -> None:
        async with client_of(counted(world, calls)) as client:
            await uploaded(client, world)
            for at, (method, url, _) in enumerate(_requests(NOBODY)):
                wanted = await asked(client, NOBODY, at)
                for image_id in HIDDEN:
                    parsed.clear()
                    assert await asked(client, image_id, at) == wanted, (method, url, image_id)
                    assert image_id not in parsed, (method, url)
            parsed.clear()
            await client.get("/v1/images/public-1", headers={"X-API-Key": "searcher"})
            assert "public-1" in parsed
            parsed.clear()
            await client.get("/v1/images/waiting-1", headers={"X-API-Key": "writer"})
            assert "waiting-1" in parsed

    unpack = _Held.pending
    monkeypatch.setattr(_Held, "pending", watched_pending)
    monkeypatch.setattr("sightline.engine.object_store.catalogue.decode_entry", watched_entry)
    monkeypatch.setattr("sightline.engine.vector_index.stored_points.from_payload", watched)
    asyncio.run(main())
