"""JSON lines: one object a line, its keys the columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sightline.engine.regular_files import open_lines
from sightline.producers.tables.columns import Columns
from sightline.producers.tables.row import TableRow
from sightline.schemas import strict_json


def read_jsonl(file: Path, columns: Columns) -> Iterator[TableRow]:
    """One row for each line that is not blank.

    Raises:
        OSError, ValueError: the file cannot be read, is not UTF-8, or has an overlong line.
    """
    with open_lines(file) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _row(number, line, columns)


def _row(number: int, line: str, columns: Columns) -> TableRow:
    try:
        read = strict_json.loads(line)
        if not isinstance(read, dict):
            return TableRow(number, {}, "is not a JSON object")
        names = columns.placed(read)
    except ValueError as error:
        return TableRow(number, {}, str(error))
    pairs = zip(names, read.values(), strict=True)
    cells = {name: value for name, value in pairs if name and value is not None}
    return TableRow(number, cells)
