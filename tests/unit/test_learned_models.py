"""How a model was learned, as the registry has it: read once, and whatever is missing left out."""

from __future__ import annotations

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.embedding.model_registry import ModelReference, ModelRegistry, model_key
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.search_api.learning.learned_models import AGAIN_S, Learned, LearnedModels
from tests.released_models import NAME, released

BUCKET = "sightline"


class Shelf:
    """A registry with a first model and one that was released against it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryObjectStore(BUCKET)
        self.first = released(self.store, BUCKET, {"mAP": 0.5})
        self.second = released(self.store, BUCKET, {"mAP": 0.6, "broken": "no"}, against=self.first)
        self.models = LearnedModels(ModelRegistry(self.store, BUCKET), self.clock)

    def of(self, digest: str) -> Learned:
        """How the model of a digest was learned."""
        return self.models.of(ModelReference(NAME, digest))

    def lose(self, file: str) -> bytes:
        """Take a file of the second model away; what was in it."""
        key = model_key(NAME, self.second, file)
        data = self.store.get(BUCKET, key)
        self.store.delete(BUCKET, key)
        return data


@pytest.fixture
def shelf() -> Shelf:
    """Two models in memory."""
    return Shelf()


def test_everything_that_the_registry_has_is_told(shelf: Shelf) -> None:
    """Release, gate, what was counted, and the figures beside those of the model before."""
    learned = shelf.of(shelf.second)
    assert learned.release is not None
    assert (learned.release.number, learned.release.gate[0].says) == (2, "+.1")
    assert learned.counts == {"triples": 90, "pairs": 40}
    assert learned.strength == pytest.approx(0.35)
    assert (learned.metrics, learned.before) == ({"mAP": 0.6}, {"mAP": 0.5})
    assert shelf.of(shelf.first).before == {}


def test_what_is_known_is_not_read_again(shelf: Shelf) -> None:
    """A registered model does not change."""
    learned = shelf.of(shelf.second)
    shelf.store.reads = 0
    shelf.clock.advance(10 * AGAIN_S)
    assert shelf.of(shelf.second) is learned
    assert shelf.store.reads == 0


@pytest.mark.parametrize("file", ["metrics.json", "lineage.json"])
def test_a_missing_file_costs_its_own_figures_until_it_is_back(shelf: Shelf, file: str) -> None:
    """It is looked for again after a while, and not at every question."""
    data = shelf.lose(file)
    learned = shelf.of(shelf.second)
    assert learned.release is not None
    assert bool(learned.metrics) == (file != "metrics.json")
    assert bool(learned.counts) == (file != "lineage.json")
    shelf.store.put(BUCKET, model_key(NAME, shelf.second, file), data)
    assert shelf.of(shelf.second) is learned
    shelf.clock.advance(AGAIN_S)
    assert shelf.of(shelf.second).metrics
    assert shelf.of(shelf.second).counts


def test_a_store_that_is_down_is_no_error(shelf: Shelf) -> None:
    """Nor is a model that nobody registered."""
    shelf.store.down = True
    assert shelf.of(shelf.second) == Learned()
    shelf.store.down = False
    assert shelf.of("0" * 64) == Learned()


def test_names_of_figures_that_no_answer_can_hold_are_left_out() -> None:
    """Half a character, or one that a terminal would obey."""
    store = MemoryObjectStore(BUCKET)
    odd = released(store, BUCKET, {"mAP": 0.6, "\ud800": 0.5, "a\x1b": 0.4})
    models = LearnedModels(ModelRegistry(store, BUCKET), ManualClock())
    assert models.of(ModelReference(NAME, odd)).metrics == {"mAP": 0.6}
