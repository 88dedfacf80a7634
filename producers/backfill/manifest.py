"""A backfill's manifest: CSV, JSON lines or Parquet in, one `ManifestRow` an image out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from sightline.engine.errors import PermanentError
from sightline.producers.tables.columns import Columns
from sightline.producers.tables.row import TableInvalid, TableRow
from sightline.producers.tables.rows import place_in, read_rows
from sightline.schemas import strict_json
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import (
    AddressableId,
    Attributes,
    Id,
    OwnerId,
    OwnerVersion,
    Tags,
    Visibility,
)

FORMATS = (".csv", ".jsonl", ".parquet")
_TAG_SEPARATOR = "|"
_MAX_DIGITS = 16  # of a version, which is below 2**53


class ManifestInvalid(PermanentError):
    """The manifest cannot be used; the message names file, line, column and reason."""


def _word(value: object) -> object:
    """Without the blanks around it; None for a blank cell."""
    return value.strip() or None if isinstance(value, str) else value


def _lower_word(value: object) -> object:
    word = _word(value)
    return word.lower() if isinstance(word, str) else word


def _path(value: object) -> object:
    if isinstance(value, str) and not value.strip():
        raise ValueError("it is blank")
    return value


def _tags(value: object) -> object:
    if isinstance(value, str):
        return tuple(tag.strip() for tag in value.split(_TAG_SEPARATOR) if tag.strip())
    if value is None:
        return ()
    return tuple(value) if isinstance(value, list) else value


def _attributes(value: object) -> object:
    if isinstance(value, str) and value.strip():
        return strict_json.loads(value)
    return {} if value is None or isinstance(value, str) else value


def _number(value: object) -> object:
    word = _word(value)
    if isinstance(word, str) and word.isascii() and word.isdigit() and len(word) <= _MAX_DIGITS:
        return int(word)
    return word


class ManifestRow(BaseModel):
    """One image of a manifest; a column that is absent or blank keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Annotated[str, BeforeValidator(_path)]
    """Relative to the directory or prefix that is backfilled."""
    image_id: Annotated[AddressableId | None, BeforeValidator(_word)] = None
    """None: derived from the path."""
    tags: Annotated[Tags, BeforeValidator(_tags)] = ()
    """In CSV separated by `|`."""
    owner: Annotated[OwnerId | None, BeforeValidator(_word)] = None
    visibility: Annotated[Visibility | None, BeforeValidator(_lower_word)] = None
    """None: what the command says, else private."""
    version: Annotated[OwnerVersion | None, BeforeValidator(_number)] = None
    """Given for all rows or for none: it makes the images `owner`'s."""
    group_id: Annotated[Id | None, BeforeValidator(_word)] = None
    attributes: Annotated[Attributes, BeforeValidator(_attributes)] = {}
    """In CSV as JSON."""


COLUMNS = Columns(
    known=frozenset(ManifestRow.model_fields), required=frozenset({"path"}), others_allowed=False
)
"""A column of any other name is refused: it could be a misspelt `visibility`."""


def read_manifest(file: Path) -> list[ManifestRow]:
    """All rows of a manifest, checked before anything is published.

    Raises:
        ManifestInvalid: unreadable, of another format, a column that is unknown or there twice, a
            row that is short, long or out of bounds, a path or id twice, versions in some rows
            only, or Parquet without pyarrow.
    """
    try:
        rows = [_row(file, raw) for raw in read_rows(file, COLUMNS, FORMATS)]
    except TableInvalid as error:
        raise ManifestInvalid(str(error)) from error
    _refuse_duplicates(file, "path", [row.path for row in rows])
    _refuse_duplicates(file, "image_id", [row.image_id for row in rows if row.image_id])
    if len({row.version is None for row in rows}) > 1:
        raise ManifestInvalid(f"{file}: version is given in some rows only; give it in all or none")
    return rows


def _row(file: Path, raw: TableRow) -> ManifestRow:
    place = f"{file}: {place_in(file)} {raw.number}"
    if raw.fault:
        raise ManifestInvalid(f"{place} {raw.fault}")
    try:
        return ManifestRow.model_validate(raw.cells)
    except ValidationError as error:
        raise ManifestInvalid(f"{place}: {ContractError.of(error)}") from error


def _refuse_duplicates(file: Path, column: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ManifestInvalid(f"{file}: {column} {value!r} is there twice")
        seen.add(value)
