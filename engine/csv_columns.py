"""A CSV file of known columns in, its rows out, or one sentence on why it is none."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from sightline.engine.regular_files import open_lines


def read_columns(
    file: Path, columns: Sequence[str], optional: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """The cells of these columns, row by row; other columns and empty lines are passed over.

    Args:
        file: with one line that names the columns, then the rows.
        columns: that must be there.
        optional: come after them in each row; a cell is empty where its column is missing.

    Raises:
        OSError: missing, unreadable, or not a regular file.
        ValueError: no UTF-8, no CSV, a column that is missing or there twice, a row that is longer
            or shorter than the header, or an overlong line.
    """
    with open_lines(file, newline="") as lines:
        rows = csv.reader(lines, strict=True)
        try:
            return list(_rows(rows, next(rows, []), columns, optional))
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num}: {error}") from error


def _rows(
    rows: Iterator[list[str]], header: list[str], columns: Sequence[str], optional: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    if any(header.count(column) != 1 for column in columns):
        raise ValueError(f"its first line must name each of {', '.join(columns)} once")
    if any(header.count(column) > 1 for column in optional):
        raise ValueError(f"its first line names one of {', '.join(optional)} twice")
    missing = len(header)
    places = [header.index(column) for column in columns]
    places += [header.index(column) if column in header else missing for column in optional]
    for number, cells in enumerate(rows, start=1):
        if cells and len(cells) != len(header):
            raise ValueError(f"row {number} has {len(cells)} cells, not {len(header)}")
        if cells:
            yield tuple([*cells, ""][place] for place in places)
