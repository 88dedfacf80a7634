"""What serves, for all who search, index or look: one object, changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sightline.engine.errors import NotFound
from sightline.engine.object_store.json_record import JsonRecord
from sightline.engine.serving.state import ServingState

if TYPE_CHECKING:
    from sightline.engine.ports import ObjectStore
    from sightline.engine.settings import Settings

PREFIX = "serving/"
_NOTHING = "nothing serves yet: `sightline up` makes the first generation"


@dataclass(frozen=True, slots=True)
class StoredServing:
    """A state, and the etag that its successor must name."""

    state: ServingState
    etag: str


class ServingRecord:
    """The state of the deployment in its bucket.

    Args:
        store: where it lies.
        bucket: our own.
        index: `index.collection_prefix`: two indexes that share a bucket serve each its own.
    """

    def __init__(self, store: ObjectStore, bucket: str, index: str) -> None:
        self._kept = JsonRecord(
            store,
            bucket,
            f"{PREFIX}{index}/state.json",
            ServingState,
            advice=f"restore it in bucket {bucket} from a backup",
        )

    @classmethod
    def of(cls, settings: Settings, store: ObjectStore) -> Self:
        """The record that says what serves from the index of these settings."""
        return cls(store, settings.store.bucket, settings.index.collection_prefix)

    def etag(self) -> str | None:
        """What changes with the state, for who looks often; None: there is none yet.

        Raises:
            PartUnavailable: the store did not answer.
        """
        return self._kept.etag()

    def find(self) -> StoredServing | None:
        """The state as it is now; None: nothing ever served.

        Raises:
            Unreadable: it is damaged, contradicts itself, or is of a later release of Sightline.
            PartUnavailable: the store did not answer.
        """
        found = self._kept.find()
        return None if found is None else StoredServing(*found)

    def read(self) -> StoredServing:
        """The state as it is now.

        Raises:
            NotFound: nothing ever served.
            Unreadable, PartUnavailable: as `find`.
        """
        found = self.find()
        if found is None:
            raise NotFound(_NOTHING)
        return found

    def begin(self, state: ServingState) -> None:
        """Store the first state.

        Raises:
            Conflict: there is one.
            PartUnavailable: the store did not answer; it may have been stored.
        """
        self._kept.put(state, None)

    def replace(self, stored: StoredServing, state: ServingState) -> None:
        """Put another state in place of the one that was read.

        Raises:
            Conflict: somebody else did meanwhile.
            PartUnavailable: the store did not answer; it may have been replaced.
        """
        self._kept.put(state, stored.etag)

    def change(self, step: Callable[[ServingState], ServingState]) -> ServingState:
        """Make one step from whatever the state is, again where somebody else was faster.

        Args:
            step: what it gives is stored; the state that it got: nothing is to change.

        Raises:
            Conflict: the step refuses, or others never leave it a turn.
            NotFound, Unreadable, PartUnavailable: as `read` and `replace`.
        """

        def from_there(state: ServingState | None) -> ServingState:
            if state is None:
                raise NotFound(_NOTHING)
            return step(state)

        return self._kept.change(from_there)
