"""Writes that another process overtakes between their look and their compare-and-set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import httpx
import pytest

from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.settings import ApiSettings
from sightline.producers.images.catalogued import ANY_TERMS, CataloguedImages
from sightline.producers.images.originals import Original
from sightline.producers.images.published import Written
from sightline.producers.images.states import ImageFacts
from sightline.producers.images.terms import Terms
from sightline.search_api.app import create_app
from tests.api_parts import BUCKET, KEYS, ApiWorld, client_of, picture

URL = "/v1/images/mine"
FORM: dict[str, Any] = {
    "files": {"image": ("p.jpg", picture(1), "image/jpeg")},
    "data": {"visibility": "public"},
}
Overtaking = Callable[[CataloguedImages], object]


class OvertakenImages(CataloguedImages):
    """A catalogue in which another process writes just before each write of the API."""

    overtaking: Overtaking = staticmethod(lambda _: None)

    def put(
        self,
        image_id: str,
        data: bytes | Original,
        *,
        content_type: str = "",
        terms: Terms = ANY_TERMS,
        **facts: Unpack[ImageFacts],
    ) -> Written:
        """See `CataloguedImages.put`."""
        self.overtaking(self.other)
        return super().put(image_id, data, content_type=content_type, terms=terms, **facts)

    def patch(self, image_id: str, changes: ImageFacts, *, terms: Terms = ANY_TERMS) -> Written:
        """See `CataloguedImages.patch`."""
        self.overtaking(self.other)
        return super().patch(image_id, changes, terms=terms)

    def delete(self, image_id: str, *, terms: Terms = ANY_TERMS) -> Written:
        """See `CataloguedImages.delete`."""
        self.overtaking(self.other)
        return super().delete(image_id, terms=terms)

    other: CataloguedImages
    """The same catalogue, as the other process has it."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """An empty world."""
    world = ApiWorld.open(tmp_path)
    yield world
    world.index.close()


def overtaken(
    world: ApiWorld, method: str, request: dict[str, Any], overtaking: Overtaking, *, known: bool
) -> httpx.Response:
    """The answer to a request that is overtaken; `known`: the image is there before, version 1."""
    deps = world.dependencies(ApiSettings(keys=KEYS))
    images = OvertakenImages(Catalogue(world.store, BUCKET), world.publisher)
    images.other = deps.catalogued

    async def main() -> httpx.Response:
        app = create_app(replace(deps, catalogued=images))
        async with client_of(app, key="writer") as client:
            if known:
                assert (await client.put(URL, **FORM)).headers["etag"] == '"1"'
            images.overtaking = overtaking
            return await client.request(method, URL, **request)

    return asyncio.run(main())


def _tag(images: CataloguedImages) -> object:
    return images.patch("mine", {"tags": ("theirs",)})


@pytest.mark.parametrize(
    ("method", "request_", "header", "value"),
    [
        ("PUT", FORM, "If-Match", '"1"'),
        ("PATCH", {"json": {"tags": ["ours"]}}, "If-Match", '"1"'),
        ("DELETE", {}, "If-Match", '"7", "1"'),
        ("PUT", FORM, "If-None-Match", '"2"'),
        ("PATCH", {"json": {"tags": ["ours"]}}, "If-None-Match", '"2"'),
        ("DELETE", {}, "If-None-Match", '"2"'),
    ],
)
def test_the_precondition_holds_at_the_moment_of_the_write(
    world: ApiWorld, method: str, request_: dict[str, Any], header: str, value: str
) -> None:
    """It held at the look and holds no longer: 412 with the present ETag, and nothing written."""
    request = {**request_, "headers": {header: value}}
    answer = overtaken(world, method, request, _tag, known=True)
    told = (answer.status_code, answer.json().get("field"), answer.headers.get("etag"))
    assert told == (412, header, '"2"')
    entry = Catalogue(world.store, BUCKET).read("mine")
    assert entry is not None
    assert (entry.state.version, entry.state.tags) == (2, ("theirs",))


def test_a_write_that_asks_for_nothing_to_be_there_replaces_nothing(world: ApiWorld) -> None:
    """`If-None-Match: *` where the other process created the image meanwhile: 412."""

    def create(images: CataloguedImages) -> object:
        return images.put("mine", picture(2), owner_id="shop", tags=("theirs",))

    request = {**FORM, "headers": {"If-None-Match": "*"}}
    answer = overtaken(world, "PUT", request, create, known=False)
    assert (answer.status_code, answer.headers.get("etag")) == (412, '"1"')
    entry = Catalogue(world.store, BUCKET).read("mine")
    assert entry is not None
    assert entry.state.tags == ("theirs",)


@pytest.mark.parametrize(
    ("method", "request_"), [("PUT", FORM), ("PATCH", {"json": {"tags": []}}), ("DELETE", {})]
)
def test_an_image_that_became_anothers_is_not_written(
    world: ApiWorld, method: str, request_: dict[str, Any]
) -> None:
    """404, whatever kind of write it is."""

    def take(images: CataloguedImages) -> object:
        return images.patch("mine", {"owner_id": "rival"})

    answer = overtaken(world, method, request_, take, known=True)
    assert answer.status_code == 404
    entry = Catalogue(world.store, BUCKET).read("mine")
    assert entry is not None
    assert (entry.state.version, entry.state.owner_id) == (2, "rival")
