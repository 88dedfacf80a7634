"""What a generation with several replicas asks of its server; the server itself is a double."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import UnexpectedResponse

from sightline.engine.errors import Overloaded, PartUnavailable
from sightline.engine.records import TagFilter
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.payload import SEARCHABLE, point_id
from sightline.engine.vector_index.qdrant import replication
from sightline.engine.vector_index.qdrant.index import QdrantGenerations, QdrantVectorIndex
from sightline.engine.vector_index.qdrant.replication import Replication
from tests.indexed_images import SPEC, Kind, decision, image, query

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

QUORUM = models.ReadConsistencyType.QUORUM


class Replicated(QdrantClient):
    """The client's local mode as one replica, and what a majority would say of its points."""

    def __init__(self, replicas: int) -> None:
        super().__init__(":memory:")
        self.replicas, self.write_factor = replicas, replicas
        self.second_try_ms: int | None = None
        self.orderings: list[models.WriteOrdering | None] = []
        self.disputed: set[str] = set()
        """Points that the other replicas have otherwise."""
        self.others_payload: dict[str, dict[str, Any]] = {}
        """What a majority says of a point, where this replica says something else."""
        self.refusal: Exception | None = None
        """What comes of asking a majority."""
        self.ready = True
        self.leaders = [1]
        """Whom the node names leader when it is asked, one after the other; the last one stays."""
        self.nodes, self.silent = 3, 1
        """How many nodes there are, and how many do not answer this one."""
        self.stumbles = 0
        """How many reads fail from now on, of whichever kind."""
        self.unmade = 0
        """So many times more a shard of the collection has no replica yet."""
        self.waits: dict[Any, int | None] = {}
        """How long the last read of each consistency was to be waited for; None: for long."""

    @property
    def http(self) -> Any:
        """The node's own routes, of which one is asked."""
        return SimpleNamespace(service_api=self)

    def readyz(self) -> str:
        """Whether the node has caught up, as the client tells of an answer that is no JSON."""
        if not self.ready:
            raise UnexpectedResponse(503, "", b"some shards are not ready", httpx.Headers())
        said: str = json.loads("all shards are ready")
        return said

    def cluster_status(self) -> models.ClusterStatus:
        """What the node knows of the others."""
        leader = self.leaders.pop(0) if len(self.leaders) > 1 else self.leaders[0]
        return models.ClusterStatusOneOf1.model_validate(
            {
                "status": "enabled",
                "peer_id": 1,
                "peers": {str(n): {"uri": f"http://{n}/"} for n in range(self.nodes)},
                "raft_info": {
                    "term": 2,
                    "commit": 9,
                    "pending_operations": 0,
                    "leader": leader,
                    "is_voter": True,
                },
                "consensus_thread_status": {
                    "consensus_thread_status": "working",
                    "last_update": "2026-01-01T00:00:00Z",
                },
                "message_send_failures": {f"http://{n}/": {"count": 1} for n in range(self.silent)},
            }
        )

    def get_collection(self, collection_name: str, **_: Any) -> models.CollectionInfo:
        """With its replicas."""
        if self.unmade:
            self.unmade -= 1
            said = b"Service internal error: 0 of 0 read operations failed"
            raise UnexpectedResponse(500, "", said, httpx.Headers())
        info = super().get_collection(collection_name)
        info.config.params.replication_factor = self.replicas
        info.config.params.write_consistency_factor = self.write_factor
        info.config.params.read_fan_out_delay_ms = self.second_try_ms
        return info

    def update_collection(self, *_: Any, collection_params: Any = None, **__: Any) -> bool:
        """Take another write factor."""
        self.write_factor = collection_params.write_consistency_factor
        self.second_try_ms = collection_params.read_fan_out_delay_ms
        return True

    def upsert(self, *place: Any, ordering: Any = None, **how: Any) -> Any:
        """Note how it is ordered."""
        self.orderings.append(ordering)
        return super().upsert(*place, **how)

    def set_payload(self, *place: Any, ordering: Any = None, **how: Any) -> Any:
        """Note how it is ordered."""
        self.orderings.append(ordering)
        return super().set_payload(*place, **how)

    def delete(self, *place: Any, ordering: Any = None, **how: Any) -> Any:
        """Note how it is ordered."""
        self.orderings.append(ordering)
        return super().delete(*place, **how)

    def query_batch_points(self, *place: Any, **how: Any) -> Any:
        """Fail as often as is said."""
        self._stumble()
        return super().query_batch_points(*place, **how)

    def retrieve(self, *place: Any, consistency: Any = None, **how: Any) -> list[models.Record]:
        """As a majority says, where it is asked."""
        self._stumble()
        self.waits[consistency] = how.pop("timeout", None)
        return self._agreed(super().retrieve(*place, **how), consistency)

    def scroll(self, *place: Any, consistency: Any = None, **how: Any) -> tuple[Any, Any]:
        """As a majority says, where it is asked."""
        self._stumble()
        records, offset = super().scroll(*place, **how)
        return self._agreed(records, consistency), offset

    def count(self, *place: Any, **how: Any) -> Any:
        """Fail as often as is said."""
        self._stumble()
        return super().count(*place, **how)

    def _stumble(self) -> None:
        if self.stumbles:
            self.stumbles -= 1
            raise UnexpectedResponse(500, "", b"Local shard 1 not found", httpx.Headers())

    def _agreed(self, records: list[models.Record], consistency: Any) -> list[models.Record]:
        if consistency is not QUORUM:
            return records
        if self.refusal is not None:
            raise self.refusal
        for record in records:
            said = self.others_payload.get(str(record.id), {})
            record.payload = {**(record.payload or {}), **said}
        return [record for record in records if record.id not in self.disputed]


