"""Whole milliseconds since 1970, from RFC 3339 text, cut, and back: as text, or as `datetime`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_LAST_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MS
_LENGTHS = frozenset({20, 24, 27})


class UnusualTime(ValueError):
    """An instant in a form that only the slow decoder reads."""


def parsed_milliseconds(text: str) -> int:
    """Parses `2026-03-01T12:00:00[.123[456]]Z`, the form that every publisher of ours writes.

    Raises:
        UnusualTime: any other form, valid or not.
    """
    usual = (
        len(text) in _LENGTHS
        and text[-1] == "Z"
        and text[4] == text[7] == "-"
        and text[10] == "T"
        and text[13] == text[16] == ":"
    )
    if not usual:
        raise UnusualTime(text)
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MS
    except ValueError as error:
        raise UnusualTime(text) from error


def moment(instant_ms: int) -> datetime:
    """The instant as a `datetime` in UTC, exact to the millisecond; the last one for any later."""
    return _EPOCH + min(instant_ms, _LAST_MS) * _MS


def text(instant_ms: int) -> str:
    """The usual form of an instant, to the millisecond."""
    return moment(instant_ms).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
