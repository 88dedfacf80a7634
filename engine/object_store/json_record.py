"""A value kept as one JSON object of a bucket, changed by compare-and-set on what was read."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Generic, NamedTuple, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from sightline.engine.errors import Conflict, NotFound, ObjectMissing, Unreadable
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes, stored_etag

MAX_BYTES = 1_048_576
_TRIES = 8
_YEARS = range(2000, 2200)


class StoredValue(BaseModel):
    """What is kept in a bucket, and all that lies in it: read back as it was written.

    A number that is none is written as `NaN`: as `null` it would be read as nothing measured, or
    not at all.
    """

    model_config = ConfigDict(
        frozen=True, use_attribute_docstrings=True, ser_json_inf_nan="constants"
    )


def _meant(instant: datetime) -> datetime:
    if instant.year not in _YEARS:
        raise ValueError(f"the year {instant.year} is not from {_YEARS[0]} to {_YEARS[-1]}")
    return instant


StoredTime = Annotated[AwareDatetime, AfterValidator(_meant)]
"""An instant to which a span of time can be added."""
Value = TypeVar("Value", bound=StoredValue)


class Stored(NamedTuple, Generic[Value]):
    """A state, and the etag that its successor must name; None: nothing is stored yet."""

    state: Value
    etag: str | None


class JsonRecord(Generic[Value]):
    """One object; of two who change what they read, one is told that it is not its turn.

    Args:
        store: where it lies.
        bucket: our own.
        key: of the object.
        value: the class of what is kept.
        advice: what to do where it cannot be read.
    """

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        key: str,
        value: type[Value],
        *,
        advice: str,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._key = key
        self._value = value
        self._advice = advice

    def etag(self) -> str | None:
        """What changes with the value, for who looks often; None: nothing is stored.

        Raises:
            PartUnavailable: the store did not answer.
        """
        try:
            return stored_etag(self._store, self._bucket, self._key)
        except ObjectMissing:
            return None

    def find(self) -> Stored[Value] | None:
        """The value as it is now; None: nothing is stored.

        Raises:
            Unreadable: it is damaged, or of a later release of Sightline.
            PartUnavailable: the store did not answer.
        """
        try:
            # The etag first: a value that is newer than it is only refused, and read again.
            etag = stored_etag(self._store, self._bucket, self._key)
            data = stored_bytes(self._store, self._bucket, self._key, max_bytes=MAX_BYTES)
            return Stored(self._value.model_validate_json(data), etag)
        except ObjectMissing:
            return None
        except (ValidationError, Unreadable) as error:
            raise Unreadable(
                f"{self._key} in bucket {self._bucket} cannot be read: it is damaged, or of a "
                f"later release of Sightline; {self._advice}"
            ) from error

    def put(self, value: Value, etag: str | None) -> None:
        """Put a value in place of the one with this etag; None: of nothing.

        Raises:
            Conflict: somebody else did meanwhile.
            PartUnavailable: the store did not answer; it may have been stored.
        """
        data = value.model_dump_json(indent=1).encode()
        self._store.put_if(self._bucket, self._key, data, expected_etag=etag)

    def replace(self, stored: Stored[Value], state: Value) -> None:
        """Put another state in place of the one that was read; raises as `put`."""
        self.put(state, stored.etag)

    def change(self, step: Callable[[Value | None], Value]) -> Value:
        """Make one step from whatever is stored, again where somebody else was faster.

        Args:
            step: what it gives is stored; what it got: nothing is to change. It gets None where
                nothing is stored, and may refuse by raising.

        Raises:
            Conflict: others never leave it a turn.
            Unreadable, PartUnavailable: as `find` and `put`.
        """
        for _ in range(_TRIES):
            known, etag = self.find() or (None, None)
            value = step(known)
            if value == known:
                return value
            with suppress(Conflict):
                self.put(value, etag)
                return value
        raise Conflict(f"{self._key} is changed by others again and again: try again")


def of_stored(step: Callable[[Value], Value], missing: str) -> Callable[[Value | None], Value]:
    """A step for `JsonRecord.change` that raises `NotFound`, saying `missing`, of nothing."""

    def from_there(value: Value | None) -> Value:
        if value is None:
            raise NotFound(missing)
        return step(value)

    return from_there


class StateRecord(JsonRecord[Value]):
    """A record that has a state before any is stored.

    Args:
        first: that state.
    """

    def __init__(
        self,
        store: ObjectStore,
        bucket: str,
        key: str,
        first: Value,
        *,
        advice: str,
    ) -> None:
        super().__init__(store, bucket, key, type(first), advice=advice)
        self._first = first

    def read(self) -> Stored[Value]:
        """The state as it is now; raises as `find`."""
        return self.find() or Stored(self._first, None)