@pytest.fixture(params=[2, 3])
def server(request: pytest.FixtureRequest) -> Iterator[Replicated]:
    """A server that keeps two replicas, or three."""
    client = Replicated(request.param)
    yield client
    client.close()


@pytest.fixture
def pair() -> Iterator[Replicated]:
    """A server that keeps two replicas."""
    client = Replicated(2)
    yield client
    client.close()


def opened(client: Replicated) -> QdrantVectorIndex:
    """The index on it, with a public, a private and a deleted image."""
    index = QdrantVectorIndex.open(IndexSettings(), SPEC, client=client)
    index.apply([image("public"), image("private", kind=Kind.PRIVATE)])
    index.apply([image("gone", kind=Kind.DELETED)])
    return index


def found(index: QdrantVectorIndex) -> list[str]:
    """The images that a search returns."""
    return [hit.image.image_id for hit in index.search(query())]


def refused(status: int = 500) -> UnexpectedResponse:
    """What a server answers that has too few replicas for a read."""
    said = b"The replica set for shard 0 does not have enough active replicas"
    return UnexpectedResponse(status, "", said, httpx.Headers())


@pytest.mark.parametrize(("replicas", "writes"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)])
def test_every_read_meets_every_write(replicas: int, writes: int) -> None:
    """As few replicas as that takes must have a write, so that as many as can be may be down."""
    assert Replication(replicas).writes == writes
    majority = replicas // 2 + 1
    assert majority + writes > replicas >= majority + writes - 1


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_every_write_is_ordered_by_one_replica_where_there_are_several(replicas: int) -> None:
    """Images, decisions, their places and removals; a single replica is asked for nothing."""
    client = Replicated(replicas)
    index = opened(client)
    index.moderate([decision("public")])
    index.relocate([image("private", kind=Kind.PRIVATE)])
    index.relocate_decisions([decision("public")])
    index.purge(["gone"])
    expected = None if replicas == 1 else models.WriteOrdering.MEDIUM
    assert len(client.orderings) >= 8
    assert set(client.orderings) == {expected}
    client.close()


def test_what_a_majority_does_not_show_is_not_found(server: Replicated) -> None:
    """A replica with an old state shows an image that the others hide, or have otherwise."""
    index = opened(server)
    assert found(index) == ["public"]
    server.disputed = {point_id("public")}
    assert found(index) == []
    assert index.get(["public"]) == {}
    assert index.earliest("", TagFilter(), 5) == []
    server.disputed = set()
    server.others_payload = {point_id("public"): {SEARCHABLE: "hidden"}}
    assert found(index) == []


def test_a_write_that_the_replicas_do_not_agree_on_is_repeated(server: Replicated) -> None:
    """It is not taken for done, since one of them may hold it back; the caller comes again."""
    index = opened(server)
    server.disputed = {point_id("new")}
    with pytest.raises(PartUnavailable, match="replicas of the index differ"):
        index.apply([image("new")])
    server.disputed = set()
    index.apply([image("new")])
    assert sorted(found(index)) == ["new", "public"]


