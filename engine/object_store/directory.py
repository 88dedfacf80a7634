"""The object store in a directory: the embedded stack's, durable and safe between processes."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from sightline.engine.durable_files import sync_directory
from sightline.engine.errors import (
    Conflict,
    ObjectMissing,
    ObjectRefused,
    Part,
    PartUnavailable,
    TooLarge,
)
from sightline.engine.private_files import FOLDER_MODE, make_private_folders, open_private
from sightline.engine.records import StoredObject

_OCTETS = "application/octet-stream"
_NS_PER_S = 1_000_000_000
_BYTES = ".bytes"
_DRAFTS, _LOCKS = ".drafts", ".locks"
_SAFE = "-_~ "
"""Beside letters and digits; a dot is escaped, so that no name is hidden or means a parent."""
_MAX_NAME = 200
_EMPTY = "%"
_GOES_ON = "%~/"
_MAX_ABOUT_BYTES = 65_536
_LOCK_COUNT = 64
_OF_THE_NAME = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.ELOOP})
"""What a file system says of one name and not of itself."""
_DRAFT_AGE_S = 3_600.0
"""A draft untouched for so long was left by a process that died: a put takes seconds. Younger ones
may be another process's work; were one that slept for an hour to lose its draft, its put would fail
as `PartUnavailable` and be repeated."""


class DirectoryObjectStore:
    """An `ObjectStore` under a directory, made if it is not there; what is new is ours alone.

    An object is one file: a line of JSON (content type, etag), then its bytes; written aside,
    synced, renamed over the old one, so that a reader sees one or the other, whole, also after a
    crash. Compare-and-set holds a file lock, so it is safe between threads and processes. What
    interrupted puts left behind is removed at the next start.

    Args:
        root: the directory; buckets are folders in it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        with _reported("opening"):
            for folder in (_DRAFTS, _LOCKS):
                make_private_folders(root / folder)
            _remove_old_files(root / _DRAFTS)

    def put(
        self, bucket: str, key: str, data: bytes, *, content_type: str = _OCTETS
    ) -> StoredObject:
        """See `ObjectStore.put`; durable when it returns."""
        with _reported(f"put {bucket}/{key}"), self._locked(bucket, key):
            return self._write(bucket, key, data, content_type)

    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """See `ObjectStore.put_if`."""
        with _reported(f"put_if {bucket}/{key}"), self._locked(bucket, key):
            if self._etag(bucket, key) != expected_etag:
                raise Conflict(f"{bucket}/{key} is no longer what was read")
            return self._write(bucket, key, data, _OCTETS)

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """See `ObjectStore.get`."""
        with _reported(f"get {bucket}/{key}"), self._opened(bucket, key) as opened:
            if opened.about is None:
                raise ObjectRefused(f"{bucket}/{key}: its file is damaged; put the object again")
            size = opened.size_bytes
            if max_bytes is not None and size > max_bytes:
                raise TooLarge(f"{bucket}/{key} is over {max_bytes} bytes")
            return opened.read(size)

    def stat(self, bucket: str, key: str) -> StoredObject:
        """See `ObjectStore.stat`; one whose file is damaged is there, under an etag of its own."""
        return self._described(bucket, key)

    def delete(self, bucket: str, key: str) -> None:
        """See `ObjectStore.delete`."""
        with _reported(f"delete {bucket}/{key}"), self._locked(bucket, key):
            path = self._path(bucket, key)
            if path.exists():
                path.unlink()
                sync_directory(path.parent)

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.list`; objects deleted meanwhile are left out."""
        with _reported(f"list {bucket}/{prefix}"):
            keys = sorted(
                (k for k in self._keys(bucket, prefix) if k.startswith(prefix) and k > start_after),
                key=str.encode,
            )
        for key in keys:
            try:
                yield self._described(bucket, key)
            except ObjectMissing:
                continue

    def ensure_bucket(self, bucket: str) -> None:
        """See `ObjectStore.ensure_bucket`."""
        with _reported(f"ensure_bucket {bucket}"):
            _make_folders(self._root / _escape(bucket))

    def keeps_versions(self, bucket: str) -> bool:
        """See `ObjectStore.keeps_versions`: what is removed is gone."""
        del bucket
        return False

    def close(self) -> None:
        """See `ObjectStore.close`: nothing is held open."""

    def _write(self, bucket: str, key: str, data: bytes, content_type: str) -> StoredObject:
        path = self._path(bucket, key)
        self._require(bucket)
        _make_folders(path.parent)
        about = {"content_type": content_type, "etag": secrets.token_hex(16)}
        draft = self._root / _DRAFTS / about["etag"]
        try:
            with open_private(draft) as file:
                file.write(json.dumps(about).encode() + b"\n")
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
        return self._described(bucket, key)

    def _described(self, bucket: str, key: str) -> StoredObject:
        with _reported(f"stat {bucket}/{key}"), self._opened(bucket, key) as opened:
            return opened.described(bucket, key)

    def _etag(self, bucket: str, key: str) -> str | None:
        try:
            return self._described(bucket, key).etag
        except ObjectMissing:
            return None

    @contextmanager
    def _opened(self, bucket: str, key: str) -> Iterator[_Opened]:
        try:
            file = self._path(bucket, key).open("rb")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ObjectMissing(f"{bucket}/{key}: no such object") from error
        with file:
            about = _about(file.readline(_MAX_ABOUT_BYTES))
            start, status = file.tell(), os.fstat(file.fileno())
            yield _Opened(about, status.st_size - start, status.st_mtime_ns, file.read)

    def _keys(self, bucket: str, prefix: str) -> Iterator[str]:
        """All that begin like the prefix up to its last `/`: other folders are not gone through."""
        folder = self._root / _escape(bucket)
        common = folder.joinpath(*map(_escape, prefix.split("/")[:-1]))
        for path in common.rglob(f"*{_BYTES}"):
            yield _unescape(str(path.relative_to(folder))[: -len(_BYTES)])

    def _path(self, bucket: str, key: str) -> Path:
        *folders, name = (_escape(part) for part in key.split("/"))
        return self._root.joinpath(_escape(bucket), *folders, name + _BYTES)

    @contextmanager
    def _locked(self, bucket: str, key: str) -> Iterator[None]:
        """One of a few locks by hash: enough for racing writers, and no file per object."""
        digest = hashlib.sha256(f"{bucket}/{key}".encode()).digest()
        with (self._root / _LOCKS / str(digest[0] % _LOCK_COUNT)).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _require(self, bucket: str) -> None:
        if not (self._root / _escape(bucket)).is_dir():
            raise PartUnavailable(Part.STORE, f"there is no bucket {bucket}")


@dataclass(frozen=True, slots=True)
class _Opened:
    """One object while its file is open."""

    about: Mapping[str, str] | None
    """None: its file was not written by us, or is damaged."""
    size_bytes: int
    modified_ns: int
    read: Callable[[int], bytes]

    def described(self, bucket: str, key: str) -> StoredObject:
        damaged = {"etag": f"damaged-{self.modified_ns}", "content_type": _OCTETS}
        about = self.about or damaged
        return StoredObject(
            bucket=bucket,
            key=key,
            size_bytes=self.size_bytes,
            etag=about["etag"],
            modified=datetime.fromtimestamp(self.modified_ns / _NS_PER_S, UTC),
            content_type=about["content_type"],
        )


def _about(line: bytes) -> dict[str, str] | None:
    """The object's first line; None: the file was not written by us."""
    try:
        about = json.loads(line)
        return {name: str(about[name]) for name in ("content_type", "etag")}
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


@contextmanager
def _reported(doing: str) -> Iterator[None]:
    """The one place where the file system's errors become ours: a full disk is waited out."""
    try:
        yield
    except OSError as error:
        if error.errno in _OF_THE_NAME:
            raise ObjectRefused(f"{doing}: no file can have that name: {error.strerror}") from error
        raise PartUnavailable(Part.STORE, f"{doing}: {error}") from error


def _escape(part: str) -> str:
    """A part of a key as a file name: letters, digits and blanks stay, all else as %XX.

    An empty part is `%`; what is too long for a file name goes on in a folder, after `%~`.
    """
    escaped = quote(part, safe=_SAFE).replace(".", "%2E") or _EMPTY
    pieces = [escaped[at : at + _MAX_NAME] for at in range(0, len(escaped), _MAX_NAME)]
    return _GOES_ON.join(pieces)


def _unescape(path: str) -> str:
    parts = path.replace(_GOES_ON, "").split("/")
    return "/".join("" if part == _EMPTY else unquote(part) for part in parts)


def _remove_old_files(folder: Path) -> None:
    before_s = time.time() - _DRAFT_AGE_S
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # just renamed, or removed by another process
            if path.stat().st_mtime < before_s:
                path.unlink()


def _make_folders(folder: Path) -> None:
    """Make a folder and sync what it newly hangs in, so that a crash cannot lose the name."""
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    sync_directory(folder.parent)
