"""Settings in, the same settings naming the model that answers searches now out.

`embedder.model` is what the first generation is made with. Once others exist the record says which
serves (docs/adr/0024), and whoever compares with "what serves" or begins there must ask it.
"""

from __future__ import annotations

from contextlib import closing

from sightline.engine.connecting.connections import connect_object_store, object_directory
from sightline.engine.connecting.released_model import embedder_settings, naming
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.settings import EmbedderSettings, Settings


def as_serving(settings: Settings) -> Settings:
    """Name the model of the record, where one says so; else the settings are given back.

    Outside an experiment's treatment that model answers everybody: where a matrix on the query
    serves, it is the matrix's.

    Raises:
        Unreadable: the record is damaged, or of a later release of Sightline.
        PartUnavailable: the store did not answer.
    """
    state = serving_state(settings)
    model = None if state is None else state.model_of(state.serves)
    return settings if model is None else naming(settings, model)


def as_indexed(settings: Settings) -> Settings:
    """Name the model that made the vectors of the index that serves; raises as `as_serving`."""
    state = serving_state(settings)
    model = None if state is None else state.serving.model
    return settings if model is None else naming(settings, model)


def serving_embedder(settings: Settings) -> EmbedderSettings:
    """The model that serves, with its files found; raises as `as_serving`, `embedder_settings`."""
    return embedder_settings(as_serving(settings))


def serving_state(settings: Settings) -> ServingState | None:
    """What the record says; None: nothing ever served. Nothing is made; raises as `as_serving`."""
    directory, bucket = object_directory(settings), settings.store.bucket
    if directory is not None and not (directory / bucket).is_dir():
        return None
    with closing(connect_object_store(settings)) as store:
        found = ServingRecord.of(settings, store).find()
    return None if found is None else found.state
