"""The API's world in one process: a real embedded index and directory store, a log in memory."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
from fastapi import FastAPI
from numpy.typing import NDArray
from PIL import Image

from sightline.engine.clock import SystemClock
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue, Decisions
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.pictures.prepare import prepare
from sightline.engine.ports import Embedder, VectorIndex
from sightline.engine.records import (
    GenerationSpec,
    ImageStage,
    IndexedDecision,
    IndexedImage,
    WinnerLocation,
)
from sightline.engine.records.framing import Framing
from sightline.engine.serving.pair import ServingPair
from sightline.engine.serving.pairs import OpenedPair, ServingPairs
from sightline.engine.settings import ApiKey, ApiSettings, DecodeSettings, IndexSettings, Scope
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.engine.vector_index.memory.generations import MemoryGenerations
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.infra.wiring.publishing import known_in
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.moderation import ImageModeration
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageDeleted, ImageState, hiding_rank, tie
from sightline.schemas.indexed import Outcome
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES_MODERATION
from sightline.search_api.app import create_app
from sightline.search_api.dependencies import ApiDependencies
from sightline.search_api.learning.coming_models import ComingModel
from sightline.search_api.learning.filling import Filling
from tests.patience import patient
from tests.worker_parts import MemoryLog

BUCKET = "sightline"
BASE_URL = "http://localhost"
SECRET = b"a secret for tests, of 32 bytes."
GRID = 4
LONG_WAIT = f"wait=searchable&timeout_s={min(60, patient(20))}"
"""Asks for an answer once the write can be found; the API lets nobody wait for more than 60 s."""
Scenario = Callable[[httpx.AsyncClient], Awaitable[None]]
"""What a client asks, and what is expected of the answers."""


class GridEmbedder:
    """Means of a grid of cells, per channel: alike pictures, alike vectors; no model."""

    digest = "grid"
    features_digest = "grid means"
    feature_count = dimensions = GRID * GRID * 3
    framing = Framing(32)
    runtime = "numpy"
    batched = True

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Embedder.features`."""
        cell = self.framing.size // GRID
        cells = crops.reshape(len(crops), GRID, cell, GRID, cell, 3).mean(axis=(2, 4))
        flat = cells.reshape(len(crops), -1).astype(np.float32) + 1.0
        return np.asarray(flat, np.float32)

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Embedder.project`."""
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        return np.asarray(unit, np.float32)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        return self.project(self.features(crops))


def picture(seed: int, *, size: tuple[int, int] = (96, 72), kind: str = "JPEG") -> bytes:
    """A picture of coloured blocks that no other seed gives."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC).save(out, kind)
    return out.getvalue()


def spec_of(embedder: GridEmbedder) -> GenerationSpec:
    """The generation that the embedder makes."""
    return GenerationSpec(
        name="g1",
        model_digest=embedder.digest,
        preprocess_digest=embedder.framing.digest,
        dimensions=embedder.dimensions,
        quantisation="none",
    )


def key_of(text: str, *scopes: Scope, owner_id: str | None = None) -> ApiKey:
    """A configured key whose plain text is `text`."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return ApiKey(sha256=digest, scopes=scopes, owner_id=owner_id, name=text)


KEYS = (
    key_of("searcher", Scope.SEARCH),
    key_of("writer", Scope.WRITE, owner_id="shop"),
    key_of("rival", Scope.WRITE, Scope.SEARCH, owner_id="rival"),
    key_of("judge", Scope.JUDGE),
    key_of("site", Scope.SEARCH, Scope.USERS),
    key_of("admin", Scope.ADMIN),
)


FILLING = Filling(
    generation="g2",
    by="features",
    step="seed",
    done=100,
    total=1000,
    rate_per_s=20.0,
    trouble="",
)


@dataclass(frozen=True)
class FillingOf:
    """A `Fillings` that always says the same."""

    said: Filling | None

    def now(self) -> Filling | None:
        """What it was made to say."""
        return self.said


COMING = (
    ComingModel(
        name="shop",
        digest="a" * 64,
        generation="g2",
        stage="compared",
        outcome=None,
        says="",
        since=datetime(2026, 3, 1, 12, tzinfo=UTC),
    ),
    ComingModel(
        name="shop",
        digest="b" * 64,
        generation=None,
        stage=None,
        outcome="rolled_back",
        says="CTR: .0310, .0420 before",
        since=datetime(2026, 2, 1, 12, tzinfo=UTC),
    ),
)


@dataclass(frozen=True)
class ComingOf:
    """A `ComingModels` that always says the same."""

    said: tuple[ComingModel, ...]

    def now(self) -> tuple[ComingModel, ...]:
        """What it was made to say."""
        return self.said


@dataclass
class ApiWorld:
    """Everything behind one API, with a worker that applies what was published when told to."""

    index: VectorIndex
    store: DirectoryObjectStore
    log: MemoryLog
    embedder: GridEmbedder = field(default_factory=GridEmbedder)
    clock: SystemClock = field(default_factory=SystemClock)
    metrics: Metrics = field(default_factory=Metrics)
    applied: int = 0

    def __post_init__(self) -> None:
        self.health = Health(self.clock, changed=self.metrics.part)
        self.publisher = ImagePublisher(
            self.log, self.store, bucket=BUCKET, source="/test", clock=self.clock
        )

    @classmethod
    def open(cls, directory: Path, *, embedded: bool = False) -> ApiWorld:
        """A new world in a directory; its index is in memory, or the embedded engine's."""
        embedder = GridEmbedder()
        spec = spec_of(embedder)
        index: VectorIndex = (
            EdgeVectorIndex.open(directory / "index", spec, IndexSettings())
            if embedded
            else MemoryVectorIndex.open(MemoryGenerations(), spec)
        )
        store = DirectoryObjectStore(directory / "objects")
        store.ensure_bucket(BUCKET)
        return cls(index=index, store=store, log=MemoryLog(SystemClock()), embedder=embedder)

    def dependencies(self, settings: ApiSettings | None = None) -> ApiDependencies:
        """What `create_app` takes."""
        catalogue = Catalogue(self.store, BUCKET)
        return ApiDependencies(
            pairs=serving(self.embedder, self.index),
            store=self.store,
            bucket=BUCKET,
            catalogue=catalogue,
            catalogued=CataloguedImages(catalogue, self.publisher, known=known_in(self.index)),
            new_images=CataloguedImages(catalogue, self.publisher),
            moderation=ImageModeration(
                Decisions(self.store, BUCKET),
                self.log,
                source="/test",
                clock=self.clock,
                known=self._known_decision,
            ),
            publisher=AsyncImagePublisher(self.publisher),
            producer=self.log,
            api=settings or ApiSettings(),
            decode=DecodeSettings(max_bytes=4 * 1024 * 1024, max_pixels=4_000_000),
            clock=self.clock,
            metrics=self.metrics,
            health=self.health,
            secret=SECRET,
        )

    def work(self, at_most: int | None = None) -> None:
        """Apply every image event that was published since, or only the first few."""
        self._moderate()
        waiting = self.log.records["images.v1"][self.applied :][:at_most]
        for message in waiting:
            event = decode(message.value)
            self.index.apply([self._applied(event, message.offset)])
        self.applied += len(waiting)

    def add(self, image_id: str, seed: int, **facts: object) -> bytes:
        """Upload a picture past the API, as an owner's version 1, and apply it; its bytes."""
        data = picture(seed)
        self.publisher.upload(
            data,
            image_id=image_id,
            version=1,
            **{"visibility": Visibility.PUBLIC, **facts},  # type: ignore[arg-type]
        )
        self.work()
        return data

    def _moderate(self) -> None:
        """Apply every decision, again and again: that changes nothing."""
        for message in self.log.records[IMAGES_MODERATION.name]:
            place = WinnerLocation(message.topic, message.partition, message.offset)
            event = decode(message.value)
            self.index.moderate(
                [IndexedDecision.of(event, appended=message.timestamp, winner=place)]
            )

    def _known_decision(self, image_id: str) -> ImageModerated | None:
        found = self.index.decisions([image_id]).get(image_id)
        return None if found is None else found.decision

    def _applied(self, event: Event[ImageState], offset: int) -> IndexedImage:
        state, now = event.data, self.clock.now()
        image = IndexedImage(
            state=state,
            event_id=event.id,
            event_source=event.source,
            tie=tie(state, event.id),
            stage=ImageStage.FINAL,
            outcome=Outcome.DELETED,
            occurred=event.time,
            appended=now,
            applied=now,
            winner=WinnerLocation("images.v1", 0, offset),
        )
        if isinstance(state, ImageDeleted) or state.object is None:
            return image
        data = self.store.get(state.object.bucket, state.object.key)
        ready = prepare(data, limits=DecodeSettings(), framing=self.embedder.framing)
        return replace(
            image,
            outcome=Outcome.HIDDEN if hiding_rank(state) else Outcome.INDEXED,
            content_sha256=hashlib.sha256(data).hexdigest(),
            perceptual_hash=ready.perceptual_hash,
            width=ready.width,
            height=ready.height,
            vector=self.embedder.embed(ready.crop[None])[0],
        )


def serving(
    embedder: Embedder, index: VectorIndex, *, model: str | None = None, number: int = 1
) -> ServingPairs:
    """One pair for good, whose index is the caller's to close."""
    pair = ServingPair(embedder=embedder, index=index, spec=index.spec, model=model, number=number)
    return ServingPairs(OpenedPair(pair, lambda: None))


def answered_by(world: ApiWorld, model: str | None) -> ServingPairs:
    """The world's index and embedder as a model of the registry, `NAME@DIGEST`, serves by them."""
    return serving(world.embedder, world.index, model=model, number=3)


@asynccontextmanager
async def client_of(app: FastAPI, *, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a started app."""
    headers = {} if key is None else {"X-API-Key": key}
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 5000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers) as client,
    ):
        yield client


def app_of(world: ApiWorld, **settings: object) -> FastAPI:
    """The app over a world."""
    return create_app(world.dependencies(ApiSettings.model_validate(settings)))


def run(world: ApiWorld, scenario: Scenario, *, key: str | None = None, **settings: object) -> None:
    """Run a scenario with a client of a fresh app; then what was shown is in the log."""
    run_with(app_of(world, **settings), scenario, key=key)


def run_with(app: FastAPI, scenario: Scenario, *, key: str | None = None) -> None:
    """Run a scenario with a client of this app; then what was shown is in the log."""

    async def main() -> None:
        async with client_of(app, key=key) as client:
            await scenario(client)
            await app.state.impressions.drain()

    asyncio.run(main())


def part(seed: int = 1) -> dict[str, tuple[str, bytes, str]]:
    """A picture as the part of a form that uploads and searches take."""
    return {"image": ("p.jpg", picture(seed), "image/jpeg")}
