"""What serves, for all who search, index or look: one object, changed by compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from sightline.engine.errors import NotFound
from sightline.engine.object_store.json_record import JsonRecord, Stored, of_stored
from sightline.engine.ports import ObjectStore
from sightline.engine.serving.state import ServingState
from sightline.engine.settings import Settings

PREFIX = "serving/"
_NOTHING = "nothing serves yet: `sightline up` makes the first generation"
StoredServing = Stored[ServingState]


class ServingRecord(JsonRecord[ServingState]):
    """The state of the deployment in its bucket.

    Args:
        store: where it lies.
        bucket: our own.
        index: `index.collection_prefix`: two indexes that share a bucket serve each its own.
    """

    def __init__(self, store: ObjectStore, bucket: str, index: str) -> None:
        super().__init__(
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
        """Store the first state; raises as `put`."""
        self.put(state, None)

    def change(self, step: Callable[[ServingState], ServingState]) -> ServingState:
        """Make one step from whatever the state is, again where somebody else was faster.

        Args:
            step: what it gives is stored; the state that it got: nothing is to change.

        Raises:
            Conflict: the step refuses, or others never leave it a turn.
            NotFound, Unreadable, PartUnavailable: as `read` and `put`.
        """
        return super().change(of_stored(step, _NOTHING))
