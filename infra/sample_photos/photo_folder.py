"""The demo's photos: a folder that is there, or one filled with drawn pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sightline.engine.errors import SettingsInvalid
from sightline.infra.sample_photos.synthetic_photos import synthetic_photos
from sightline.producers.backfill.files import SUFFIXES, has_image_suffix
from sightline.producers.backfill.tree import files_below

DRAWN_PHOTOS = 600


class PhotoFolder:
    """The pictures of a folder that a backfill of it publishes, by path, subfolders included.

    Raises:
        SettingsInvalid: it is no folder, or holds no pictures.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise SettingsInvalid(f"{path} is not a folder: PHOTOS=… names a folder of photos")
        self.path = path
        self._files = sorted(
            path / found.path
            for found in files_below(path, hidden=False)
            if found.ended is None
            and has_image_suffix(found.path)
            and (path / found.path).is_file()
        )
        if not self._files:
            raise SettingsInvalid(f"{path} holds no pictures ({', '.join(sorted(SUFFIXES))})")

    def __len__(self) -> int:
        return len(self._files)

    def relative_files(self) -> Iterator[Path]:
        """Lists the path of each picture, relative to the folder."""
        return (file.relative_to(self.path) for file in self._files)

    def sample(self, number: int) -> bytes:
        """The bytes of one picture; numbers past the end start again."""
        return self._files[number % len(self._files)].read_bytes()


def synthetic_folder(path: Path, count: int = DRAWN_PHOTOS) -> PhotoFolder:
    """A folder of drawn pictures: the same ones whenever it is called, also in a folder of them."""
    path.mkdir(parents=True, exist_ok=True)
    for photo in synthetic_photos(count):
        (path / photo.name).write_bytes(photo.jpeg)
    return PhotoFolder(path)