def test_of_two_replicas_one_is_enough_on_a_node_that_has_caught_up(
    pair: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one that is down would stop every search; who was down itself is not believed."""
    monkeypatch.setattr(replication, "_FILLING_S", 0.0)
    index = opened(pair)
    pair.refusal = refused()
    assert found(index) == ["public"]
    assert set(index.get(["public", "private"])) == {"public", "private"}
    assert pair.waits == {QUORUM: 2, None: None}
    pair.ready = False
    with pytest.raises(PartUnavailable, match="one replica down: HTTP 503 some shards"):
        found(index)


def test_one_of_two_is_not_enough_on_a_node_that_is_parted_from_the_others(
    pair: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It calls itself ready, but may lack what they hid: without a leader, or as the old one."""
    monkeypatch.setattr(replication, "_ELECTION_S", 0.0)
    monkeypatch.setattr(replication, "_FILLING_S", 0.0)
    index = opened(pair)
    pair.refusal = refused()
    pair.leaders = [0]
    with pytest.raises(PartUnavailable, match="one replica down: the node reaches no majority"):
        found(index)
    pair.leaders, pair.silent = [1], 2
    with pytest.raises(PartUnavailable, match="the node reaches no majority"):
        found(index)


def test_each_repetition_on_one_of_two_looks_whether_the_node_is_in_touch(
    pair: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have lost the others since the read that failed."""
    monkeypatch.setattr(replication, "_AGAIN_S", 0.0)
    monkeypatch.setattr(replication, "_ELECTION_S", 0.0)
    monkeypatch.setattr(replication, "_FILLING_S", 0.2)
    index = opened(pair)
    pair.stumbles, pair.leaders = 2, [1, 0]
    with pytest.raises(PartUnavailable, match="the node reaches no majority"):
        index.get(["public"])


def test_an_election_is_waited_for(pair: Replicated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who lost the leader has none for a moment, and answers when there is another."""
    monkeypatch.setattr(replication, "_CATCHING_UP_S", 0.0)
    index = opened(pair)
    pair.refusal = refused()
    pair.leaders = [0, 1]
    assert found(index) == ["public"]


def test_one_of_two_nodes_needs_no_other(pair: Replicated) -> None:
    """No write is acknowledged while one of them is down, so that neither can lack any."""
    index = opened(pair)
    pair.refusal = refused()
    pair.nodes, pair.leaders = 2, [0]
    assert found(index) == ["public"]


def test_of_three_replicas_two_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A majority is left when one is down: where there is none, nobody knows."""
    monkeypatch.setattr(replication, "_FILLING_S", 0.0)
    client = Replicated(3)
    index = opened(client)
    client.refusal = refused()
    with pytest.raises(PartUnavailable, match="enough active replicas"):
        found(index)
    assert client.waits == {QUORUM: None}
    client.close()


READS: dict[str, Callable[[QdrantVectorIndex], object]] = {
    "search": found,
    "get": lambda index: sorted(index.get(["public"])),
    "earliest": lambda index: [one.image_id for one in index.earliest("", TagFilter(), 5)],
    "scan": lambda index: sorted(one.image_id for one in index.scan())[-1:],
    "count": lambda index: index.count(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_is_repeated_while_a_node_begins_to_fill_another(
    server: Replicated,
    read: Callable[[QdrantVectorIndex], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no shard for a moment then, which lasts as long as the reads that are under way."""
    index = opened(server)
    before = read(index)
    monkeypatch.setattr(replication, "_AGAIN_S", 0.0)
    server.stumbles = 5
    assert read(index) == before
    assert server.stumbles == 0


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_that_goes_on_to_fail_is_refused(
    server: Replicated,
    read: Callable[[QdrantVectorIndex], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a second; nobody waits for good."""
    monkeypatch.setattr(replication, "_FILLING_S", 0.0)
    index = opened(server)
    server.stumbles = 10
    with pytest.raises(PartUnavailable, match="Local shard 1 not found"):
        read(index)


def test_a_single_replica_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody fills another from it, so that a failure is one."""
    monkeypatch.setattr(replication, "_AGAIN_S", 0.0)
    client = Replicated(1)
    index = opened(client)
    client.stumbles = 1
    with pytest.raises(PartUnavailable, match="Local shard 1 not found"):
        found(index)
    client.close()


def test_a_server_with_too_much_to_do_is_not_asked_twice(pair: Replicated) -> None:
    """It said when to come back."""
    index = opened(pair)
    pair.refusal = ResourceExhaustedResponse("slow down", 7)
    with pytest.raises(Overloaded) as raised:
        found(index)
    assert raised.value.retry_after_s == 7


def test_a_generation_of_an_older_release_takes_writes_with_a_replica_down(
    server: Replicated,
) -> None:
    """It was made to need all replicas, and to wait for one that hangs; opened once, it is not."""
    assert server.write_factor == server.replicas
    opened(server).close()
    assert (server.write_factor, server.second_try_ms) == (Replication(server.replicas).writes, 100)


def test_a_generation_that_another_process_is_making_is_waited_for(server: Replicated) -> None:
    """It is listed before its shards can be asked; a process that starts then does not end."""
    first = opened(server)
    server.unmade = 2
    second = QdrantVectorIndex.open(IndexSettings(), SPEC, client=server)
    assert found(second) == found(first) == ["public"]


def test_a_new_generation_is_made_with_the_replicas_of_the_settings() -> None:
    """And with the writes that follow from them."""
    made: dict[str, Any] = {}

    class Noting(Replicated):
        def create_collection(self, *place: Any, **how: Any) -> bool:
            made.update(how)
            return super().create_collection(*place, **how)

    client = Noting(3)
    with_three = QdrantGenerations.of(IndexSettings(replicas=3), client=client)
    with_three.create(SPEC)
    assert (made["replication_factor"], made["write_consistency_factor"]) == (3, 2)
    client.close()
