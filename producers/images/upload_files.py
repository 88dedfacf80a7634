"""`sightline upload FILE…`: single files, live, each acknowledged or with the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from pydantic import ValidationError

from sightline.engine.errors import SightlineError
from sightline.engine.pictures.formats.signature import NO_PICTURE, sniff
from sightline.engine.regular_files import OverBound, read_bounded
from sightline.engine.settings import DecodeSettings
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.content_types import content_type_of
from sightline.producers.images.ids import new_id
from sightline.producers.images.published import Published
from sightline.producers.images.states import ImageFacts
from sightline.schemas.envelope import ContractError


@dataclass(frozen=True, slots=True, kw_only=True)
class FileUploaded:
    """How the upload of one file ended: published, or the reason why not."""

    file: Path
    published: Published | None
    """None: it failed."""
    reason: str = ""


def upload_files(
    catalogued: CataloguedImages,
    files: Sequence[Path],
    *,
    image_id: str | None = None,
    max_bytes: int = DecodeSettings().max_bytes,
    progress: Callable[[FileUploaded], object] | None = None,
    **facts: Unpack[ImageFacts],
) -> list[FileUploaded]:
    """Upload files one after the other; one that fails does not stop the others.

    A file that does not begin like a picture is not published; whether one that does can be
    decoded, the worker finds out.

    Args:
        catalogued: counts the versions.
        files: pictures.
        image_id: of a single file; none: a new id each, so a repeat makes a second image.
        max_bytes: a larger file is refused without being read, as the worker would.
        progress: told after each file.
        facts: what is said of all of them.

    Raises:
        ValueError: an image id for several files.
    """
    if image_id is not None and len(files) != 1:
        raise ValueError("an image id goes with exactly one file")
    ends: list[FileUploaded] = []
    for file in files:
        end = _upload(catalogued, file, image_id or new_id(), max_bytes, facts)
        ends.append(end)
        if progress is not None:
            progress(end)
    return ends


def _upload(
    catalogued: CataloguedImages, file: Path, image_id: str, max_bytes: int, facts: ImageFacts
) -> FileUploaded:
    try:
        data = _picture(file, max_bytes)
        kind = content_type_of(file.name)
        written = catalogued.put(image_id, data, content_type=kind, **facts)
        return FileUploaded(file=file, published=written)
    except ValidationError as error:
        return FileUploaded(file=file, published=None, reason=str(ContractError.of(error)))
    except (SightlineError, _NotUploaded) as error:
        return FileUploaded(file=file, published=None, reason=str(error))


class _NotUploaded(Exception):
    """A file that is not worth an upload; the message says why."""


def _picture(file: Path, max_bytes: int) -> bytes:
    try:
        data = read_bounded(file, max_bytes)
    except OverBound as error:
        raise _NotUploaded(str(error)) from error
    except OSError as error:
        raise _NotUploaded(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a name that no file can have
        raise _NotUploaded(f"cannot be read: {error}") from error
    if not data:
        raise _NotUploaded("it is empty")
    if sniff(data) is None:
        raise _NotUploaded(f"it is {NO_PICTURE}")
    return data
