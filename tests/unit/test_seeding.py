"""Seeding a generation from another: one end whatever happens meanwhile, nothing hidden shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.pacing import Pace
from sightline.engine.records import ImageStage, IndexedDecision, IndexedImage
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.schemas.fields import Moderation
from sightline.stream_workers.reindexing.seed import Projected, Seeded, Seeding
from tests.indexed_images import SPEC, Kind, decision, image, same_image, unit_vector

Written = IndexedImage | IndexedDecision
NEW = replace(SPEC, name="second", model_digest="model-2")
IDS = ("a", "b", "c", "d", "e")


def new_vector(known: IndexedImage) -> NDArray[np.float32]:
    """What the second model makes of an image's bytes."""
    return unit_vector(crc32(f"new {known.image_id} {known.version}".encode()))


def projected(known: IndexedImage) -> Projected:
    """What is made of an image's features; neither generation keeps any itself."""
    return Projected(new_vector(known), None)


def as_new(known: IndexedImage) -> IndexedImage:
    """An image as the worker of the second generation writes it."""
    return known if known.vector is None else replace(known, vector=new_vector(known))


def write(index: MemoryVectorIndex, written: Written) -> None:
    """What a worker does with an event."""
    if isinstance(written, IndexedDecision):
        index.moderate([written])
    else:
        index.apply([as_new(written) if index.spec == NEW else written])


class Generations:
    """An old generation and a new one, and a seeding between them."""

    def __init__(self, base: Sequence[Written] = (), *, batch: int = 2) -> None:
        self.old, self.new = MemoryVectorIndex(SPEC), MemoryVectorIndex(NEW)
        self.clock = ManualClock()
        self.published: list[str] = []
        self.bare: set[str] = set()
        """Images of which no features are kept."""
        self._batch = batch
        for written in base:
            write(self.old, written)

    def seeding(self) -> Iterator[Seeded]:
        """The steps of a seeding that begins now."""
        return Seeding(
            self.old,
            self.new,
            images=self.old.scan,
            reproject=self._reproject,
            publish=lambda known: self.published.append(known.image_id),
            pace=Pace(None, clock=self.clock, stop=threading.Event()),
            clock=self.clock,
            batch=self._batch,
        ).steps()

    def _reproject(self, images: Sequence[IndexedImage]) -> list[Projected | None]:
        return [None if one.image_id in self.bare else projected(one) for one in images]

    def assert_equal(self) -> None:
        """The two hold the same, but for the vectors and when each was written."""
        held = [{i.image_id: i for i in index.scan(vectors=True)} for index in (self.old, self.new)]
        assert held[0].keys() == held[1].keys()
        for image_id, known in held[0].items():
            expected = replace(as_new(known), applied=held[1][image_id].applied)
            assert same_image(held[1][image_id], expected)
            assert held[1][image_id].listed == known.listed
        decided = [{d.image_id: d for d in i.scan_decisions()} for i in (self.old, self.new)]
        assert decided[0] == decided[1]


EVERY_KIND: list[Written] = [
    *(image(f"{kind}-1", 3, kind, tags=("red",)) for kind in Kind),
    replace(image("look-alike", 1), cluster="c" * 64),
    image("unfinished", 2, stage=ImageStage.PROVISIONAL),
    image("hidden-by-us", 1),
    decision("hidden-by-us", 4),
    decision("never-seen", 1),
    image("allowed-again", 1),
    decision("allowed-again", 2, Moderation.ALLOWED),
]


def test_everything_is_copied_under_its_fence() -> None:
    """Tombstones, hidden and rejected images, clusters and decisions: only vectors are new."""
    here = Generations(EVERY_KIND)
    *_, last = here.seeding()
    here.assert_equal()
    assert last.written == last.looked_at == here.old.count()
    assert (last.there, last.without_features, last.decisions) == (0, 0, 3)
    assert here.new.get(["look-alike"])["look-alike"].cluster == "c" * 64
    assert not here.published


def test_a_repeat_writes_nothing() -> None:
    """What is there already is passed over, so a run after a kill only reads."""
    here = Generations(EVERY_KIND)
    list(here.seeding())
    *_, last = here.seeding()
    assert (last.written, last.there) == (0, here.old.count())
    here.assert_equal()


def test_images_without_features_are_left_to_the_worker() -> None:
    """They are published again and not written: no image gets a vector that is not its own."""
    here = Generations([image("a"), image("b"), image("gone", 2, Kind.DELETED)])
    here.bare = {"a", "gone"}
    *_, last = here.seeding()
    assert here.published == ["a"]
    assert (last.written, last.without_features) == (2, 1)
    assert here.new.get(["a", "b", "gone"]).keys() == {"b", "gone"}


def test_what_the_worker_wrote_meanwhile_stays() -> None:
    """A higher version wins over the seed, a lower one loses to it."""
    here = Generations([image("a", 2), image("b", 2), image("c", 2)])
    write(here.new, image("a", 3, Kind.PRIVATE))
    write(here.new, image("b", 1))
    write(here.new, image("c", 4, Kind.DELETED))
    list(here.seeding())
    versions = {i.image_id: (i.version, i.outcome.value) for i in here.new.scan()}
    assert versions == {"a": (3, "hidden"), "b": (2, "indexed"), "c": (4, "deleted")}


def test_what_the_operator_hides_is_never_shown() -> None:
    """Decisions are copied before any image, and one that comes meanwhile with its image."""
    here = Generations([image("a"), image("b"), decision("a"), decision("elsewhere")], batch=1)
    run = here.seeding()
    assert [next(run).decisions, next(run).decisions] == [1, 2]
    assert here.new.count() == 0
    here.old.moderate([decision("b")])
    for _ in run:
        assert listed_in(here.new) == set()
    assert here.new.count() == 2


