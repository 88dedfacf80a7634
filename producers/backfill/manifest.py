"""A backfill's manifest: CSV, JSON lines or Parquet in, one `Row` an image out."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from sightline.engine.errors import PermanentError
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import (
    AddressableId,
    Attributes,
    Id,
    OwnerId,
    Tags,
    Version,
    Visibility,
)

FORMATS = (".csv", ".jsonl", ".parquet")
_TAG_SEPARATOR = "|"


class ManifestInvalid(PermanentError):
    """The manifest cannot be used; the message names file, row, column and reason."""


def _blank_is_absent(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _tags(value: object) -> object:
    if isinstance(value, str):
        return tuple(tag.strip() for tag in value.split(_TAG_SEPARATOR) if tag.strip())
    return tuple(value) if isinstance(value, list) else value or ()


def _attributes(value: object) -> object:
    if isinstance(value, str) and value.strip():
        return json.loads(value)
    return value or {}


def _number(value: object) -> object:
    text = _blank_is_absent(value)
    return int(text) if isinstance(text, str) else text


class Row(BaseModel):
    """One image of a manifest; a column that is absent or blank keeps its default."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    """Relative to the directory or prefix that is backfilled."""
    image_id: Annotated[AddressableId | None, BeforeValidator(_blank_is_absent)] = None
    """None: derived from the path."""
    tags: Annotated[Tags, BeforeValidator(_tags)] = ()
    """In CSV separated by `|`."""
    owner: Annotated[OwnerId | None, BeforeValidator(_blank_is_absent)] = None
    visibility: Annotated[Visibility | None, BeforeValidator(_blank_is_absent)] = None
    """None: what the command says, else private."""
    version: Annotated[Version | None, BeforeValidator(_number)] = None
    """Given for all rows or for none: it makes the images `owner`'s."""
    group_id: Annotated[Id | None, BeforeValidator(_blank_is_absent)] = None
    attributes: Annotated[Attributes, BeforeValidator(_attributes)] = {}
    """In CSV as JSON."""


def read_manifest(file: Path) -> list[Row]:
    """All rows of a manifest, checked before anything is published.

    Raises:
        ManifestInvalid: unreadable, of another format, a row out of bounds, a path or id twice,
            versions in some rows only, or Parquet without pyarrow.
    """
    rows = [_row(file, number, raw) for number, raw in enumerate(_raw_rows(file), start=1)]
    _refuse_duplicates(file, "path", [row.path for row in rows])
    _refuse_duplicates(file, "image_id", [row.image_id for row in rows if row.image_id])
    if len({row.version is None for row in rows}) > 1:
        raise ManifestInvalid(f"{file}: version is given in some rows only; give it in all or none")
    return rows


def _row(file: Path, number: int, raw: Mapping[str, Any]) -> Row:
    present = {name: value for name, value in raw.items() if name and value is not None}
    try:
        return Row.model_validate(present)
    except ValidationError as error:
        raise ManifestInvalid(f"{file}: row {number}: {ContractError.of(error)}") from error


def _raw_rows(file: Path) -> Iterable[Mapping[str, Any]]:
    readers = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ManifestInvalid(f"{file}: a manifest is one of {', '.join(FORMATS)}")
    try:
        return list(reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestInvalid(f"{file}: {error}") from error


def _read_csv(file: Path) -> Iterator[Mapping[str, Any]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        if "path" not in (reader.fieldnames or ()):
            raise ManifestInvalid(
                f"{file}: the first line must name the columns, `path` among them"
            )
        yield from reader


def _read_jsonl(file: Path) -> Iterator[Mapping[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ManifestInvalid(f"{file}: line {number}: {error}") from error
            if not isinstance(row, dict):
                raise ManifestInvalid(f"{file}: line {number} is not a JSON object")
            yield row


def _read_parquet(file: Path) -> Iterator[Mapping[str, Any]]:
    try:
        # pyarrow is 40 MB that a service which only publishes can do without.
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise ManifestInvalid(
            f"{file}: Parquet needs pyarrow: install it, or give the manifest as CSV or JSON lines"
        ) from error
    try:
        yield from parquet.read_table(file).to_pylist()
    except pa.ArrowException as error:
        raise ManifestInvalid(f"{file}: {error}") from error


def _refuse_duplicates(file: Path, column: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ManifestInvalid(f"{file}: {column} {value!r} is there twice")
        seen.add(value)
