"""Where a model lies in, what would serve it out: a network, its weights and a projection.

A candidate is a registered model, a projection file, or a head that was trained (a file, or the
folder of a run), which becomes a projection at a strength.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from safetensors import safe_open

from sightline.engine.embedding.model_files import ModelSource, model_source
from sightline.engine.embedding.model_registry import PROJECTION, WEIGHTS
from sightline.engine.embedding.projections import (
    UNREADABLE,
    AnyProjection,
    Features,
    load_projection,
    project_all,
)
from sightline.engine.errors import SettingsInvalid
from sightline.engine.regular_files import need_regular
from sightline.engine.settings import EmbedderSettings
from sightline.training.loop.head import Head
from sightline.training.loop.run_folder import RECORD, read_record

HEAD_FILE = "head.safetensors"
"""The head in the folder of a run."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could serve searches, with its parts loaded."""

    name: str
    """What it is called in tables and pages."""
    source: ModelSource
    """The network that gives its features; the projection of it is the next field's."""
    projection: AnyProjection | None
    """None: the features are the vectors."""

    @property
    def network(self) -> tuple[str, ...]:
        """Names what gives the features: equal for models that differ only in the projection."""
        source = self.source
        made = (source.framing, source.normalisation, source.encoder)
        return (source.model, source.weights_id, *(repr(part) for part in made))

    def vectors(self, features: Features) -> Features:
        """(n, features) to (n, dimensions), not normalised."""
        if self.projection is None:
            return features
        return project_all(self.projection, features)


def of_settings(name: str, settings: EmbedderSettings) -> Candidate:
    """The model that these settings run.

    Raises:
        SettingsInvalid: a file is missing or does not fit.
    """
    source = model_source(settings)
    loaded = None if source.projection is None else load_projection(source.projection)
    return Candidate(name, source, loaded)


def of_file(place: Path, network: EmbedderSettings, *, strength: float) -> Candidate:
    """A projection or a head on disk, on the features of a network.

    Args:
        place: a safetensors file, or the folder of a run with a head, or with a network and its
            projection, in it.
        network: what gives the features.
        strength: of a head, 0-1; a projection has none.

    Raises:
        SettingsInvalid: it is neither, its files cannot be read, or it was trained on another
            network.
    """
    file = _file(place)
    trained = place / WEIGHTS
    if trained.is_file():
        network = network.model_copy(update={"weights": trained})
    source = replace(model_source(network), projection=None, projection_id=None)
    if not trained.is_file():
        _same_network(place, source)
    if not is_head(place):
        return Candidate(str(place), source, load_projection(file))
    projection = Head.load(file).projection(strength)
    return Candidate(f"{place} at strength {strength:g}", source, projection)


def is_head(place: Path) -> bool:
    """Whether there is a head, which has a strength; else there should be a projection.

    Raises:
        SettingsInvalid: it is no safetensors file, and no folder with one in it.
    """
    return "base" in _tensors(_file(place))


def _same_network(place: Path, source: ModelSource) -> None:
    """Compare with what a run says that it was trained on; a file alone says nothing."""
    if (place / RECORD).is_file():
        start = read_record(place).get("start", {})
        if start.get("weights", source.weights_id) != source.weights_id:
            raise SettingsInvalid(f"{place} was trained on another network: train anew")


def _file(place: Path) -> Path:
    if not place.is_dir():
        return place
    trained = place / PROJECTION
    return trained if trained.is_file() else place / HEAD_FILE


def _tensors(file: Path) -> set[str]:
    try:
        need_regular(file)
        with safe_open(file, framework="numpy") as opened:
            return set(opened.keys())
    except UNREADABLE as error:
        raise SettingsInvalid(f"{file} is no model: {error}") from error
