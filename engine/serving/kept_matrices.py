"""Matrices on the query, kept in the bucket beside what serves: computed once, then only read.

A process that follows the record has to answer by a new model within a second, and computing the
matrix takes longer than that where other work has the cores (docs/adr/0029). So whoever lets the
model serve keeps it first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sightline.engine.errors import ObjectMissing, Unreadable
from sightline.engine.ports import ObjectStore
from sightline.engine.serving.record import PREFIX
from sightline.engine.settings import Settings
from sightline.engine.stored_records import stored_bytes

_MAX_BYTES = 268_435_456
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True, slots=True, eq=False)
class KeptMatrix:
    """What a query is multiplied by, and the model that it ranks as then."""

    matrix: NDArray[np.float32]
    """(dimensions, dimensions)."""
    ranked_by: str
    """Digest of the model's vector space, as it is where `made_by` is that of the index."""


class _Header(BaseModel):
    """The first line of the object; the rows follow it as little-endian fp32."""

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    made_by: str
    ranked_by: str
    dimensions: Annotated[int, Field(ge=1, le=65_536)]
    sha256: str

    @classmethod
    def of(cls, kept: KeptMatrix, made_by: str, rows: bytes) -> Self:
        return cls(
            made_by=made_by,
            ranked_by=kept.ranked_by,
            dimensions=len(kept.matrix),
            sha256=hashlib.sha256(rows).hexdigest(),
        )

    def fits(self, made_by: str, rows: bytes) -> bool:
        return (
            self.made_by == made_by
            and len(rows) == self.dimensions**2 * _FLOAT.itemsize
            and hashlib.sha256(rows).hexdigest() == self.sha256
        )


class KeptMatrices:
    """The matrices of one index; what is lost or damaged is computed again by who needs it.

    Args:
        store: where they lie.
        bucket: our own.
        index: `index.collection_prefix`.
    """

    def __init__(self, store: ObjectStore, bucket: str, index: str) -> None:
        self._store = store
        self._bucket = bucket
        self._index = index

    @classmethod
    def of(cls, settings: Settings, store: ObjectStore) -> Self:
        """Those of the index that the settings name."""
        return cls(store, settings.store.bucket, settings.index.collection_prefix)

    def find(self, generation: str, made_by: str, model: str) -> KeptMatrix | None:
        """The matrix by which a model ranks a generation; None: none is kept that can be used.

        Args:
            generation: whose vectors are ranked.
            made_by: digest of the model that makes them in this process.
            model: the one that ranks, `NAME@DIGEST`.

        Raises:
            PartUnavailable: the store did not answer.
        """
        try:
            key = self._key(generation, model)
            data = stored_bytes(self._store, self._bucket, key, max_bytes=_MAX_BYTES)
            line, _, rows = data.partition(b"\n")
            header = _Header.model_validate_json(line)
        except (ObjectMissing, Unreadable, ValidationError):
            return None
        if not header.fits(made_by, rows):
            return None
        flat = np.frombuffer(rows, _FLOAT).astype(np.float32)
        if not np.isfinite(flat).all():
            return None
        return KeptMatrix(flat.reshape(header.dimensions, -1), header.ranked_by)

    def keep(self, generation: str, made_by: str, model: str, kept: KeptMatrix) -> None:
        """Store one for others; arguments as `find`.

        Raises:
            PartUnavailable: the store did not answer; it may have been stored.
        """
        rows = np.ascontiguousarray(kept.matrix, _FLOAT).tobytes()
        line = _Header.of(kept, made_by, rows).model_dump_json().encode()
        self._store.put(self._bucket, self._key(generation, model), line + b"\n" + rows)

    def forget(self, generation: str) -> None:
        """Remove all matrices of a generation; where there is none nothing happens.

        Raises:
            PartUnavailable: the store did not answer.
        """
        for found in list(self._store.list(self._bucket, self._prefix(generation))):
            self._store.delete(self._bucket, found.key)

    def _key(self, generation: str, model: str) -> str:
        return f"{self._prefix(generation)}{model.partition('@')[2]}"

    def _prefix(self, generation: str) -> str:
        return f"{PREFIX}{self._index}/{generation}/matrix/"
