"""A model that answers by a matrix on the query: its own pages, on vectors of the one before it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.engine.embedding.projections import Projection
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.pictures.prepare import prepare
from sightline.engine.serving.values import Serves
from sightline.engine.settings import ApiSettings, DecodeSettings
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import INTERACTIONS
from sightline.search_api.app import create_app
from tests.api_parts import BUCKET, ApiWorld, GridEmbedder, client_of, picture
from tests.generation_parts import CLICKS, Deployment, TwoModels
from tests.worker_parts import MemoryLog

PLAIN, BY_MATRIX = Serves(generation="g1"), Serves(generation="g1", query_model=CLICKS)
IMAGES = {f"image-{seed}": seed for seed in range(24)}
WIDTH = GridEmbedder.dimensions
CENTRE = np.full(WIDTH, 128.0, np.float32)
HEAD = np.diag(np.where(np.arange(WIDTH) < 6, 3.0, 0.4)).astype(np.float32)
"""What clicks taught: the first cells count most as the others."""


class Linear(GridEmbedder):
    """Centred features of the grid, times a matrix."""

    def __init__(self, digest: str, matrix: NDArray[np.float32]) -> None:
        self.digest = digest
        self.projection = Projection(CENTRE, matrix)

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Embedder.project`."""
        return super().project(self.projection(features))


OLD, NEW = Linear("old", np.eye(WIDTH, dtype=np.float32)), Linear("new", HEAD)


@pytest.fixture
def place() -> Iterator[Deployment]:
    """One generation, of the old model; the registry has the new one."""
    place = Deployment(TwoModels(OLD, NEW))
    yield place
    place.serving.pairs.close()


def world_of(place: Deployment, folder: Path) -> ApiWorld:
    """A world whose pictures are in the generation that serves."""
    store = DirectoryObjectStore(folder / "objects")
    store.ensure_bucket(BUCKET)
    index, log = place.generations.open("g1"), MemoryLog(place.clock)
    world = ApiWorld(index=index, store=store, log=log, embedder=OLD)
    for image_id, seed in IMAGES.items():
        world.add(image_id, seed)
    return world


@cache
def vectors_by(model: Linear) -> dict[str, NDArray[np.float32]]:
    """Of all pictures, as this model makes them of the bytes."""
    limits = DecodeSettings()
    crops = {
        image_id: prepare(picture(seed), limits=limits, framing=model.framing).crop
        for image_id, seed in IMAGES.items()
    }
    return {image_id: model.embed(crop[None])[0] for image_id, crop in crops.items()}


def expected(model: Linear, asked: str) -> dict[str, float]:
    """The cosines of all other pictures to one, as this model sees them, best first."""
    vectors = vectors_by(model)
    scores = {
        image_id: float(vectors[asked] @ vector)
        for image_id, vector in vectors.items()
        if image_id != asked
    }
    return dict(sorted(scores.items(), key=lambda each: -each[1]))


async def answers(client: httpx.AsyncClient, asked: str, **fields: Any) -> list[dict[str, Any]]:
    """By the indexed image, and by its picture as an upload."""
    by_id = await client.post("/v1/search", json={"image_id": asked, "limit": 6, **fields})
    files = {"image": ("p.jpg", picture(IMAGES[asked]), "image/jpeg")}
    by_upload = await client.post("/v1/search", files=files, data={"limit": 7, **fields})
    for answer in (by_id, by_upload):
        assert answer.status_code == 200, answer.text
    return [by_id.json(), by_upload.json()]


def check(answer: dict[str, Any], model: Linear, asked: str) -> None:
    """The page is the model's own, and so is every score."""
    best = expected(model, asked)
    found = {hit["image_id"]: hit["score"] for hit in answer["results"]}
    if asked in found:  # an upload finds the same picture first
        assert found.pop(asked) == pytest.approx(1.0, abs=1e-5)
    assert list(found) == list(best)[: len(found)]
    assert found == pytest.approx({name: best[name] for name in found}, abs=1e-5)
    assert answer["model"] == model.digest
    assert (answer["generation"], answer["indexed_by"]) == ("g1", "old")


def test_there_and_back_every_page_is_of_one_model(place: Deployment, tmp_path: Path) -> None:
    """By id, by upload, exactly, with look-alikes and without: the page that the model gives."""
    world, follower = world_of(place, tmp_path), place.follower()
    assert list(expected(OLD, "image-0"))[:6] != list(expected(NEW, "image-0"))[:6]

    async def main() -> None:
        deps = replace(world.dependencies(ApiSettings()), pairs=place.serving.pairs)
        app = create_app(deps)
        async with client_of(app) as client:
            for to, model in ((None, OLD), (BY_MATRIX, NEW), (PLAIN, OLD), (BY_MATRIX, NEW)):
                if to is not None:
                    place.switch(to)
                    follower.look()
                for fields in ({}, {"exact": True}, {"near_duplicates": "keep"}):
                    for answer in await answers(client, "image-3", **fields):
                        check(answer, model, "image-3")
                assert (await client.get("/readyz")).json()["model"] == model.digest
            await app.state.impressions.drain()

    asyncio.run(main())
    shown = [decode(message.value).data for message in world.log.records[INTERACTIONS.name]]
    models = [event.model_digest for event in shown if isinstance(event, ResultsShown)]
    assert sorted(set(models)) == ["new", "old"]


def test_searches_go_on_during_the_exchange(place: Deployment, tmp_path: Path) -> None:
    """Whichever pair a search took, its page is that pair's."""
    world, follower = world_of(place, tmp_path), place.follower()

    async def main() -> None:
        deps = replace(world.dependencies(ApiSettings()), pairs=place.serving.pairs)
        async with client_of(create_app(deps)) as client:
            for to in (BY_MATRIX, PLAIN) * 3:
                asking = [asyncio.create_task(answers(client, f"image-{n}")) for n in range(4)]
                place.switch(to)
                await asyncio.to_thread(follower.look)
                for n, found in enumerate(await asyncio.gather(*asking)):
                    for answer in found:
                        model = NEW if answer["model"] == "new" else OLD
                        check(answer, model, f"image-{n}")

    asyncio.run(main())


def test_a_model_that_is_not_linear_leaves_what_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says why, and searches go on by the old model."""
    elsewhere = Linear("new", HEAD)
    elsewhere.projection = Projection(CENTRE + 1, HEAD)
    place = Deployment(TwoModels(OLD, elsewhere))
    world, follower = world_of(place, tmp_path), place.follower()
    place.switch(BY_MATRIX)
    follower.look()
    assert "centres the features elsewhere" in caplog.text
    assert "sightline reindex" in caplog.text
    assert place.serving.pairs.now().model_digest == "old"
    assert world.index.count() == len(IMAGES)
    place.serving.pairs.close()
