"""A search keeps the pair that it took; what replaced it waits for nobody, and nothing leaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import NotFound, PartUnavailable
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.current_index import CurrentIndex, IndexOfPair
from sightline.engine.serving.following import PairFollower
from sightline.engine.serving.open_indexes import OpenIndexes
from sightline.engine.serving.pair import ServingPair
from sightline.engine.serving.pairs import OpenedPair, ServingPairs
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Experiment, Serves
from sightline.engine.serving.variants import Arm, arm_of
from sightline.engine.serving.watch import RecordWatch
from sightline.engine.vector_index.memory.generations import MemoryGenerations
from sightline.engine.vector_index.visible import ANYBODY
from sightline.search_api.http.request_fields import ImageSearch, NearDuplicates
from sightline.search_api.search.rankings import rankings_of
from sightline.search_api.search.stopwatch import Stopwatch
from tests.indexed_images import NOON, SPEC, Kind, image, unit_vector
from tests.unit.test_serving_record import experiment, known, with_ready
from tests.worker_parts import TinyEmbedder

BUCKET = "sightline"
G1, G2 = Serves(generation="g-1"), Serves(generation="g-2")


class Place:
    """A record and two generations in memory, and what follows the one to the others."""

    def __init__(self, state: ServingState) -> None:
        self.generations = MemoryGenerations()
        for name in ("g-1", "g-2"):
            self.generations.create(replace(SPEC, name=name))
        self.store = MemoryObjectStore(BUCKET)
        self.record = ServingRecord(self.store, BUCKET, "sightline")
        self.record.begin(state)
        self.indexes = OpenIndexes(self.generations)
        self.metrics, self.clock = Metrics(), ManualClock(NOON)
        self.pairs = ServingPairs(self.opened(state, state.serves))
        self.follower = PairFollower(
            RecordWatch(self.record, every_s=60.0, clock=self.clock),
            self.opened,
            self.pairs,
            opened_for=self.record.read(),
            look_every_s=0.01,
            clock=self.clock,
            metrics=self.metrics,
        )

    def opened(self, state: ServingState, serves: Serves) -> OpenedPair:
        """A pair whose index counts its users."""
        del state
        index = self.indexes.take(serves.generation)
        pair = ServingPair(embedder=TinyEmbedder(), index=index, spec=index.spec)
        return OpenedPair(pair, lambda: self.indexes.give(serves.generation))

    def step(self, **changes: Any) -> None:
        """Switch, or start an experiment, and look once."""
        if "to" in changes:
            self.record.change(lambda state: state.switched(changes["to"], NOON, "on"))
        else:
            self.record.change(lambda state: state.experiment_started(experiment(), NOON, "a/b"))
        self.follower.look()


def test_a_search_keeps_its_pair_and_the_next_one_gets_another() -> None:
    """The old index closes when its last search has ended, not before, and not never."""
    place = Place(with_ready())
    with place.pairs.taken("anna") as before:
        place.step(to=G2)
        with place.pairs.taken("anna") as after:
            assert (before.spec.name, after.spec.name) == ("g-1", "g-2")
        assert (before.number, after.number) == (1, 2)
        assert before.index.count() == 0  # still open
        assert place.indexes.names() == ["g-1", "g-2"]
    assert IndexOfPair(place.pairs, before).count() == 0, "for who looks once more"
    place.follower.look()
    assert place.indexes.names() == ["g-2"]
    with pytest.raises(PartUnavailable, match="was replaced"):
        IndexOfPair(place.pairs, before).count()
    with pytest.raises(PartUnavailable):
        before.index.count()
    assert place.metrics.registry.get_sample_value("sightline_serving_number") == 2


def test_ten_switches_leave_one_index_open() -> None:
    """Whatever was opened for a switch is closed after the next one."""
    place = Place(with_ready())
    for turn in range(10):
        place.step(to=(G2, G1)[turn % 2])
        assert CurrentIndex(place.pairs).spec.name == ("g-2", "g-1")[turn % 2]
    assert place.indexes.names() == ["g-1"]
    place.pairs.close()
    place.pairs.close()
    assert place.indexes.names() == []


def test_what_cannot_be_opened_leaves_what_serves(caplog: pytest.LogCaptureFixture) -> None:
    """It is told once, tried again later, and as soon as the record changes."""
    place = Place(with_ready())
    place.generations.remove("g-2")
    place.step(to=G2)
    place.follower.look()
    assert place.pairs.now().spec.name == "g-1"
    assert caplog.text.count("go on with what was") == 1
    place.generations.create(replace(SPEC, name="g-2"))
    place.follower.look()
    assert place.pairs.now().spec.name == "g-1", "not before its time"
    place.clock.advance(3)
    place.follower.look()
    assert place.pairs.now().spec.name == "g-2"


def test_a_store_that_is_away_changes_nothing() -> None:
    """What serves is held in memory; when the store is back, the process follows again."""
    place = Place(with_ready())
    place.record.change(lambda state: state.switched(G2, NOON, "on"))
    place.store.down = True
    place.follower.look()
    assert place.pairs.now().spec.name == "g-1"
    place.store.down = False
    place.follower.look()
    assert place.pairs.now().spec.name == "g-2"


def test_a_change_of_what_does_not_serve_opens_nothing() -> None:
    """A generation that is being made is no reason to exchange anything."""
    place = Place(with_ready())
    before = place.pairs.now()
    place.record.change(lambda state: state.with_generation(known("g-3"), NOON, "made"))
    place.follower.look()
    assert place.pairs.now() is before


def test_an_experiment_serves_two_and_each_actor_one() -> None:
    """Who is in which arm depends on nothing but the actor; nobody in particular is in none."""
    place = Place(with_ready())
    place.step()
    arms: dict[str, set[tuple[str, str]]] = {}
    for actor in map(str, range(200)):
        for _ in range(2):
            with place.pairs.taken(actor) as pair:
                arms.setdefault(actor, set()).add((pair.spec.name, pair.variant))
    assert all(len(found) == 1 for found in arms.values())
    treated = [actor for actor, found in arms.items() if ("g-2", "clicks-2.treatment") in found]
    assert 70 < len(treated) < 130
    assert arms[treated[0]] != {("g-1", "clicks-2.control")}
    with place.pairs.taken() as pair:
        assert (pair.spec.name, pair.variant) == ("g-1", "default")
    place.record.change(lambda state: state.experiment_stopped(NOON, "enough"))
    place.follower.look()
    assert place.indexes.names() == ["g-1"]
    with place.pairs.taken(treated[0]) as pair:
        assert (pair.spec.name, pair.variant) == ("g-1", "default")


def test_a_process_that_begins_during_an_experiment_has_its_part_in_it() -> None:
    """Else all of its actors would be answered by what serves, and none be counted."""
    place = Place(with_ready().experiment_started(experiment(), NOON, "a/b"))
    place.follower.look()
    found = set()
    for actor in map(str, range(40)):
        with place.pairs.taken(actor) as pair:
            found.add((pair.spec.name, pair.variant))
    assert found == {("g-1", "clicks-2.control"), ("g-2", "clicks-2.treatment")}
    before = place.pairs.now()
    place.follower.look()
    assert place.pairs.now() is before, "once"


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 1_000)])
def test_nobody_and_everybody(share: float, expected: int) -> None:
    """The bounds of a share are exact."""
    found: Experiment = experiment(share=share)
    arms = [arm_of(found, str(actor)) for actor in range(1_000)]
    assert arms.count(Arm.TREATMENT) == expected


def test_an_interleaved_search_holds_both_and_knows_which_is_which() -> None:
    """Both stay open to its end, whatever is exchanged meanwhile."""
    place = Place(with_ready())
    mixed = experiment(share=1.0, interleave=True)
    place.record.change(lambda state: state.experiment_started(mixed, NOON, "a/b"))
    place.follower.look()
    with place.pairs.taken("anna") as pair:
        assert pair.beside is not None
        assert (pair.spec.name, pair.beside.spec.name) == ("g-1", "g-2")
        assert pair.variant == "clicks-2.interleaved"
        place.record.change(lambda state: state.experiment_stopped(NOON, "enough"))
        place.follower.look()
        assert place.indexes.names() == ["g-1", "g-2"]
        with place.pairs.taken("anna") as after:
            assert (after.beside, after.variant) == (None, "default")
    place.pairs.sweep()
    assert place.indexes.names() == ["g-1"]


@pytest.mark.parametrize("interleave", [False, True])
def test_what_the_control_hides_no_arm_shows(*, interleave: bool) -> None:
    """A status says what the control holds; the treatment's worker may be behind."""
    place = Place(with_ready())
    for name in ("g-1", "g-2"):
        with place.indexes.held(name) as index:
            index.apply([image("hidden"), image("shown")])
    started = experiment(share=1.0, interleave=interleave)
    place.record.change(lambda state: state.experiment_started(started, NOON, "a/b"))
    place.follower.look()
    with place.pairs.taken("anna") as pair:
        CurrentIndex(place.pairs).apply([image("hidden", version=2, kind=Kind.PRIVATE)])
        asked = [unit_vector(1)] * len(pair.all)
        found = rankings_of(
            ImageSearch(image_id="query", near_duplicates=NearDuplicates.KEEP),
            pair,
            asked,
            anchor=None,
            bits=0,
            watch=Stopwatch(),
        )
        for arm in pair.all:
            with pytest.raises(NotFound):
                arm.visible.get("hidden", ANYBODY)
        page = found.page(24, "search")
    assert [hit.image.image_id for hit in page.hits] == ["shown"]
