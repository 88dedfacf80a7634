"""The record of the roll-outs in, which model is on its way out: for the API."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.views.one_look import OneLook
from sightline.search_api.learning.coming_models import ComingModel
from sightline.stream_workers.rolling_out.state import RolloutRecord, RolloutState


def stored_rollouts(settings: Settings, store: ObjectStore) -> OneLook[tuple[ComingModel, ...]]:
    """See `ComingModels`; reads the records of the deployment in the bucket at each look."""
    record = RolloutRecord(store, settings.store.bucket, settings.index.collection_prefix)
    return OneLook(lambda: tuple(_coming(record.read().state)), (), "which model is on its way")


def _coming(state: RolloutState) -> Iterator[ComingModel]:
    if (model := state.under_way) is not None:
        name, digest = _named(model.model)
        yield ComingModel(
            name=name,
            digest=digest,
            generation=model.generation,
            stage=model.stage,
            outcome=None,
            says="" if model.finding is None else model.finding.says,
            since=model.began_at,
        )
    for ended in state.past[:1]:
        name, digest = _named(ended.model)
        yield ComingModel(
            name=name,
            digest=digest,
            generation=None,
            stage=None,
            outcome=ended.outcome.value,
            says=ended.says,
            since=ended.ended_at,
        )


def _named(model: str) -> tuple[str, str]:
    name, _, digest = model.partition("@")
    return name, digest
