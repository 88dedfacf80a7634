"""A file of rows in, by its suffix; out each row with its place, and its cells or its fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sightline.producers.tables.columns import Columns
from sightline.producers.tables.csv_rows import read_csv
from sightline.producers.tables.json_rows import read_jsonl
from sightline.producers.tables.parquet_rows import read_parquet
from sightline.producers.tables.row import TableInvalid, TableRow

_READERS: dict[str, Callable[[Path, Columns], Iterator[TableRow]]] = {
    ".csv": read_csv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
}


def read_rows(file: Path, columns: Columns, formats: Sequence[str]) -> Iterator[TableRow]:
    """Every row of a file, the readable and the faulty.

    Args:
        file: named by its suffix, whatever its case.
        columns: those that it may and must have.
        formats: the suffixes that are read.

    Raises:
        TableInvalid: unreadable, of another format, or with columns that cannot be placed.
    """
    suffix = file.suffix.lower()
    if suffix not in formats:
        raise TableInvalid(f"{file}: a file of rows is one of {', '.join(formats)}")
    try:
        yield from _READERS[suffix](file, columns)
    except FileNotFoundError as error:
        raise TableInvalid(f"there is no file {file}") from error
    except OSError as error:
        raise TableInvalid(f"{file} cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # not UTF-8, or a file name that none can have
        raise TableInvalid(f"{file}: {error}") from error


def place_in(file: Path) -> str:
    """What a row's number counts in this file: `line` or `row`."""
    return "row" if file.suffix.lower() == ".parquet" else "line"
