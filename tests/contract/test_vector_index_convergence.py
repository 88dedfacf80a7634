"""Any order, repetition and interleaving of image events, over both lanes, ends in one state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count, islice, permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from qdrant_client import QdrantClient

from sightline.engine.ports import VectorIndex
from sightline.engine.records import (
    ImageStage,
    IndexedDecision,
    IndexedImage,
    TagFilter,
    WinnerLocation,
)
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.engine.vector_index.qdrant.index import QdrantVectorIndex
from sightline.schemas.fields import Moderation
from sightline.schemas.images import ImageDeleted
from tests.indexed_images import SPEC, Kind, decision, image, query, same_image, unit_vector

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

Event = tuple[int, int, Kind, int, ImageStage, str]
EVENTS: st.SearchStrategy[Event] = st.tuples(
    st.integers(0, 3),  # image
    st.integers(0, 3),  # version
    st.sampled_from(Kind),
    st.integers(0, 2),  # one of several events of that version and kind: the tie
    st.sampled_from(ImageStage),
    st.sampled_from(("images.v1", "images.backfill.v1")),
)
DECISIONS = st.tuples(
    st.integers(0, 3),  # image
    st.integers(0, 3),  # version
    st.sampled_from(Moderation),
)
EXAMPLES = count()


class Machine(RuleBasedStateMachine):
    """Both adapters and a dictionary, fed the same; the dictionary keeps the highest fence."""

    embedded: VectorIndex

    def __init__(self) -> None:
        super().__init__()
        self.local = local_mode()
        self.indexes = (self.embedded, self.local)
        self.example = f"x{next(EXAMPLES)}"
        self.held: dict[str, IndexedImage] = {}
        self.decided: dict[str, IndexedDecision] = {}

    def _image(self, event: Event, winner: WinnerLocation | None = None) -> IndexedImage:
        number, version, kind, which, stage, lane = event
        name = f"{self.example}-{number}"
        return image(
            name,
            version,
            kind,
            event_id=f"{name}-{version}-{kind}-{which}",
            stage=stage,
            tags=(self.example,),
            # One event lies in one lane only; what is redelivered is the same record.
            winner=winner or WinnerLocation(lane if which else "images.v1", 0, version),
        )

    def teardown(self) -> None:
        """Forget the example's own index."""
        self.local.close()

    @rule(events=st.lists(EVENTS, min_size=1, max_size=6), repeats=st.integers(1, 2))
    def apply(self, events: list[Event], repeats: int) -> None:
        """A batch, perhaps redelivered."""
        batch = [self._image(event) for event in events]
        for new in batch:
            known = self.held.get(new.image_id)
            if known is None or new.fence > known.fence:
                self.held[new.image_id] = new
        for index in self.indexes:
            for _ in range(repeats):
                index.apply(batch)

    @rule(decisions=st.lists(DECISIONS, min_size=1, max_size=4), repeats=st.integers(1, 2))
    def moderate(self, decisions: list[tuple[int, int, Moderation]], repeats: int) -> None:
        """The operator's, about known images and others, perhaps redelivered."""
        batch = [decision(f"{self.example}-{n}", version, said) for n, version, said in decisions]
        for new in batch:
            known = self.decided.get(new.image_id)
            if known is None or new.fence > known.fence:
                self.decided[new.image_id] = new
        for index in self.indexes:
            for _ in range(repeats):
                index.moderate(batch)

    @rule(event=EVENTS, offset=st.integers(0, 2**40))
    def relocate(self, event: Event, offset: int) -> None:
        """The winner was appended again; perhaps it no longer wins."""
        moved = self._image(event, WinnerLocation("images.v1", 1, offset))
        known = self.held.get(moved.image_id)
        if known is not None and known.fence == moved.fence:
            self.held[moved.image_id] = replace(known, winner=moved.winner)
        for index in self.indexes:
            index.relocate([moved])

    @rule(numbers=st.sets(st.integers(0, 3)))
    def purge(self, numbers: set[int]) -> None:
        """Tombstones whose retention is over, and a guess at what else is one."""
        names = {f"{self.example}-{number}" for number in numbers}
        self.held = {
            name: known
            for name, known in self.held.items()
            if name not in names or not isinstance(known.state, ImageDeleted)
        }
        for index in self.indexes:
            index.purge(names)

    @rule(seed=st.integers(0, 5), limit=st.integers(1, 5))
    def ask(self, seed: int, limit: int) -> None:
        """The adapters answer the same page, of listed images only."""
        own = TagFilter(all_of=(self.example,))
        asked = query(unit_vector(seed), limit=limit, tags=own)
        pages = [[hit.image.image_id for hit in index.search(asked)] for index in self.indexes]
        assert pages[0] == pages[1]

    @invariant()
    def contents_agree(self) -> None:
        """Each adapter holds what the dictionary holds, and lists what is listed."""
        names = [f"{self.example}-{number}" for number in range(4)]
        own = TagFilter(all_of=(self.example,))
        held = {
            name: replace(known, decision=self.decided.get(name))
            for name, known in self.held.items()
        }
        listed = {name for name, known in held.items() if known.listed}
        for index in self.indexes:
            stored = index.get(names, vectors=True)
            assert set(stored) == set(held)
            assert all(same_image(stored[name], held[name]) for name in stored)
            assert index.decisions(names) == self.decided
            for exact in (False, True):
                hits = index.search(query(limit=10, tags=own, exact=exact))
                assert {hit.image.image_id for hit in hits} == listed


@pytest.fixture
def embedded() -> Iterator[VectorIndex]:
    """The embedded engine, opened once for all examples."""
    with (
        TemporaryDirectory() as directory,
        closing(EdgeVectorIndex.open(Path(directory), SPEC, IndexSettings())) as opened,
    ):
        yield opened


def local_mode() -> VectorIndex:
    """The client's local mode, with nothing in it: it looks at every point for each write."""
    return QdrantVectorIndex.open(IndexSettings(), SPEC, client=QdrantClient(":memory:"))


def test_events_converge_to_the_highest_fence(embedded: VectorIndex) -> None:
    """Interleaved batches, repeats, relocations, purges and searches, on both adapters at once."""
    Machine.embedded = embedded
    run_state_machine_as_test(Machine, settings=settings(max_examples=60, stateful_step_count=20))


def test_every_order_of_one_images_events_ends_alike(embedded: VectorIndex) -> None:
    """All 720 orders of six events that meet in one image, some of one version or one event."""
    orders = permutations(range(6))
    for part in range(12):
        with closing(local_mode()) as local:
            for number, order in enumerate(islice(orders, 60)):
                _write_in_order((embedded, local), f"p{part}-{number}", order)
            assert local.count() == 60
    assert next(orders, None) is None


def _write_in_order(both: tuple[VectorIndex, ...], name: str, order: tuple[int, ...]) -> None:
    events = [
        image(name, 2),
        image(name, 2, Kind.PRIVATE),
        image(name, 3, stage=ImageStage.PROVISIONAL),
        image(name, 3),
        image(name, 3, Kind.DELETED, event_id=f"{name}-gone"),
        image(name, 1, Kind.BLOCKED),
    ]
    for index in both:
        for turn in order:
            index.apply([events[turn]])
        assert same_image(index.get([name], vectors=True)[name], events[4])
