"""What a backfill goes through: files of a directory or objects under a prefix, one `Item` each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from sightline.engine.errors import ObjectMissing, PermanentError
from sightline.engine.ports import ObjectStore
from sightline.producers.backfill.manifest import Row
from sightline.producers.images.content_types import OCTETS, content_type_of
from sightline.producers.images.ids import id_of_file, id_of_object
from sightline.producers.images.originals import Original, original_of
from sightline.schemas.images import ObjectReference

SCHEME = "s3://"
SUFFIXES = frozenset(
    f".{name}"
    for name in "apng avif bmp gif heic heif jfif jpe jpeg jpg png tif tiff webp".split()  # noqa: SIM905 - read as one line
)
"""Without a manifest only these are published; what the bytes are, the worker decides."""


class BackfillRefused(PermanentError):
    """The backfill cannot begin like this; the message says what to do."""


class FileRefused(PermanentError):
    """One file cannot be published; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One image to publish."""

    image_id: str
    row: Row
    named: bool
    """By a manifest: then it is published whatever its file is called."""


class Files(Protocol):
    """Where the images of a backfill lie."""

    name: str

    def paths(self) -> Iterator[str]:
        """Every path, relative, in order. Raises `PartUnavailable`, `BackfillRefused`."""

    def image_id(self, path: str) -> str:
        """The derived id of a path."""

    def original(self, path: str, image_id: str) -> Original:
        """Where its bytes will lie, and the bytes if they have yet to be put there.

        Raises:
            FileRefused: missing, empty, unreadable, or outside of what is backfilled.
            PartUnavailable: the store did not answer.
        """


class DirectoryFiles:
    """Files under a directory; their bytes go into our bucket.

    Args:
        root: the directory.
        bucket: ours.

    Raises:
        BackfillRefused: it is not a directory.
    """

    def __init__(self, root: Path, bucket: str) -> None:
        if not root.is_dir():
            raise BackfillRefused(f"{root} is not a directory")
        self._root = root.resolve()
        self._bucket = bucket
        self.name = str(self._root)

    def paths(self) -> Iterator[str]:
        """See `Files`: every regular file, by path."""
        for path in sorted(self._root.rglob("*")):
            if path.is_file():
                yield path.relative_to(self._root).as_posix()

    def image_id(self, path: str) -> str:
        """See `Files`."""
        return id_of_file(PurePosixPath(path).as_posix())

    def original(self, path: str, image_id: str) -> Original:
        """See `Files`."""
        file = (self._root / path).resolve()
        if not file.is_relative_to(self._root):
            raise FileRefused("it lies outside of the directory")
        try:
            data = file.read_bytes()
        except OSError as error:
            raise FileRefused(f"cannot be read: {error.strerror}") from error
        kind = content_type_of(path)
        return original_of(data, bucket=self._bucket, image_id=image_id, content_type=kind)


class BucketFiles:
    """Objects under a prefix of somebody's bucket; referred to where they are.

    Args:
        location: `s3://bucket/prefix`.
        store: reads that bucket too.
        own_bucket: ours, which is no source: it holds what we made.

    Raises:
        BackfillRefused: no bucket, or our own.
    """

    def __init__(self, location: str, store: ObjectStore, own_bucket: str) -> None:
        self._bucket, _, self._prefix = location.removeprefix(SCHEME).partition("/")
        if not self._bucket:
            raise BackfillRefused(f"{location}: write s3://bucket/prefix")
        if self._bucket == own_bucket:
            raise BackfillRefused(f"{location}: that is Sightline's own bucket")
        self._store = store
        self.name = location

    def paths(self) -> Iterator[str]:
        """See `Files`."""
        try:
            for item in self._store.list(self._bucket, self._prefix):
                if not item.key.endswith("/"):  # a folder made by a console: no object
                    yield item.key.removeprefix(self._prefix)
        except ObjectMissing as error:
            raise BackfillRefused(f"{self.name}: no such bucket") from error

    def image_id(self, path: str) -> str:
        """See `Files`: the same as the bucket bridge gives it."""
        return id_of_object(self._bucket, self._prefix + path)

    def original(self, path: str, image_id: str) -> Original:
        """See `Files`."""
        del image_id
        key = self._prefix + path
        try:
            found = self._store.stat(self._bucket, key)
        except ObjectMissing as error:
            raise FileRefused("no such object") from error
        given = found.content_type
        reference = ObjectReference(
            bucket=self._bucket,
            key=key,
            size_bytes=found.size_bytes,
            content_type=content_type_of(path) if given == OCTETS else given[:128],
        )
        return Original(reference)


def open_files(source: Path | str, store: ObjectStore, own_bucket: str) -> Files:
    """The files of a directory or of `s3://bucket/prefix`. Raises `BackfillRefused`."""
    if isinstance(source, str) and source.startswith(SCHEME):
        return BucketFiles(source, store, own_bucket)
    return DirectoryFiles(Path(source), own_bucket)


def items_of(files: Files, rows: Sequence[Row] | None) -> list[Item]:
    """One item per row of the manifest, else per file.

    Raises:
        BackfillRefused: two items have one id.
    """
    named = rows is not None
    items = [
        Item(image_id=row.image_id or files.image_id(row.path), row=row, named=named)
        for row in rows or ([] if named else [Row(path=path) for path in files.paths()])
    ]
    seen: dict[str, str] = {}
    for item in items:
        other = seen.setdefault(item.image_id, item.row.path)
        if other != item.row.path:
            raise BackfillRefused(f"{other} and {item.row.path} have one id, {item.image_id}")
    return items


def has_image_suffix(path: str) -> bool:
    """Whether a file's name says that it is a still picture."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES
