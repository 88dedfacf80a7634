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


class StoredFillings:
    """See `Fillings`; reads the bucket at each look.

    Args:
        settings: of the deployment.
        store: where its records lie.
    """

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self._record = ServingRecord.of(settings, store)
        self._look = OneLook[Filling | None](
            self._running, None, "whether a generation is being filled"
        )

    def now(self) -> Filling | None:
        """See `Fillings.now`."""
        return self._look.now()

    def _running(self) -> Filling | None:
        running = max(self._asked(), key=lambda p: (not p.refused, p.noted_at), default=None)
        return None if running is None else filling_of(running)

    def _asked(self) -> Iterator[ReindexProgress]:
        found = self._record.find()
        for known in () if found is None else found.state.generations:
            if known.stage is not GenerationStage.FILLING:
                continue
            asked = ProgressRecord.of(self._settings, self._store, known.name).find()
            if asked is not None:
                yield asked


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
