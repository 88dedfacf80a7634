"""Two worker processes of one group over one Qdrant server: what one leaves, the other does."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from sightline.engine.event_log.kafka import read_topics
from sightline.engine.settings import IndexSettings, KafkaSettings, Mode, Settings, StoreSettings
from sightline.engine.vector_index.qdrant.index import QdrantGenerations
from sightline.infra.local.node_process import NodeProcess
from sightline.producers.connect import connect
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.fields import Visibility
from sightline.schemas.indexed import Lane, Outcome
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES, IMAGES_INDEXED
from tests.asking import drawn, embedded
from tests.patience import patient
from tests.processes import ForkedNode
from tests.qdrant_servers import needs_server, server
from tests.waiting import eventually

PHASE = 40
REBALANCED_S = 120.0
"""A killed member's partitions wait for its session to end."""


@pytest.fixture
def shared(
    kafka_settings: KafkaSettings, store_settings: StoreSettings, tmp_path: Path
) -> Iterator[Settings]:
    """Broker, store and index server of a deployment of the test's own."""
    index = IndexSettings(
        url=server()[0], grpc_port=None, collection_prefix=f"t{uuid.uuid4().hex[:12]}"
    )
    services = {
        "mode": Mode.SERVICES,
        "kafka": kafka_settings,
        "store": store_settings,
        "index": index,
    }
    yield embedded(tmp_path / "shared").model_copy(update=services)
    with closing(QdrantGenerations.of(index)) as generations:
        for name in generations.names():
            generations.remove(name)


@needs_server
@pytest.mark.timeout(600)  # four starts of a process, one after the other
def test_two_worker_processes_share_the_work_and_lose_none_of_it(
    shared: Settings, tmp_path: Path
) -> None:
    """One joins, one leaves, one comes back, one is killed, in the middle of work each time."""
    pictures = drawn(4 * PHASE, seed=8)
    one, two = (_node(shared, tmp_path / name) for name in ("one", "two"))
    with one, connect(shared) as publisher:
        _publish(publisher, pictures, 0)
        with two:
            _wait_for_a_share(two)
            _publish(publisher, pictures, 1)
            assert one.stop() == 0
            _publish(publisher, pictures, 2)
            _wait_for_a_share(two, partitions=shared.kafka.partitions or IMAGES.partitions)
            one.start()
            _wait_for_a_share(one)
            _publish(publisher, pictures, 3)
            two.kill()
        told = eventually(
            lambda: found if len(found := _told(shared)) == len(pictures) else None,
            timeout_s=REBALANCED_S,
            interval_s=0.5,
            reason="an outcome for every picture",
        )
        assert told is not None
        assert set(map(frozenset, told.values())) == {frozenset({Outcome.INDEXED})}
        assert _listed(shared) == len(pictures)


def _node(shared: Settings, directory: Path) -> NodeProcess:
    settings = shared.model_copy(update={"data_directory": directory})
    return ForkedNode(settings, directory.with_suffix(".log"))


def _publish(publisher: ImagePublisher, pictures: Sequence[bytes], phase: int) -> None:
    for number in range(phase * PHASE, (phase + 1) * PHASE):
        publisher.upload(
            pictures[number], image_id=f"i{number}", version=1, visibility=Visibility.PUBLIC
        )


def _wait_for_a_share(node: NodeProcess, partitions: int = 1) -> None:
    """Until the process holds so many partitions of the live lane."""
    eventually(
        lambda: _held(node) >= partitions,
        timeout_s=REBALANCED_S,
        interval_s=0.1,
        reason=f"{partitions} partitions",
    )


def _held(node: NodeProcess) -> int:
    text = httpx.get(f"{node.url}/metrics", timeout=patient(30)).text
    counted: dict[str, float] = {}
    for kind in ("assigned", "revoked", "lost"):
        pattern = rf'rebalances_total{{kind="{kind}",lane="{Lane.LIVE}"}} ([0-9.]+)'
        found = re.search(pattern, text)
        counted[kind] = float(found[1]) if found else 0.0
    return int(counted["assigned"] - counted["revoked"] - counted["lost"])


def _told(shared: Settings) -> dict[str, set[Outcome]]:
    """Outcomes by image; `superseded` says only that another delivery was faster."""
    told: dict[str, set[Outcome]] = defaultdict(set)
    for message in read_topics(shared.kafka, [IMAGES_INDEXED.name]):
        event = decode(message.value).data
        told[event.image_id].add(event.outcome)
    return {name: outcomes - {Outcome.SUPERSEDED} for name, outcomes in told.items()}


def _listed(shared: Settings) -> int:
    with closing(QdrantGenerations.of(shared.index)) as generations:
        serving = generations.current()
        assert serving is not None
        with closing(generations.open(serving)) as index:
            return index.count(listed_only=True)
