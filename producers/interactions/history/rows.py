"""A site's own log of searches and clicks: CSV or Parquet in, checked rows out."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic import ValidationError as Invalid

from sightline.engine.errors import PermanentError
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Finite, Id, ImageId, PerceptualHash, SearchId, Time
from sightline.schemas.interactions import DAY_MS
from sightline.schemas.searches import MAX_SHOWN

FORMATS = (".csv", ".parquet")
_BATCH_ROWS = 10_000
_UTC_MS = 1_000


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


def _time(value: object) -> object:
    """Milliseconds since 1970, also as text; anything else is RFC 3339."""
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("a time without its zone")
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.isascii() and text.isdigit():
        text = int(text)
    if isinstance(text, int) and not isinstance(text, bool):
        try:
            return datetime.fromtimestamp(text / _UTC_MS, UTC)
        except (OverflowError, ValueError, OSError):
            raise ValueError("not milliseconds since 1970") from None
    return text


def _to_millisecond(moment: datetime) -> datetime:
    cut = moment.astimezone(UTC)
    return cut.replace(microsecond=cut.microsecond // 1_000 * 1_000)


Span = Annotated[int, Field(ge=0, le=DAY_MS)]


class Row(BaseModel):
    """One line of the log; a column that is absent or blank keeps its default."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    time: Annotated[Time, BeforeValidator(_time), AfterValidator(_to_millisecond)]
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
    position: Annotated[int, Field(ge=1, le=MAX_SHOWN)] | None = None
    """None, with `shown`: in the order of the rows."""
    score: Finite | None = None
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
    def _whole(self) -> Row:
        if self.event is Said.SHOWN:
            if self.anchor_id is None:
                raise ValueError("a row `shown` needs an anchor_id")
            if self.session_id is None and self.user_id is None:
                raise ValueError("a row `shown` needs a session_id or a user_id")
        elif self.image_id is None:
            raise ValueError(f"a row `{self.event}` needs an image_id")
        return self


@dataclass(frozen=True, slots=True)
class RowRefused:
    """A row that cannot be taken."""

    number: int
    """Of CSV the line of the file, of which the first has the column names; of Parquet the row."""
    reason: str


@dataclass(frozen=True, slots=True)
class Numbered:
    """A row and where it stands."""

    number: int
    row: Row


def read_log(file: Path, *, now: datetime) -> tuple[list[Numbered], list[RowRefused]]:
    """All rows of a log, the good and the refused.

    Args:
        file: `.csv` with column names in its first line, or `.parquet`.
        now: rows later than this are refused.

    Raises:
        LogInvalid: unreadable, of another format, without rows, or Parquet without pyarrow.
    """
    good: list[Numbered] = []
    refused: list[RowRefused] = []
    for number, raw in _raw_rows(file):
        try:
            row = Row.model_validate(_present(raw))
        except Invalid as error:
            refused.append(RowRefused(number, str(ContractError.of(error))))
            continue
        if row.time > now:
            refused.append(RowRefused(number, "time: in the future"))
        else:
            good.append(Numbered(number, row))
    if not good and not refused:
        raise LogInvalid(f"{file}: there are no rows")
    return good, refused


def _present(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What is neither null nor blank; CSV knows no other way to leave a column out."""
    return {
        name: value
        for name, value in raw.items()
        if name and value is not None and not (isinstance(value, str) and not value.strip())
    }


def _raw_rows(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise LogInvalid(f"{file}: a log is one of {', '.join(FORMATS)}")
    try:
        yield from reader(file)
    except FileNotFoundError as error:
        raise LogInvalid(f"there is no file {file}") from error
    except OSError as error:
        raise LogInvalid(f"{file} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise LogInvalid(f"{file}: {error}") from error


def _read_csv(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        missing = {"time", "event", "search_id"} - set(reader.fieldnames or ())
        if missing:
            names = ", ".join(sorted(missing))
            raise LogInvalid(f"{file}: the first line must name the columns; missing: {names}")
        # A cell in quotes may go over several lines: the row is where it ends.
        yield from ((reader.line_num, row) for row in reader)


def _read_parquet(file: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        # pyarrow is 40 MB that a service which only publishes can do without.
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise LogInvalid(f"{file}: Parquet needs pyarrow: install it, or give CSV") from error
    try:
        with parquet.ParquetFile(file) as opened:
            batches = opened.iter_batches(batch_size=_BATCH_ROWS)
            rows = chain.from_iterable(batch.to_pylist() for batch in batches)
            yield from enumerate(rows, start=1)
    except pa.ArrowException as error:
        raise LogInvalid(f"{file}: {error}") from error
