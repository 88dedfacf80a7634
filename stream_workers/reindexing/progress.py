"""How far a generation is filled, for who fills it and for all who look: one object beside it.

It is written by whoever holds the generation's lease, and by who asks for the work. Every change is
a compare-and-set, so that neither overwrites the other.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field

from sightline.engine.object_store.json_record import JsonRecord, StoredTime, StoredValue, of_stored
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.stream_workers.reindexing.parity import Parity

PREFIX = "serving/"


class FillingStep(StrEnum):
    """One thing that is done for a generation; each may be done again after a kill."""

    WAIT = "wait"
    """Nothing is asked for, or it is done."""
    SEED = "seed"
    """Features of the generation that serves are multiplied and written."""
    REPLAY = "replay"
    """What the log may have forgotten and the generation lacks is published again."""
    CATCH_UP = "catch up"
    """Its worker reads up to where the log ended."""
    OPTIMISE = "optimise"
    """Its search graph is built."""
    PROVE = "prove"
    """It is compared with the generation that serves."""
    READY = "ready"
    """The record is told that it may serve."""


class ReindexProgress(StoredValue):
    """What is asked for a generation, and how far it is."""

    format: Literal[1] = 1
    generation: str
    by: Literal["features", "bytes"]
    seeded_from: str
    """The generation that it is filled from, and compared with."""
    rate_per_s: Annotated[float, Field(gt=0)] | None = None
    """Images a second at most; None: as fast as it goes."""
    without_missing: bool = False
    """Whether it may serve without the images whose bytes are gone."""
    asked_at: StoredTime
    step: FillingStep = FillingStep.WAIT
    """What is being done; `done` of `total` images are."""
    step_began_at: StoredTime
    done: Annotated[int, Field(ge=0)] = 0
    total: Annotated[int, Field(ge=0)] = 0
    republished: Annotated[int, Field(ge=0)] = 0
    """Images without features, whose bytes are looked at after all."""
    noted_at: StoredTime
    seeded_at: StoredTime | None = None
    parity: Parity | None = None
    """How the last comparison ended; None: none has yet, since it was asked for."""
    trouble: str = ""
    """What it waits for, as the last try said; empty: nothing."""

    @property
    def refused(self) -> bool:
        """Whether it was compared and must not serve."""
        return self.parity is not None and not self.parity.passed


class ProgressRecord:
    """The progress of one generation in the bucket.

    Args:
        store: where it lies.
        bucket: our own.
        index: `index.collection_prefix`: two indexes that share a bucket fill each its own.
        generation: whose filling it tells of.
    """

    def __init__(self, store: ObjectStore, bucket: str, index: str, generation: str) -> None:
        self._store = store
        self._bucket = bucket
        self._key = f"{PREFIX}{index}/{generation}/progress.json"
        self._kept = JsonRecord(
            store,
            bucket,
            self._key,
            ReindexProgress,
            advice="remove it and ask for the re-index again",
        )
        self._lease_key = filling_lease_key(index, generation)

    @classmethod
    def of(cls, settings: Settings, store: ObjectStore, generation: str) -> Self:
        """How far a generation of the index of these settings is filled."""
        return cls(store, settings.store.bucket, settings.index.collection_prefix, generation)

    def find(self) -> ReindexProgress | None:
        """How far it is; None: nobody asked for it.

        Raises:
            Unreadable: it is damaged, or of a later release of Sightline.
            PartUnavailable: the store did not answer.
        """
        found = self._kept.find()
        return None if found is None else found.state

    def ask(self, progress: ReindexProgress) -> None:
        """Put what is asked for in place of whatever is there.

        Raises:
            Conflict: others changed it again and again.
            PartUnavailable: the store did not answer; it may have been stored.
        """
        self._kept.change(lambda _: progress)

    def note(self, step: Callable[[ReindexProgress], ReindexProgress]) -> ReindexProgress:
        """Change what is stored, again where somebody else was faster.

        Raises:
            NotFound: nothing is asked for any more.
            Conflict: others changed it again and again.
            Unreadable, PartUnavailable: as `find`.
        """
        missing = f"there is no {self._key}: the generation was dropped"
        return self._kept.change(of_stored(step, missing))

    def forget(self) -> None:
        """Remove it, with the lease of who filled it; where there is none nothing happens.

        Raises:
            PartUnavailable: the store did not answer.
        """
        self._store.delete(self._bucket, self._lease_key)
        self._store.delete(self._bucket, self._key)


def filling_lease_key(index: str, generation: str) -> str:
    """Names the object by which one process at a time fills a generation."""
    return f"{PREFIX}{index}/{generation}/lease.json"
