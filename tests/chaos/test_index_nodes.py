"""Three nodes of a Qdrant cluster: one is killed while images vanish, and comes back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import pytest

from sightline.engine.errors import PartUnavailable
from sightline.engine.records import IndexedImage
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.qdrant.index import QdrantVectorIndex
from tests.indexed_images import SPEC, Kind, image, query
from tests.qdrant_servers import LocalQdrant, cluster, needs_nodes
from tests.waiting import eventually

IMAGES = 240
ONES = 8
"""Images to one write, as a worker with little to do sends them."""
WRITTEN_S, READY_S, LOOK_S = 60.0, 120.0, 0.5
IN_A_ROW = 10

pytestmark = [needs_nodes, pytest.mark.timeout(600)]


@dataclass
class Acknowledged:
    """What the index has acknowledged of each image, and what it may not say any more."""

    versions: dict[str, int] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)

    def add(self, images: Sequence[IndexedImage]) -> None:
        """Take note of a write that returned."""
        for one in images:
            self.versions[one.image_id] = one.version
            if not one.listed:
                self.hidden.add(one.image_id)

    def wrong_in(self, index: QdrantVectorIndex) -> list[str]:
        """Images that one search and one read return though they were hidden, or an old version.

        Raises:
            PartUnavailable: the node did not answer.
        """
        versions, hidden = dict(self.versions), set(self.hidden)
        found = {hit.image.image_id: hit.image for hit in index.search(query(limit=IMAGES))}
        known = index.get(list(versions))
        shown = [f"{name} is hidden" for name in sorted(hidden & found.keys())]
        return shown + [
            f"{name} has version {one.version}, not {versions[name]}"
            for name, one in [*found.items(), *known.items()]
            if one.version < versions[name]
        ]


@dataclass
class Looking:
    """Somebody who searches through one node all the time; it may be down."""

    index: QdrantVectorIndex
    truth: Acknowledged
    wrong: list[str] = field(default_factory=list)
    answers: int = 0
    refusals: list[str] = field(default_factory=list)

    def run(self, stop: threading.Event) -> None:
        """Search until told to stop."""
        while not stop.is_set():
            try:
                self.wrong += self.truth.wrong_in(self.index)
                self.answers += 1
            except PartUnavailable as error:
                self.refusals.append(str(error))


@dataclass
class Nodes:
    """The cluster, and an index through each node, replicated as the product does by default."""

    nodes: list[LocalQdrant]
    indexes: list[QdrantVectorIndex]


@dataclass
class Settled:
    """Looks for active replicas; one look may be too early for the next kill."""

    nodes: Sequence[LocalQdrant]
    times: int = 0

    def look(self) -> bool:
        """Whether all have been active for several looks in a row."""
        self.times = self.times + 1 if all(one.knows_all_active() for one in self.nodes) else 0
        return self.times >= IN_A_ROW


@pytest.fixture(params=[2, 3])
def three(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nodes]:
    """Three nodes; each of three shards lies on two of them, or on all."""
    with ExitStack() as opened:
        nodes = cluster(tmp_path)
        for node in nodes:
            opened.callback(node.kill)
        indexes = []
        for node in nodes:
            settings = IndexSettings(
                url=node.url, grpc_port=None, shards=3, replicas=request.param, timeout_s=10
            )
            indexes.append(_opened(settings))
            opened.callback(indexes[-1].close)
        yield Nodes(nodes, indexes)


def _opened(settings: IndexSettings) -> QdrantVectorIndex:
    """Another node may not know yet of a collection that was made through one."""

    def attempt() -> QdrantVectorIndex | None:
        try:
            return QdrantVectorIndex.open(settings, SPEC)
        except PartUnavailable:
            return None

    index = eventually(attempt, timeout_s=READY_S, reason="an index on this node")
    assert index is not None
    return index


def test_a_node_that_comes_back_shows_nothing_that_vanished_meanwhile(three: Nodes) -> None:
    """Each node once: killed in the middle of writes, which go on; searched as soon as it answers.

    The next one is killed when every replica is active again: a node that calls itself ready may
    have one that is dead, and no shard can be written whose only active replica is lost.

    Nobody may see an image that turned private or was deleted, nor a version older than what was
    acknowledged; and whoever asks a node that was not killed is answered throughout.
    """
    truth = Acknowledged()
    started = [image(f"i{number}") for number in range(IMAGES)]
    three.indexes[0].apply(started)
    truth.add(started)
    for turn, victim in enumerate(three.nodes):
        survivors = [one for at, one in enumerate(three.indexes) if at != turn]
        looking = [Looking(index, truth) for index in three.indexes]
        with _all_the_time(looking):
            _write(survivors, truth, turn, meanwhile=victim.kill)
            victim.start()
            eventually(victim.is_ready, timeout_s=READY_S, reason="a node that has caught up")
            before = [one.answers for one in looking]
            eventually(
                lambda: all(one.answers > n for one, n in zip(looking, before, strict=True)),  # noqa: B023
                timeout_s=READY_S,
                reason="an answer of each node",
            )
            eventually(
                Settled(three.nodes).look,
                timeout_s=READY_S,
                interval_s=LOOK_S,
                reason="a second copy of each shard",
            )
        for at, one in enumerate(looking):
            assert one.wrong == [], f"through node {at}, where node {turn} was killed"
            assert at == turn or one.refusals == []
    for index in three.indexes:
        listed = {hit.image.image_id for hit in index.search(query(limit=IMAGES))}
        assert listed == truth.versions.keys() - truth.hidden


def _all_the_time(looking: Sequence[Looking]) -> ExitStack:
    """People who search for the length of a block."""
    stop, ending = threading.Event(), ExitStack()
    for one in looking:
        thread = threading.Thread(target=one.run, args=[stop])
        thread.start()
        ending.callback(thread.join)
    ending.callback(stop.set)
    return ending


def _write(
    through: Sequence[QdrantVectorIndex],
    truth: Acknowledged,
    turn: int,
    *,
    meanwhile: Callable[[], None],
) -> None:
    """A third of what is left vanishes or changes; in the middle of it something happens."""
    left = sorted(truth.versions.keys() - truth.hidden)[: IMAGES // 4]
    kinds = cycle([Kind.PRIVATE, Kind.DELETED, Kind.CHANGED])
    news = [image(name, turn + 2, kind) for name, kind in zip(left, kinds, strict=False)]
    writers = cycle(through)
    for at in range(0, len(news), ONES):
        if at >= len(news) // 2 > at - ONES:
            meanwhile()
        batch = news[at : at + ONES]
        eventually(
            lambda: _applied(next(writers), batch),  # noqa: B023
            timeout_s=WRITTEN_S,
            reason="a write that is acknowledged",
        )
        truth.add(batch)


def _applied(index: QdrantVectorIndex, batch: Sequence[IndexedImage]) -> bool:
    try:
        index.apply(batch)
    except PartUnavailable:
        return False
    return True
