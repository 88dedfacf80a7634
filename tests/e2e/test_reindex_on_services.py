"""A new model with two API and two worker processes on a Qdrant server, or on three nodes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from sightline.engine.settings import (
    IndexSettings,
    KafkaSettings,
    Mode,
    Settings,
    StoreSettings,
    WorkerSettings,
)
from sightline.engine.vector_index.qdrant.index import QdrantGenerations
from sightline.infra.local.node_process import environment_of
from tests.asking import Asking, embedded, ok
from tests.processes import ForkedNode, started, stopped
from tests.qdrant_servers import LocalQdrant, cluster, needs_nodes, needs_server, server
from tests.rollout_parts import (
    COUNT,
    PHOTOS,
    Traffic,
    indexed,
    named_in,
    release,
    said,
    tag,
    traffic,
)
from tests.waiting import eventually

Stored = dict[str, tuple[int, bool]]
"""Version of each image, and whether it is listed."""


@dataclass(frozen=True)
class Place:
    """Where the index is, and a node of it that can be lost."""

    index: IndexSettings
    victim: LocalQdrant | None = None


@pytest.fixture(
    params=[
        pytest.param("one server", marks=needs_server),
        pytest.param("three nodes", marks=needs_nodes),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A server, or a cluster with two replicas of each shard; all are asked through one node."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    if request.param == "one server":
        url, grpc_port = server()
        yield Place(IndexSettings(url=url, grpc_port=grpc_port, collection_prefix=prefix))
        return
    nodes = cluster(tmp_path / "nodes")
    url, grpc_port = nodes[0].url, nodes[0].grpc_port
    index = IndexSettings(
        url=url, grpc_port=grpc_port, collection_prefix=prefix, shards=3, replicas=2
    )
    yield Place(index, victim=nodes[-1])
    for node in nodes:
        node.kill()


@pytest.fixture
def shared(
    place: Place,
    kafka_settings: KafkaSettings,
    store_settings: StoreSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """Broker, store and index of a deployment of the test's own, which commands find."""
    settings = embedded(tmp_path / "shared").model_copy(
        update={
            "mode": Mode.SERVICES,
            "kafka": kafka_settings,
            "store": store_settings,
            "index": place.index,
            "worker": WorkerSettings(metrics_port=None),
        }
    )
    for variable, value in environment_of(settings).items():
        monkeypatch.setenv(variable, value)
    yield settings
    with closing(QdrantGenerations.of(place.index)) as generations:
        for name in generations.names():
            generations.remove(name)


@pytest.fixture
def urls(shared: Settings, tmp_path: Path) -> Iterator[list[str]]:
    """Addresses of two API processes; two workers feed the index; forty photos are in it."""
    with ExitStack() as running:
        for name in ("worker-one", "worker-two"):
            worker = started("worker", settings=shared, log=tmp_path / f"{name}.log")
            running.callback(stopped, worker)
        apis = []
        for name in ("api-one", "api-two"):
            own = shared.model_copy(update={"data_directory": tmp_path / name})
            node = ForkedNode(own, tmp_path / f"{name}.log", command="api")
            apis.append(running.enter_context(node).url)
        with Asking(apis[0]) as api:
            for number in range(COUNT):
                photo, tags = PHOTOS.sample(number), tag(number)
                ok(api.upload(f"photo-{number}", photo, wait=False, tags=tags))
            eventually(lambda: indexed(api) == COUNT, timeout_s=60)
        yield apis


@pytest.mark.timeout(600)  # four processes, and a generation that is filled
def test_a_new_model_on_a_server_is_tried_serves_and_goes_again(
    place: Place, shared: Settings, urls: list[str]
) -> None:
    """No search of either process fails, mixes two models or shows what is hidden; none is lost.

    Of three nodes one is killed while the generation is filled, and comes back before it is tried.
    """
    model = release(shared, "turned", seed=3)
    with traffic(*urls) as people:
        said("reindex", model, "--by", "features", "--no-wait")
        if place.victim is not None:
            place.victim.kill()
        generation = named_in(said("reindex", model))
        if place.victim is not None:
            place.victim.start()
        (first,) = set(people.generations)
        said("experiment", "start", "turned", "--generation", generation)
        eventually(lambda: {first, generation} == set(people.generations[-12:]), timeout_s=60)
        said("experiment", "stop")
        said("switch", generation)
        eventually(lambda: _answered_by(people) == generation, timeout_s=60)
        said("rollback")
        eventually(lambda: _answered_by(people) == first, timeout_s=60)
    expected = people.kept | {f"photo-{number}" for number in range(COUNT)}
    for name in (first, generation):
        eventually(lambda: _listed(_stored(shared, name)) == expected, timeout_s=60)  # noqa: B023
    eventually(lambda: _stored(shared, first) == _stored(shared, generation), timeout_s=60)


def _answered_by(people: Traffic) -> str | None:
    """The one generation that answered the last searches of both processes."""
    last = set(people.generations[-4:])
    return last.pop() if len(last) == 1 else None


def _stored(shared: Settings, name: str) -> Stored:
    with (
        closing(QdrantGenerations.of(shared.index)) as generations,
        closing(generations.open(name)) as index,
    ):
        return {one.image_id: (one.fence.version, one.listed) for one in index.scan(vectors=True)}


def _listed(stored: Stored) -> set[str]:
    return {image_id for image_id, (_, listed) in stored.items() if listed}
