"""What a backfill goes through, one `FoundFile` each: a directory, or objects under a prefix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from sightline.engine.errors import ObjectDenied, ObjectMissing, ObjectRefused, PermanentError
from sightline.engine.ports import ObjectStore
from sightline.engine.regular_files import OverBound, read_bounded
from sightline.engine.settings import DecodeSettings
from sightline.producers.backfill.ends import Ended, FileEnd
from sightline.producers.backfill.manifest import ManifestRow
from sightline.producers.backfill.tree import Found, files_below, skipped_because
from sightline.producers.images.content_types import OCTETS, content_type_of
from sightline.producers.images.ids import id_of_file, id_of_object
from sightline.producers.images.originals import Original, original_of
from sightline.schemas.images import ObjectReference

SCHEME = "s3://"
MAX_BYTES = DecodeSettings().max_bytes
"""The default of the setting by which the worker would reject a larger file."""
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
class FoundFile:
    """One image to publish, or what was found instead of one."""

    image_id: str
    row: ManifestRow
    named: bool
    """By a manifest: then it is published whatever its file is called."""
    ended: Ended | None = None
    """Its end, where it is known before anything is read."""


class Files(Protocol):
    """Where the images of a backfill lie."""

    name: str

    def found(self) -> Iterator[Found]:
        """Every file, and what is not gone through. Raises `PartUnavailable`, `BackfillRefused`."""

    def image_id(self, path: str) -> str:
        """Derive the id of the image at a path."""

    def referred(self, path: str, image_id: str) -> Original:
        """Where its bytes will lie, and the bytes if they have yet to be put there.

        Raises:
            FileRefused: missing, unreadable, too large, or outside of what is backfilled.
            PartUnavailable: the store did not answer.
        """


class DirectoryFiles:
    """Files under a directory; their bytes go into our bucket.

    Args:
        root: the directory.
        bucket: ours.
        max_bytes: a larger file is refused without being read.
        hidden: also go through what is hidden or of a system.

    Raises:
        BackfillRefused: it is not a directory.
    """

    def __init__(
        self, root: Path, bucket: str, *, max_bytes: int = MAX_BYTES, hidden: bool = False
    ) -> None:
        if not root.is_dir():
            raise BackfillRefused(f"{root} is not a directory")
        self._root = root.resolve()
        self._bucket = bucket
        self._max_bytes = max_bytes
        self._hidden = hidden
        self.name = str(self._root)

    def found(self) -> Iterator[Found]:
        """See `Files.found`."""
        return files_below(self._root, hidden=self._hidden)

    def image_id(self, path: str) -> str:
        """See `Files.image_id`."""
        return id_of_file(PurePosixPath(path).as_posix())

    def referred(self, path: str, image_id: str) -> Original:
        """See `Files.referred`."""
        data = self._read(path)
        kind = content_type_of(path)
        return original_of(data, bucket=self._bucket, image_id=image_id, content_type=kind)

    def _read(self, path: str) -> bytes:
        try:
            file = (self._root / path).resolve(strict=True)
            if not file.is_relative_to(self._root):
                raise FileRefused("it lies outside of the directory")
            return read_bounded(file, self._max_bytes)
        except OverBound as error:
            raise FileRefused(str(error)) from error
        except OSError as error:
            raise FileRefused(f"cannot be read: {error.strerror or error}") from error
        # A loop of links is a RuntimeError, a name that no file can have a ValueError.
        except (RuntimeError, ValueError) as error:
            raise FileRefused(f"cannot be read: {error}") from error


class BucketFiles:
    """Objects under a prefix of somebody's bucket; referred to where they are.

    Args:
        location: `s3://bucket/prefix`.
        store: reads that bucket too.
        own_bucket: ours, which is no source: it holds what we made.
        max_bytes: a larger object is refused.
        hidden: also publish what is hidden or of a system.

    Raises:
        BackfillRefused: no bucket, or our own.
    """

    def __init__(
        self,
        location: str,
        store: ObjectStore,
        own_bucket: str,
        *,
        max_bytes: int = MAX_BYTES,
        hidden: bool = False,
    ) -> None:
        self._bucket, _, self._prefix = location.removeprefix(SCHEME).partition("/")
        if not self._bucket:
            raise BackfillRefused(f"{location}: write s3://bucket/prefix")
        if self._bucket == own_bucket:
            raise BackfillRefused(f"{location}: that is Sightline's own bucket")
        self._store = store
        self._max_bytes = max_bytes
        self._hidden = hidden
        self.name = location

    def found(self) -> Iterator[Found]:
        """See `Files.found`."""
        try:
            for item in self._store.list(self._bucket, self._prefix):
                if not item.key.endswith("/"):  # a folder made by a console: no object
                    yield self._found(item.key.removeprefix(self._prefix))
        except ObjectMissing as error:
            raise BackfillRefused(f"{self.name}: no such bucket") from error
        except (ObjectDenied, ObjectRefused) as error:
            raise BackfillRefused(f"{self.name} may not be listed: {error}") from error

    def image_id(self, path: str) -> str:
        """See `Files.image_id`: the same as the bucket bridge gives it."""
        return id_of_object(self._bucket, self._prefix + path)

    def _found(self, path: str) -> Found:
        reason = "" if self._hidden else skipped_because(path)
        return Found(path, (FileEnd.SKIPPED, reason) if reason else None)

    def referred(self, path: str, image_id: str) -> Original:
        """See `Files.referred`."""
        del image_id
        key = self._prefix + path
        try:
            found = self._store.stat(self._bucket, key)
        except ObjectMissing as error:
            raise FileRefused("no such object") from error
        except ObjectDenied as error:
            raise FileRefused(f"we may not read it: {error}") from error
        except ObjectRefused as error:
            raise FileRefused(f"the store will not hand it out: {error}") from error
        except ValueError as error:  # a key that cannot be put into a request
            raise FileRefused(f"no object can have this key: {error}") from error
        if found.size_bytes > self._max_bytes:
            raise FileRefused(str(OverBound(found.size_bytes, self._max_bytes)))
        given = found.content_type
        reference = ObjectReference(
            bucket=self._bucket,
            key=key,
            size_bytes=found.size_bytes,
            content_type=content_type_of(path) if given == OCTETS else given[:128],
        )
        return Original(reference)


def open_files(
    source: Path | str,
    store: ObjectStore,
    own_bucket: str,
    *,
    max_bytes: int = MAX_BYTES,
    hidden: bool = False,
) -> Files:
    """The files of a directory or of `s3://bucket/prefix`. Raises `BackfillRefused`."""
    if isinstance(source, str) and source.startswith(SCHEME):
        return BucketFiles(source, store, own_bucket, max_bytes=max_bytes, hidden=hidden)
    return DirectoryFiles(Path(source), own_bucket, max_bytes=max_bytes, hidden=hidden)


def items_of(files: Files, rows: Sequence[ManifestRow] | None) -> list[FoundFile]:
    """One item per row of the manifest, else per file and per folder that is not gone through.

    Raises:
        BackfillRefused: two items have one id.
    """
    if rows is None:
        return [_found_item(files, found) for found in files.found()]
    items = [
        FoundFile(image_id=row.image_id or files.image_id(row.path), row=row, named=True)
        for row in rows
    ]
    seen: dict[str, str] = {}
    for item in items:
        other = seen.setdefault(item.image_id, item.row.path)
        if other != item.row.path:
            raise BackfillRefused(f"{other} and {item.row.path} have one id, {item.image_id}")
    return items


def _found_item(files: Files, found: Found) -> FoundFile:
    # Not validated: the name of a file may be anything, also blank.
    row = ManifestRow.model_construct(path=found.path)
    image_id = files.image_id(found.path)
    return FoundFile(image_id=image_id, row=row, named=False, ended=found.ended)


def has_image_suffix(path: str) -> bool:
    """Whether a file's name says that it is a still picture."""
    return PurePosixPath(path).suffix.lower() in SUFFIXES
