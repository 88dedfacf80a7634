"""CSV with column names in its first line, read row by row."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from sightline.engine.regular_files import open_lines
from sightline.producers.tables.columns import Columns, ColumnsInvalid
from sightline.producers.tables.row import TableInvalid, TableRow


def read_csv(file: Path, columns: Columns) -> Iterator[TableRow]:
    """The rows below the header; lines without any cell are passed over.

    Raises:
        TableInvalid: no header, columns that cannot be placed, quotes that do not close.
        OSError, ValueError: the file cannot be read, is not UTF-8, or has an overlong line.
    """
    with open_lines(file, newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            names = columns.headed(next(reader, []))
            for cells in reader:
                if cells:
                    yield _row(reader.line_num, names, cells)
        except ColumnsInvalid as error:
            raise TableInvalid(f"{file}: line {reader.line_num or 1}: {error}") from error
        except csv.Error as error:
            raise TableInvalid(f"{file}: line {reader.line_num}: {error}") from error


def _row(number: int, names: list[str], cells: list[str]) -> TableRow:
    # A cell in quotes may go over several lines: the row is where it ends.
    if len(cells) != len(names):
        fault = f"has {len(cells)} cells, but the header names {len(names)} columns"
        return TableRow(number, {}, fault)
    pairs = zip(names, cells, strict=True)
    return TableRow(number, {name: cell for name, cell in pairs if name})
