"""What every reader of a table returns: one row, its place in the file, its cells or its fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sightline.engine.errors import PermanentError


class TableInvalid(PermanentError):
    """The file cannot be read as a table; the message names the file and says why."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a table: its place in the file, and its cells or what is wrong with it."""

    number: int
    """In CSV and JSON lines the line where the row ends, from 1; in Parquet the row, from 1."""
    cells: Mapping[str, Any]
    """By column name; absent cells and nulls are left out. Empty if there is a `fault`."""
    fault: str = ""
    """Why the cells cannot be told apart; blank if they can."""
