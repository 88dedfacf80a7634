"""A site's own log of searches and clicks: CSV or Parquet in, checked rows out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic import ValidationError as Invalid

from sightline.engine.errors import PermanentError
from sightline.producers.tables.columns import Columns
from sightline.producers.tables.row import TableInvalid, TableRow
from sightline.producers.tables.rows import read_rows
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Finite, Id, ImageId, PerceptualHash, SearchId, Time
from sightline.schemas.interactions import DAY_MS
from sightline.schemas.searches import MAX_SHOWN

FORMATS = (".csv", ".parquet")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DIGITS = 19  # of nanoseconds: told as such, not as text


class LogInvalid(PermanentError):
    """The file cannot be used; the message says why."""


class Said(StrEnum):
    """What a row tells: an image on a page, or what was done with it."""

    SHOWN = "shown"
    CLICKED = "clicked"
    LIKED = "liked"
    SHARED = "shared"
    CONVERTED = "converted"
    VIEWED = "viewed"


_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
)
_FIRST = datetime(2000, 1, 1, tzinfo=UTC)
"""No log of searches for pictures is older: what is earlier is a wrong clock or unit. One such row
would give every partition a tick of its time."""
_OF_NO_YEAR = "not a time between the years 2000 and 9999"
_MILLISECONDS = range(946_684_800_000, 253_402_300_800_000)
"""From the year 2000 to 9999. What is lower counts seconds, or is no time. What is higher counts
micro- or nanoseconds."""


def _time(value: object) -> datetime:
    """An instant of RFC 3339 with its zone, or of whole milliseconds since 1970; cut to those."""
    moment = _moment(value.strip() if isinstance(value, str) else value)
    try:
        cut = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(_OF_NO_YEAR) from None
    if cut < _FIRST:
        raise ValueError(_OF_NO_YEAR)
    return cut.replace(microsecond=cut.microsecond // 1_000 * 1_000)


def _moment(value: object) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("a time without its zone")
        return value
    if isinstance(value, str) and _RFC_3339.fullmatch(value):
        return datetime.fromisoformat(value.upper())
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if value in _MILLISECONDS:
            return _EPOCH + timedelta(milliseconds=value)
        raise ValueError("milliseconds since 1970 of no year from 2000 on; are these seconds?")
    raise ValueError(
        "neither RFC 3339 with its zone (2026-03-01T12:00:00Z) nor whole milliseconds since 1970"
    )


_DIGITS = re.compile(r"\d{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


def _whole(value: object) -> object:
    """A whole number: text in digits, or a number of Parquet, also one that blanks made a float."""
    if isinstance(value, str):
        value = value.strip()
        if _DIGITS.fullmatch(value) is None:
            raise ValueError("not a whole number in digits")
    return _no_truth(value)


def _decimal(value: object) -> object:
    """A number: text in digits with a point, or a number of Parquet."""
    if isinstance(value, str):
        value = value.strip()
        if _DECIMAL.fullmatch(value) is None:
            raise ValueError("not a number in digits, with a point where it is not whole")
    return _no_truth(value)


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(  # noqa: TRY004 (pydantic takes this one for a refusal)
            f"{str(value).lower()} is no number"
        )
    return value


WholeNumber = BeforeValidator(_whole)
Span = Annotated[int, WholeNumber, Field(ge=0, le=DAY_MS)]


class HistoryRow(BaseModel):
    """One line of the log; a column that is absent or blank keeps its default."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    time: Annotated[Time, BeforeValidator(_time)]
    """When: RFC 3339 with its zone, or milliseconds since 1970."""
    event: Said
    search_id: SearchId
    session_id: Id | None = None
    user_id: Annotated[str, Field(max_length=256)] | None = None
    """Becomes a pseudonym."""
    anchor_id: ImageId | None = None
    """The image that was searched by; only where `event` is `shown`."""
    image_id: ImageId | None = None
    """None, with `shown`: the page was empty."""
    position: Annotated[int, WholeNumber, Field(ge=1, le=MAX_SHOWN)] | None = None
    """None, with `shown`: in the order of the rows."""
    score: Annotated[Finite, BeforeValidator(_decimal)] | None = None
    """None: falls with the position."""
    perceptual_hash: PerceptualHash | None = None
    """None: as if the image looked like no other."""
    anchor_perceptual_hash: PerceptualHash | None = None
    model: Annotated[str, Field(max_length=128)] | None = None
    variant: Id | None = None
    event_id: Id | None = None
    """None: derived from the row."""
    in_view_ms: Span | None = None
    dwell_ms: Span | None = None

    @model_validator(mode="after")
    def _complete(self) -> HistoryRow:
        if self.event is Said.SHOWN:
            if self.anchor_id is None:
                raise ValueError("a row `shown` needs an anchor_id")
            if self.session_id is None and self.user_id is None:
                raise ValueError("a row `shown` needs a session_id or a user_id")
        elif self.image_id is None:
            raise ValueError(f"a row `{self.event}` needs an image_id")
        return self


COLUMNS = Columns(
    known=frozenset(HistoryRow.model_fields),
    required=frozenset({"time", "event", "search_id"}),
    others_allowed=True,
)
"""A site's log has columns of its own, which say nothing to us."""


@dataclass(frozen=True, slots=True)
class RowRefused:
    """A row that cannot be imported, where it stands, and why."""

    number: int
    """In CSV the line of the file, of which the first has the column names; in Parquet the row."""
    reason: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """A row that can be imported, and where it stands in the file."""

    number: int
    row: HistoryRow


def read_log(file: Path, *, now: datetime) -> tuple[list[Numbered], list[RowRefused]]:
    """All rows of a log, the good and the refused.

    Args:
        file: `.csv` with column names in its first line, or `.parquet`.
        now: rows later than this are refused.

    Raises:
        LogInvalid: unreadable, of another format, a column there twice, without rows, or Parquet
            without pyarrow.
    """
    good: list[Numbered] = []
    refused: list[RowRefused] = []
    try:
        for raw in read_rows(file, COLUMNS, FORMATS):
            one = _checked(raw, now)
            good.append(one) if isinstance(one, Numbered) else refused.append(one)
    except TableInvalid as error:
        raise LogInvalid(str(error)) from error
    if not good and not refused:
        raise LogInvalid(f"{file}: there are no rows")
    return good, refused


def _checked(raw: TableRow, now: datetime) -> Numbered | RowRefused:
    if raw.fault:
        return RowRefused(raw.number, raw.fault)
    try:
        row = HistoryRow.model_validate(_present(raw.cells))
    except Invalid as error:
        return RowRefused(raw.number, str(ContractError.of(error)))
    if row.time > now:
        return RowRefused(raw.number, "time: in the future")
    return Numbered(raw.number, row)


def _present(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The cells that are not blank; CSV knows no other way to leave a column out."""
    return {
        name: value for name, value in raw.items() if not isinstance(value, str) or value.strip()
    }
