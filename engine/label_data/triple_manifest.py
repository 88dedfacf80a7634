"""The manifest of the Parquet triples: which files exist. Its entries are the sink's commits.

::

    labels/<topic>/<log>/manifest/<partition>/<first offset>.json   the entries
    labels/<topic>/<log>/triples/<partition>/<first offset>-<token>.parquet
    labels/<topic>/<log>/retractions/<partition>/<first offset>-<token>.parquet

`<log>` is `log`; embedded, where offsets begin at 0 again with every run, the run's id. Each entry
begins where its predecessor ends and is created at most once, so the entries of a partition are one
chain. A file that no entry lists does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, ValidationError

from sightline.engine.errors import ObjectMissing, Unreadable
from sightline.engine.ports import ObjectStore
from sightline.engine.stored_records import stored_bytes, stored_etag

PREFIX = "labels/"
LOG = "log"
_MANIFEST = "/manifest/"
_MAX_BYTES = 16 * 1_048_576
Ends = Mapping[tuple[str, int], int]
"""For each log and partition the offset below which records were read."""


class FileKind(StrEnum):
    """Whether a Parquet file holds triples, or retractions of triples."""

    TRIPLES = "triples"
    RETRACTIONS = "retractions"


class TripleFile(BaseModel):
    """A Parquet file that an entry of the manifest lists, with its rows counted."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: FileKind
    rows: int
    size_bytes: int


class ManifestEntry(BaseModel):
    """What became of the offsets from `first_offset` to below `end_offset` of one partition."""

    model_config = ConfigDict(frozen=True)

    topic: str
    log: str = LOG
    partition: int
    first_offset: int
    end_offset: int
    version: int = 1
    """Grows when retraction rewrites the files."""
    unreadable: int = 0
    """Records that broke their contract and are dead letters now."""
    absent: int = 0
    """Offsets without a record: deleted by retention before the sink came to them."""
    files: tuple[TripleFile, ...]
    written_at: datetime

    @property
    def key(self) -> str:
        """Names the object in the bucket that holds this entry, as JSON."""
        return f"{folder(self.topic, self.log, self.partition)}{self.first_offset:020d}.json"


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry and the etag that a replacement must name."""

    entry: ManifestEntry
    etag: str


def source_of(entry: ManifestEntry) -> tuple[str, int]:
    """Names what the offsets of an entry count in: the log and the partition."""
    return entry.log, entry.partition


def files_of(entries: Sequence[ManifestEntry], kind: FileKind) -> list[TripleFile]:
    """The files of one kind, in the entries' order."""
    return [file for entry in entries for file in entry.files if file.kind is kind]


def folder(topic: str, log: str, partition: int) -> str:
    """Where the entries of a partition lie."""
    return f"{PREFIX}{topic}/{log}{_MANIFEST}{partition:05d}/"


def file_key(entry: ManifestEntry, kind: FileKind, token: str) -> str:
    """A name for a file of an entry; `token` is new for each attempt to write one."""
    place = f"{entry.partition:05d}/{entry.first_offset:020d}-{token}"
    return f"{PREFIX}{entry.topic}/{entry.log}/{kind}/{place}.parquet"


class TripleManifest:
    """Entries in a bucket; safe for any number of writers.

    Args:
        store: where they lie.
        bucket: our own.
        topic: that was written, without prefix.
    """

    def __init__(self, store: ObjectStore, bucket: str, topic: str) -> None:
        self.store = store
        self.bucket = bucket
        self.topic = topic

    def is_empty(self) -> bool:
        """Whether there is neither an entry nor a file.

        Raises:
            PartUnavailable: the store did not answer.
        """
        return next(iter(self.store.list(self.bucket, f"{PREFIX}{self.topic}/")), None) is None

    def entries(self) -> Iterator[StoredEntry]:
        """Every entry of every log and partition, in offset order within each.

        Raises:
            PartUnavailable: the store did not answer.
        """
        for found in self.store.list(self.bucket, f"{PREFIX}{self.topic}/"):
            if _MANIFEST in found.key:
                yield self.read(found.key)

    def read(self, key: str) -> StoredEntry:
        """One entry as it is now.

        Raises:
            ObjectMissing: there is none.
            Unreadable: it is damaged, or of a later release of Sightline.
            PartUnavailable: the store did not answer.
        """
        while True:
            etag = stored_etag(self.store, self.bucket, key)
            entry = self._entry(key)
            if stored_etag(self.store, self.bucket, key) == etag:
                return StoredEntry(entry, etag)

    def _entry(self, key: str) -> ManifestEntry:
        try:
            return ManifestEntry.model_validate_json(
                stored_bytes(self.store, self.bucket, key, max_bytes=_MAX_BYTES)
            )
        except (ValidationError, Unreadable) as error:
            raise Unreadable(
                f"{key} in bucket {self.bucket} cannot be read: it is damaged, or of a later "
                "release of Sightline; restore it from a backup of the bucket"
            ) from error

    def end(self, log: str, partition: int) -> int:
        """Where the last entry of a partition ends: the next offset to write; 0 without entries.

        Raises:
            PartUnavailable: the store did not answer.
        """
        last = None
        for found in self.store.list(self.bucket, folder(self.topic, log, partition)):
            last = found.key
        return 0 if last is None else self.read(last).entry.end_offset

    def create(self, entry: ManifestEntry) -> None:
        """Commit an entry: from now on its files exist.

        Raises:
            Conflict: there is an entry at this offset.
            PartUnavailable: the store did not answer; it may have been created.
        """
        self.store.put_if(self.bucket, entry.key, _encoded(entry), expected_etag=None)

    def replace(self, stored: StoredEntry, entry: ManifestEntry) -> None:
        """Commit other files for the same offsets.

        Raises:
            Conflict: somebody else did meanwhile.
            PartUnavailable: the store did not answer; it may have been replaced.
        """
        self.store.put_if(self.bucket, entry.key, _encoded(entry), expected_etag=stored.etag)

    def has(self, file: TripleFile) -> bool:
        """Whether the bucket still holds the bytes of a listed file."""
        try:
            self.store.stat(self.bucket, file.key)
        except ObjectMissing:
            return False
        return True

    def remove(self, files: Sequence[TripleFile]) -> None:
        """Delete files that no entry lists, or no longer.

        Raises:
            PartUnavailable: the store did not answer; what is left is an orphan.
        """
        for file in files:
            self.store.delete(self.bucket, file.key)


def _encoded(entry: ManifestEntry) -> bytes:
    return entry.model_dump_json(indent=1).encode()
