"""What serves in, how far the generation is that is being filled out: for the API."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.engine.ports import ObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.values import GenerationStage
from sightline.engine.settings import Settings
from sightline.infra.views.one_look import OneLook
from sightline.search_api.learning.filling import Filling
from sightline.stream_workers.reindexing.progress import ProgressRecord, ReindexProgress


def stored_fillings(settings: Settings, store: ObjectStore) -> OneLook[Filling | None]:
    """See `Fillings`; reads the records of the deployment in the bucket at each look."""
    record = ServingRecord.of(settings, store)

    def asked() -> Iterator[ReindexProgress]:
        found = record.find()
        for known in () if found is None else found.state.generations:
            if known.stage is GenerationStage.FILLING:
                progress = ProgressRecord.of(settings, store, known.name).find()
                if progress is not None:
                    yield progress

    def running() -> Filling | None:
        newest = max(asked(), key=lambda p: (not p.refused, p.noted_at), default=None)
        return None if newest is None else filling_of(newest)

    return OneLook(running, None, "whether a generation is being filled")


def filling_of(progress: ReindexProgress) -> Filling:
    """The same, with the step's mean rate; what was refused says why."""
    took_s = (progress.noted_at - progress.step_began_at).total_seconds()
    trouble = f"waits: {progress.trouble}" if progress.trouble else ""
    if progress.parity is not None and progress.refused:
        trouble = f"refused: {'; '.join(progress.parity.failures())}"
    return Filling(
        generation=progress.generation,
        by=progress.by,
        step=progress.step.value,
        done=progress.done,
        total=progress.total,
        rate_per_s=progress.done / took_s if progress.done and took_s > 0 else None,
        trouble=trouble,
    )
