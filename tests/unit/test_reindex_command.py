"""Asking for a re-index: what is stored, in which order, and what a repeat does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Conflict, SettingsInvalid
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records import TopicPartition
from sightline.engine.records.framing import Framing
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration
from sightline.engine.settings import Settings
from sightline.engine.vector_index.memory.generations import MemoryGenerations
from sightline.infra.commands import reindex
from sightline.infra.commands.reindex import ReindexCommands, Wish
from sightline.schemas.topics import IMAGES
from sightline.stream_workers.image_log.groups import generation_groups
from sightline.stream_workers.reindexing.parity import Reason
from sightline.stream_workers.reindexing.progress import ProgressRecord
from tests.indexed_images import NOON, SPEC
from tests.unit.test_reindexing import parity

BUCKET = "sightline"
MODEL = f"shop@{'a' * 64}"
FIRST = KnownGeneration(
    name="g-1", model_digest="one", group="worker", stage=GenerationStage.READY, made_at=NOON
)


class Place:
    """A deployment in memory whose serving generation has read five images."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.store = MemoryObjectStore(BUCKET)
        self.record = ServingRecord.of(self.settings, self.store)
        self.record.begin(ServingState.first(FIRST, NOON))
        self.broker = MemoryBroker(partitions=1)
        at = TopicPartition(IMAGES.name, 0)
        self.broker.partition(at).skip(5)
        self.broker.group(generation_groups("worker")[IMAGES.name]).committed = {at: 5}
        self.clock = ManualClock(NOON)
        self.generations = MemoryGenerations()
        self.generations.create(replace(SPEC, name="g-1", features_digest="network"))
        self.commands = ReindexCommands(
            self.settings, self.store, log=MemoryEventLog(self.broker), clock=self.clock
        )

    def change(self, step: Callable[[ServingState], ServingState]) -> None:
        """Make a step of the record."""
        self.record.change(step)

    @property
    def new(self) -> KnownGeneration:
        """The generation that was asked for."""
        [_, new] = self.record.read().state.generations
        return new

    def begins(self) -> int:
        """Where the new generation's live group begins to read."""
        group = generation_groups(self.new.group)[IMAGES.name]
        return MemoryEventLog(self.broker).start_offsets(group, IMAGES.name, [0])[0]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    """A deployment, and a model whose network the serving generation keeps features of."""
    made = Place()
    embedder = SimpleNamespace(
        digest="sha256:" + "2" * 64,
        features_digest="network",
        feature_count=8,
        dimensions=8,
        framing=Framing(32),
    )
    models = SimpleNamespace(embedder=lambda _: embedder)
    monkeypatch.setattr(reindex, "OpenModels", lambda _: models)
    monkeypatch.setattr(reindex, "index_generations", lambda _: made.generations)
    made.commands = ReindexCommands(
        made.settings, made.store, log=MemoryEventLog(made.broker), clock=made.clock
    )
    return made


def test_by_features_its_groups_begin_where_the_serving_ones_are(place: Place) -> None:
    """Features are chosen where they serve; what was read is in the index that is copied."""
    asked = place.commands.ask(Wish(model=MODEL, rate_per_s=5.0))
    assert (asked.by, asked.seeded_from, asked.rate_per_s) == ("features", "g-1", 5.0)
    assert (place.new.stage, place.new.by, place.new.model) == ("filling", "features", MODEL)
    assert place.new.group == f"{place.settings.worker.group}-{place.new.name}"
    assert place.begins() == 5


@pytest.mark.parametrize("digest", [None, "another network"])
def test_by_bytes_its_groups_begin_at_the_beginning(place: Place, digest: str | None) -> None:
    """Pictures are read where no features serve; asked for by features, it is refused."""
    place.generations = MemoryGenerations()
    place.generations.create(replace(SPEC, name="g-1", features_digest=digest))
    with pytest.raises(SettingsInvalid, match="--by bytes"):
        place.commands.ask(Wish(model=MODEL, by="features"))
    assert place.commands.ask(Wish(model=MODEL)).by == "bytes"
    assert place.begins() == 0


def test_a_repeat_says_how_far_it_is(place: Place) -> None:
    """Nothing is begun again, and no offset moved under a group that has members."""
    first = place.commands.ask(Wish(model=MODEL))
    place.clock.advance(60)
    assert place.commands.ask(Wish(model=MODEL, by="bytes")) == first
    assert place.begins() == 5


def test_a_repeat_at_another_rate_goes_on_at_that(place: Place) -> None:
    """Nothing else of what was asked for changes; without a rate it goes on as it does."""
    first = place.commands.ask(Wish(model=MODEL, rate_per_s=5.0))
    faster = place.commands.ask(Wish(model=MODEL, rate_per_s=50.0))
    assert faster == first.model_copy(update={"rate_per_s": 50.0})
    assert place.commands.ask(Wish(model=MODEL)) == faster


def test_what_was_refused_is_asked_for_anew(place: Place) -> None:
    """By what it was filled from first; its groups go on where they are."""
    first = place.commands.ask(Wish(model=MODEL))
    bad = parity(passed=False)
    assert Reason.MISSING in bad.compared.differing
    record = ProgressRecord.of(place.settings, place.store, first.generation)
    record.note(lambda p: p.model_copy(update={"parity": bad}))
    place.clock.advance(60)
    again = place.commands.ask(Wish(model=MODEL, by="bytes"))
    assert (again.by, again.parity) == ("features", None)
    assert again.asked_at > first.asked_at


def test_who_agrees_later_to_go_without_images_is_heard(place: Place) -> None:
    """The same command again, with one option more, asks anew."""
    assert not place.commands.ask(Wish(model=MODEL)).without_missing
    place.clock.advance(60)
    agreed = place.commands.ask(Wish(model=MODEL, without_missing=True))
    assert agreed.without_missing
    place.clock.advance(60)
    assert place.commands.ask(Wish(model=MODEL)) == agreed


def test_another_source_is_taken_where_the_first_was_dropped(place: Place) -> None:
    """Else it would wait for a generation that never comes back."""
    first = place.commands.ask(Wish(model=MODEL))
    record = ProgressRecord.of(place.settings, place.store, first.generation)
    record.note(lambda p: p.model_copy(update={"seeded_from": "g-0"}))
    place.clock.advance(60)
    assert place.commands.ask(Wish(model=MODEL)).seeded_from == "g-1"


def test_what_may_serve_is_not_filled_again(place: Place) -> None:
    """The message says how it comes into service."""
    name = place.commands.ask(Wish(model=MODEL)).generation
    place.change(lambda state: state.made_ready(name, NOON, "proven"))
    with pytest.raises(Conflict, match=f"sightline switch {name}"):
        place.commands.ask(Wish(model=MODEL))
