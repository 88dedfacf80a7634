"""The names that a file gives its columns, matched with the names that its reader knows.

A name that is not recognised is never dropped in silence: the column may be the one that says
who may see a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class ColumnsInvalid(ValueError):
    """The columns cannot be told apart or are not known; the message names the column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns a table may and must have."""

    known: frozenset[str]
    """Lower-case names."""
    required: frozenset[str]
    """Names that a CSV or Parquet file must have."""
    others_allowed: bool
    """Whether columns of further names are passed over; if not, they are refused."""

    def placed(self, given: Iterable[object]) -> list[str]:
        """The known name of each given one, blank for a column that is passed over.

        Blanks around a name and its case make no difference.

        Raises:
            ColumnsInvalid: a name is unknown and may not be passed over, or is there twice.
        """
        names: list[str] = []
        for place, one in enumerate(given, start=1):
            name = self._placed(place, one)
            if name and name in names:
                raise ColumnsInvalid(f"column {name!r} is there twice")
            names.append(name)
        return names

    def headed(self, given: Sequence[object]) -> list[str]:
        """Does what `placed` does for a header, which must name all required columns.

        Raises:
            ColumnsInvalid: as `placed`, or a required column is missing.
        """
        present = {_normal(one) for one in given}
        if missing := ", ".join(sorted(self.required - present)):
            raise ColumnsInvalid(
                f"the first line must name the columns (in Parquet the schema); missing: {missing}"
            )
        return self.placed(given)

    def _placed(self, place: int, given: object) -> str:
        name = _normal(given)
        if name in self.known:
            return name
        if self.others_allowed:
            return ""
        if not name:
            raise ColumnsInvalid(f"column {place} has no name; name it or remove it")
        known = ", ".join(sorted(self.known))
        raise ColumnsInvalid(
            f"column {str(given)[:80]!r} is not known; known are {known}: rename or remove it"
        )


def _normal(given: object) -> str:
    return str(given).strip().lower()
