"""What a start makes of the record: the first one writes it, later ones do what it says."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sightline.engine.connecting import open_models
from sightline.engine.embedding import choice
from sightline.engine.errors import GenerationMismatch
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration, Serves
from sightline.engine.settings import EmbedderSettings, IndexSettings, Settings
from sightline.engine.vector_index.edge.index import EdgeGenerations
from sightline.infra.wiring.publishing import watch
from sightline.infra.wiring.serving import serving_of
from tests.indexed_images import NOON
from tests.unit.test_wiring import NoModel

STORE = "sightline"
CLICKS = f"clicks@{'a' * 64}"


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A model is its name, and nothing is loaded; the names that would have been, in order."""
    names: list[str] = []

    def opened(settings: EmbedderSettings, **_: Any) -> NoModel:
        names.append(settings.model)
        model = NoModel()
        model.digest = f"sha256:{settings.model[-8:].encode().hex()}"
        return model

    def found(settings: Settings) -> EmbedderSettings:
        return settings.embedder

    monkeypatch.setattr(open_models, "open_embedder", opened)
    monkeypatch.setattr(open_models, "embedder_settings", found)
    return names


class Deployment:
    """A bucket that stays, and starts of processes with one setting or another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = MemoryObjectStore(STORE)

    def settings(self, model: str = "resnet18", index: str = "index") -> Settings:
        """An embedded index in a directory of the test's own."""
        return Settings(
            data_directory=self.folder,
            embedder=EmbedderSettings(model=model),
            index=IndexSettings(directory=self.folder / index),
        )

    def start(self, **chosen: str) -> tuple[ServingState, str, str | None]:
        """What the record says after a start, and which generation and model it serves."""
        settings = self.settings(**chosen)
        with ExitStack() as opened:
            serving = serving_of(settings, self.store, watch(None), lambda: "a log", opened)
            pair = serving.pairs.now()
        return ServingRecord.of(settings, self.store).read().state, pair.spec.name, pair.model

    def add(self, name: str, model: str, digest: str, *, serves: bool) -> None:
        """Another generation, ready to serve."""
        settings = self.settings()
        record = ServingRecord.of(settings, self.store)
        state = record.read().state
        generations = EdgeGenerations(settings.index_directory, settings.index)
        spec = generations.spec(state.serving.name)
        assert spec is not None
        generations.create(replace(spec, name=name, model_digest=digest))
        new = KnownGeneration(
            name=name,
            model=model,
            model_digest=digest,
            group=f"index-{name}",
            stage=GenerationStage.FILLING,
            made_at=NOON,
        )
        record.change(
            lambda s: s.with_generation(new, NOON, "made").made_ready(name, NOON, "proven")
        )
        if serves:
            record.change(lambda s: s.switched(Serves(generation=name), NOON, "on"))


def test_the_first_start_records_what_the_index_serves(tmp_path: Path) -> None:
    """An index of an earlier release has no record: its generation keeps its groups."""
    place = Deployment(tmp_path)
    state, name, model = place.start()
    assert (state.number, model) == (1, None)
    assert [one.name for one in state.generations] == [name]
    assert state.serving.group == "sightline-index"
    assert state.serving.model is None
    place.store = MemoryObjectStore(STORE)  # as if there had never been a record
    again, same, _ = place.start()
    assert (again.serving.name, again.number) == (name, 1)
    assert same == name


def test_a_start_opens_a_model_once(tmp_path: Path, loaded: list[str]) -> None:
    """It names the first generation, is compared with it and serves; later starts do the last."""
    place = Deployment(tmp_path)
    for starts in (1, 2):
        place.start()
        assert len(loaded) == starts


def test_other_settings_are_refused_for_the_generation_that_they_made(tmp_path: Path) -> None:
    """As ever; whatever else serves, while that generation exists."""
    place = Deployment(tmp_path)
    place.start()
    with pytest.raises(GenerationMismatch, match="made by another model"):
        place.start(model="resnet50")
    place.add("g-clicks", CLICKS, f"sha256:{('a' * 8).encode().hex()}", serves=True)
    assert place.start()[1:] == ("g-clicks", CLICKS)
    with pytest.raises(GenerationMismatch, match="made by another model"):
        place.start(model="resnet50")


def test_an_empty_place_begins_anew_where_nothing_else_is_known(tmp_path: Path) -> None:
    """The remedy for another model by settings alone: another directory, and back again."""
    place = Deployment(tmp_path)
    first = place.start()[1]
    state, second, _ = place.start(model="resnet50", index="other")
    assert second != first
    assert (state.number, [one.name for one in state.generations]) == (2, [second])
    assert place.start()[1] == first


def test_a_record_of_several_generations_is_no_other_index_s(tmp_path: Path) -> None:
    """A mistyped directory must not make everybody forget what serves."""
    place = Deployment(tmp_path)
    place.start()
    place.add("g-clicks", CLICKS, f"sha256:{('a' * 8).encode().hex()}", serves=True)
    before = ServingRecord.of(place.settings(), place.store).read().state
    with pytest.raises(GenerationMismatch, match="g-clicks should serve and is not there"):
        place.start(index="mistyped")
    assert ServingRecord.of(place.settings(), place.store).read().state == before


def test_a_model_that_gives_other_vectors_here_is_refused(tmp_path: Path) -> None:
    """Another precision, say: what was indexed and what is embedded must be comparable."""
    place = Deployment(tmp_path)
    place.start()
    place.add("g-clicks", CLICKS, "sha256:ab", serves=True)
    with pytest.raises(GenerationMismatch, match="g-clicks was made by model sha256:ab"):
        place.start()


def test_two_heads_over_one_network_run_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs is a projection: the network is the costly part, and is there once."""
    opened: list[str] = []

    class Network:
        name, precision, batched = "fake", "fp32", False

        def features(self, crops: Any) -> Any:
            return crops[:, 0, 0, :].astype("float32") + 1

    def open_it(source: Any, *_: Any, **__: Any) -> Network:
        opened.append(source.model)
        return Network()

    monkeypatch.setattr(choice, "open_runtime", open_it)
    monkeypatch.setattr(choice, "load_projection", lambda _: None)
    networks: dict[str, Any] = {}
    lite = EmbedderSettings()
    file = Path(choice.__file__)
    one = choice.open_embedder(lite, networks=networks)
    other = choice.open_embedder(lite.model_copy(update={"projection": file}), networks=networks)
    assert one.digest != other.digest
    assert len(opened) == len(networks) == 1
    choice.open_embedder(lite.model_copy(update={"precision": "fp32"}), networks=networks)
    assert len(opened) == 2
