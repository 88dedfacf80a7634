"""The graph of a node: built once, closed last first, whatever fails on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.engine.connecting import open_models
from sightline.engine.errors import SightlineError
from sightline.engine.records.framing import Framing
from sightline.engine.settings import Mode, Settings
from sightline.engine.vector_index.edge.index import EdgeGenerations
from sightline.infra.wiring import embedded
from sightline.infra.wiring.embedded import embedded_node


class NoModel:
    """An embedder that is never asked."""

    digest = "sha256:" + "0" * 64
    features_digest = "sha256:" + "1" * 64
    feature_count = 12
    dimensions = 8
    framing = Framing(32)
    runtime = "none"
    batched = True

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Embedder.features`."""
        raise AssertionError(crops.shape)

    def project(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Embedder.project`."""
        raise AssertionError(features.shape)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Embedder.embed`."""
        raise AssertionError(crops.shape)


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of adapters in the order in which they were closed."""
    names: list[str] = []
    monkeypatch.setattr(open_models, "open_embedder", lambda *_, **__: NoModel())

    def watched(opened: Callable[..., Any], name: str) -> Callable[..., Any]:
        def open_it(*args: Any, **kwargs: Any) -> Any:
            made = opened(*args, **kwargs)
            close = made.close

            def close_it() -> None:
                if name not in names:  # a producer also closes the one inside it
                    names.append(name)
                close()

            monkeypatch.setattr(made, "close", close_it)
            return made

        return open_it

    monkeypatch.setattr(EdgeGenerations, "open", watched(EdgeGenerations.open, "index"))
    for name in ("InProcessBroker", "Journal", "KafkaEventProducer", "BoundedEventProducer"):
        monkeypatch.setattr(embedded, name, watched(getattr(embedded, name), name))
    return names


def settings(folder: Path) -> Settings:
    """An embedded deployment of the test's own."""
    return Settings(mode=Mode.EMBEDDED, data_directory=folder)


ORDER = ["BoundedEventProducer", "KafkaEventProducer", "Journal", "InProcessBroker", "index"]


def test_what_was_opened_is_closed_last_first(tmp_path: Path, closed: list[str]) -> None:
    """The producer flushes while its broker is there; the index, with its lock, goes last."""
    with embedded_node(settings(tmp_path)) as node:
        assert not closed
        with pytest.raises(FrozenInstanceError):
            node.events = node.events  # type: ignore[misc]
    assert closed == ORDER


@pytest.mark.parametrize(
    ("kept", "recorded"),
    [("none", (None, None, None)), ("4", (NoModel.features_digest, 12, 4))],
)
def test_a_generation_records_which_features_it_keeps(
    tmp_path: Path, closed: list[str], kept: str, recorded: tuple[object, ...]
) -> None:
    """As the settings say when it is made."""
    folder = settings(tmp_path)
    index = folder.index.model_copy(update={"features": kept})
    with embedded_node(folder.model_copy(update={"index": index})) as node:
        spec = node.index.spec
    assert (spec.features_digest, spec.features, spec.feature_bits) == recorded
    assert closed


def test_what_fails_on_the_way_closes_what_is_open(
    tmp_path: Path, closed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second try then finds no lock of the first."""

    def failing(*_: object) -> None:
        raise SightlineError("no journal")

    with monkeypatch.context() as patched:
        patched.setattr(embedded, "Journal", failing)
        with pytest.raises(SightlineError, match="no journal"), embedded_node(settings(tmp_path)):
            pass
    assert closed == ["InProcessBroker", "index"]
    closed.clear()
    with embedded_node(settings(tmp_path)):
        pass
    assert closed == ORDER
