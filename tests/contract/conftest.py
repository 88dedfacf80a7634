"""Parts that several contract suites start from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.ports import ObjectStore, VectorIndex
from sightline.engine.settings import StoreSettings
from sightline.producers.images.catalogued import CataloguedImages
from tests.catalogued_parts import Log, authority
from tests.index_deployments import DEPLOYMENTS, Deployment


@pytest.fixture(params=["s3", "directory", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ObjectStore, str]]:
    """A store, and an empty bucket in it."""
    if request.param == "s3":
        settings: StoreSettings = request.getfixturevalue("store_settings")
        s3 = S3ObjectStore(settings)
        yield s3, settings.bucket
        s3.close()
        return
    if request.param == "memory":
        yield MemoryObjectStore("things"), "things"
        return
    directory = DirectoryObjectStore(tmp_path / "objects")
    directory.ensure_bucket("things")
    yield directory, "things"


@pytest.fixture
def log() -> Log:
    """Where events go."""
    return Log(SystemClock())


@pytest.fixture
def catalogue(place: tuple[ObjectStore, str]) -> Catalogue:
    """An empty catalogue."""
    return Catalogue(*place)


@pytest.fixture
def images(catalogue: Catalogue, place: tuple[ObjectStore, str], log: Log) -> CataloguedImages:
    """The authority under test."""
    return authority(catalogue, place, log)


@pytest.fixture(params=DEPLOYMENTS)
def deployment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Deployment]:
    """Each adapter in turn, with nothing in it."""
    yield from DEPLOYMENTS[request.param](tmp_path)


@pytest.fixture
def index(deployment: Deployment) -> Iterator[VectorIndex]:
    """An open, empty index of each adapter."""
    with closing(deployment.open()) as opened:
        yield opened
