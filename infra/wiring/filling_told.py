"""What serves in, how far the generation is that is being filled out: for the API."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from sightline.engine.errors import SightlineError
from sightline.engine.ports import ObjectStore
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.values import GenerationStage
from sightline.engine.settings import Settings
from sightline.search_api.learning.filling import Filling
from sightline.stream_workers.reindexing.progress import ProgressRecord, ReindexProgress

_log = logging.getLogger(__name__)


class StoredFillings:
    """See `Fillings`; reads the bucket at each look, one look at a time.

    Args:
        settings: of the deployment.
        store: where its records lie.
    """

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self._record = ServingRecord.of(settings, store)
        self._last: Filling | None = None
        self._lock = threading.Lock()

    def now(self) -> Filling | None:
        """See `Fillings.now`; while another caller looks, what was found before."""
        if not self._lock.acquire(blocking=False):
            return self._last  # a store that hangs holds up one caller, not all who ask meanwhile
        try:
            running = max(self._asked(), key=lambda p: (not p.refused, p.noted_at), default=None)
            self._last = None if running is None else filling_of(running)
        except SightlineError as error:
            self._last = None
            _log.info("whether a generation is being filled cannot be told: %s", error)
        finally:
            self._lock.release()
        return self._last

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
