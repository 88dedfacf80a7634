"""Searches while what serves changes: none fails, none mixes two models."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.serving.values import Serves
from sightline.engine.settings import ApiSettings
from sightline.search_api.app import create_app
from tests.api_parts import BUCKET, ApiWorld, client_of, picture
from tests.generation_parts import CLICKS, Deployment
from tests.worker_parts import MemoryLog

G1, G2 = Serves(generation="g1"), Serves(generation="g2")
IMAGES = {f"image-{seed}": seed for seed in range(6)}
MODELS = {"g1": "grid", "g2": "turned"}


@pytest.fixture
def place() -> Iterator[Deployment]:
    """Two generations; the second one is ready, and empty."""
    place = Deployment()
    place.make_second()
    place.record.change(lambda s: s.made_ready("g2", place.clock.now(), "proven"))
    yield place
    place.serving.pairs.close()


def filled(place: Deployment, folder: Path) -> ApiWorld:
    """A world whose pictures are in both generations, in each by its own model's vectors."""
    store = DirectoryObjectStore(folder / "objects")
    store.ensure_bucket(BUCKET)
    log = MemoryLog(place.clock)
    for name, model in (("g1", None), ("g2", CLICKS)):
        index = place.generations.open(name)
        world = ApiWorld(index=index, store=store, log=log, embedder=place.models.of[model])
        if name == "g1":
            for image_id, seed in IMAGES.items():
                world.add(image_id, seed)
        else:
            world.work()
    return world


async def search(client: httpx.AsyncClient, turn: int) -> tuple[str, dict[str, Any]]:
    """By an indexed image, or by the same picture as an upload; what must come first, and all."""
    image_id, seed = list(IMAGES.items())[turn % len(IMAGES)]
    if turn % 2:
        files = {"image": ("p.jpg", picture(seed), "image/jpeg")}
        answer = await client.post("/v1/search", files=files, data={"near_duplicates": "keep"})
    else:
        body = {"image_id": image_id, "near_duplicates": "keep"}
        answer = await client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.text
    return image_id, answer.json()


def scores_of(place: Deployment) -> dict[str, dict[tuple[str, str], float]]:
    """By generation: how alike its model finds any two of the pictures."""
    found = {}
    for name in ("g1", "g2"):
        held = place.generations.open(name).get(IMAGES, vectors=True)
        vectors = {image_id: image.vector for image_id, image in held.items()}
        found[name] = {
            (one, other): float(np.dot(a, b))
            for one, a in vectors.items()
            for other, b in vectors.items()
            if a is not None and b is not None
        }
    assert len(found["g1"]) == len(found["g2"]) == len(IMAGES) ** 2
    return found


class Answers:
    """Checks each answer against the model that it names, and counts them by generation."""

    def __init__(self, place: Deployment) -> None:
        self._expected = scores_of(place)
        self.served: Counter[str] = Counter()

    def check(self, asked: str, answer: dict[str, Any]) -> str:
        """Every score is the model's own; which generation answered."""
        generation: str = answer["generation"]
        assert answer["model"] == MODELS[generation]
        assert len(answer["results"]) >= len(IMAGES) - 1
        for hit in answer["results"]:
            known = self._expected[generation][asked, hit["image_id"]]
            assert hit["score"] == pytest.approx(known, abs=1e-4)
        self.served[generation] += 1
        return generation

    async def keep_asking(self, client: httpx.AsyncClient, over: asyncio.Event) -> None:
        """Eight searches at once, again and again."""
        while not over.is_set():
            for found in await asyncio.gather(*(search(client, turn) for turn in range(8))):
                self.check(*found)


def test_no_search_fails_or_mixes_two_models(place: Deployment, tmp_path: Path) -> None:
    """Ten switches under concurrent searches: every score is that of the model that is named."""
    world, follower = filled(place, tmp_path), place.follower()
    answers = Answers(place)

    async def main() -> None:
        deps = replace(world.dependencies(ApiSettings()), pairs=place.serving.pairs)
        over = asyncio.Event()
        async with client_of(create_app(deps)) as client:
            running = asyncio.create_task(answers.keep_asking(client, over))
            for turn, to in enumerate([G2, G1] * 5):
                place.switch(to)
                await asyncio.to_thread(follower.look)
                for kind in range(2):
                    assert answers.check(*await search(client, kind)) == to.generation
                ready = (await client.get("/readyz")).json()
                told = ready["generation"], ready["number"], ready["released"]
                assert told == (to.generation, turn + 2, CLICKS if to is G2 else None)
            over.set()
            await running

    asyncio.run(main())
    assert min(answers.served["g1"], answers.served["g2"]) >= 10
    follower.look()
    assert place.indexes.names() == ["g1"], "what was replaced is closed with its last search"