def test_seeding_keeps_to_its_rate() -> None:
    """Ten images a second: the third batch of ten begins two seconds after the first.

    A repeat, which finds them there, reads no faster.
    """
    here, waits = Generations([image(f"i{n:02}") for n in range(30)], batch=10), list[float]()

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            here.clock.advance(timeout or 0.0)
            return False

    paced = Seeding(
        here.old,
        here.new,
        images=here.old.scan,
        reproject=lambda images: [projected(one) for one in images],
        publish=lambda _: None,
        pace=Pace(10.0, clock=here.clock, stop=Stop()),
        clock=here.clock,
        batch=10,
    )
    list(paced.steps())
    assert waits == pytest.approx([0.0, 1.0, 1.0])
    list(paced.steps())
    assert waits[3:] == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize("killed_at", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_killed_anywhere_it_comes_to_the_same_end(killed_at: int) -> None:
    """What was not flushed is lost with the kill, and written by the next run."""
    here = Generations(EVERY_KIND)
    for number, _ in enumerate(here.seeding()):
        if number == killed_at:
            break
        if number == killed_at // 2:
            here.new.flush()
    here.new.crash()
    list(here.seeding())
    here.assert_equal()


def test_an_index_that_does_not_answer_ends_the_run_and_not_the_seeding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next run goes on from what was written."""
    here = Generations([image(name) for name in IDS])
    apply, calls = here.new.apply, []

    def sometimes(images: Sequence[IndexedImage]) -> None:
        calls.append(len(images))
        if len(calls) == 2:
            raise PartUnavailable(Part.INDEX, "away")
        apply(images)

    monkeypatch.setattr(here.new, "apply", sometimes)
    with pytest.raises(PartUnavailable):
        list(here.seeding())
    *_, last = here.seeding()
    assert (last.there, last.written) == (2, 3)
    here.assert_equal()


writings: st.SearchStrategy[Written] = st.one_of(
    st.builds(image, st.sampled_from(IDS), st.integers(1, 4), st.sampled_from(Kind)),
    st.builds(decision, st.sampled_from(IDS), st.integers(1, 3), st.sampled_from(Moderation)),
)
steps = st.sampled_from(["publish", "old", "new", "seed", "seed", "kill", "power cut"])


def after(history: Sequence[Written], image_id: str) -> IndexedImage | None:
    """An image, with the decision about it, once all of these are applied."""
    index = MemoryVectorIndex(SPEC)
    for written in history:
        write(index, written)
    return index.get([image_id], vectors=True).get(image_id)


def listed_in(index: MemoryVectorIndex) -> set[str]:
    """Every image that a search may return."""
    return {image.image_id for image in index.scan(vectors=True) if image.listed}


class Deployment:
    """Two generations whose workers read one log, each as far as it came; and a seeding."""

    def __init__(self, base: Sequence[Written]) -> None:
        self.here = Generations(base, batch=1)
        self.log = list(base)
        self.read = {"old": len(base), "new": len(base)}
        self.durable = len(base)
        """Up to where the new generation's worker has committed."""
        self.seeded = False
        """Whether a seeding came to its end since the new generation last lost anything."""
        self._begin()

    def _begin(self) -> None:
        self.run = self.here.seeding()
        self.was_listed = listed_in(self.here.old)
        """Images that the old generation listed at a moment of this run."""

    def step(self, name: str, feed: Iterator[Written]) -> None:
        """Let one thing happen; when nothing is left of it, nothing does."""
        match name:
            case "publish":
                self.log += [written for written in [next(feed, None)] if written is not None]
            case "old" | "new":
                self.apply(name)
            case "seed":
                self.seed()
            case "kill":
                self._begin()
            case "power cut":
                self.here.new.crash()
                self.read["new"], self.seeded = self.durable, False
                self._begin()
        self.was_listed |= listed_in(self.here.old)
        if self.seeded:
            self.assert_nothing_hidden_is_listed()

    def seed(self) -> None:
        """Take one step of the seeding; it lists nothing that the old generation did not list."""
        before = listed_in(self.here.new)
        self.seeded |= next(self.run, None) is None
        assert listed_in(self.here.new) <= before | self.was_listed

    def apply(self, side: str) -> None:
        """Let a worker write its next event; the new one's commits after a flush."""
        if self.read[side] < len(self.log):
            index = self.here.old if side == "old" else self.here.new
            write(index, self.log[self.read[side]])
            self.read[side] += 1
            if side == "new" and self.read[side] % 2:
                index.flush()
                self.durable = self.read[side]

    def assert_nothing_hidden_is_listed(self) -> None:
        """The new one lists only what owner and operator each let be seen at a place of the log.

        One that either worker has read, and the new one's own has not left behind. The two are
        topics of their own, whose order among each other nobody promises.
        """
        ends = range(self.read["new"], max(self.read.values()) + 1)
        for image_id in listed_in(self.here.new):
            been = [after(self.log[:end], image_id) for end in ends]
            assert any(image is not None and image.listed_by_owner for image in been)
            assert any(image is None or not image.blocked for image in been)


@settings(max_examples=60, deadline=None)
@given(st.lists(writings, max_size=5), st.lists(writings, max_size=6), st.lists(steps, max_size=40))
def test_any_interleaving_ends_equal_and_shows_nothing_hidden(
    base: list[Written], later: list[Written], names: list[str]
) -> None:
    """Uploads, changes, deletes, decisions, kills and power cuts while an index is seeded."""
    made, feed = Deployment(base), iter(later)
    for name in names:
        made.step(name, feed)
    made.log += feed
    for side in ("old", "new"):
        while made.read[side] < len(made.log):
            made.step(side, feed)
    while not made.seeded:
        made.step("seed", feed)
    made.here.assert_equal()
