"""A folder in, every file below it out, and every folder that is not gone through, with the reason.

Nothing that lies there ends the walk: names that are not UTF-8, loops of links, folders that may
not be listed, paths too long for the system.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sightline.producers.backfill.ends import Ended, FileEnd

_OF_A_SYSTEM = frozenset(
    {
        *("recycle", "recycle.bin", "recycled", "recycler", "trash", "trashbox", "lost+found"),
        *("snapshot", "snapshots", "recently-snapshot", "tmp", "eadir", "sharebin", "extend"),
        *("system volume information", "macosx", "network trash folder", "temporary items"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "ipod photo cache"),
        *("thumbnails", "thumbnail", "thumbs", "thumb", "files_trashbin", "files_versions"),
    }
)
"""What network storage, Nextcloud, Windows, macOS and photo programs make for themselves."""
_ORDINARY = frozenset({"tmp", "trash", "extend", "snapshot", "snapshots", "recycle", "recycle.bin"})
"""Those of them that people name folders as well: only with a mark before them."""
_LIBRARIES = (".lrdata", ".photoslibrary", ".photolibrary", ".migratedphotolibrary", ".aplibrary")
"""The ends of the names of folders in which photo programs keep smaller copies; Apple's libraries
hold what was deleted or hidden in them, too, and nothing there tells it from the rest."""
_OF_NEXTCLOUD = "appdata_oc"
"""How the name of the folder begins where Nextcloud keeps previews, of private pictures too."""
_MARKS = "#@$~_"
"""What such programs put before their names, to be told from people's."""


class Found(NamedTuple):
    """A path below the folder, parts joined by `/`."""

    path: str
    ended: Ended | None = None
    """Its end, where it is known already; None: a file to be published."""


def files_below(root: Path, *, hidden: bool) -> Iterator[Found]:
    """Everything below a folder, in the order of names within each folder.

    Args:
        root: the folder.
        hidden: also go through what is hidden or of a system.
    """
    waiting: list[tuple[Found, bool]] = [(Found(""), True)]
    while waiting:
        found, is_folder = waiting.pop()
        if found.ended is not None or not is_folder:
            yield found
            continue
        try:
            waiting += _entries(root, found.path, hidden=hidden)
        except OSError as error:
            reason = f"the folder cannot be listed: {error.strerror or error}"
            yield Found(found.path or ".", (FileEnd.FAILED, reason))


def skipped_because(path: str) -> str:
    """Why a path is left out by default; blank if it is not."""
    parts = path.split("/")
    if any(part.startswith(".") for part in parts):
        return "it is hidden"
    if any(map(_is_of_a_system, parts)):
        return "it is of a system, or thumbnails"
    return ""


def _is_of_a_system(name: str) -> bool:
    word = name.strip().lower()
    bare = word.strip(_MARKS)
    if word.endswith(_LIBRARIES) or word.startswith(_OF_NEXTCLOUD):
        return True
    return bare in _OF_A_SYSTEM and (word != bare or bare not in _ORDINARY)


def _entries(root: Path, folder: str, *, hidden: bool) -> list[tuple[Found, bool]]:
    with os.scandir(root / folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name, reverse=True)
    return [_entry(entry, folder, hidden=hidden) for entry in entries]


def _entry(entry: os.DirEntry[str], folder: str, *, hidden: bool) -> tuple[Found, bool]:
    path = f"{folder}/{entry.name}" if folder else entry.name
    if not hidden and (reason := skipped_because(entry.name)):
        return Found(path, (FileEnd.SKIPPED, reason)), False
    if _is_linked_folder(entry):
        return Found(path, (FileEnd.SKIPPED, "a link to a folder is not followed")), False
    return Found(path), _is_folder(entry)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False  # then it cannot be read either, and reading says why


def _is_linked_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False
