"""W3C trace context as a Kafka header: which trace a message belongs to."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable

HEADER = "traceparent"
_PATTERN = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16
_random = random.Random()  # noqa: S311 - names, no secrets
os.register_at_fork(after_in_child=_random.seed)  # else two processes name their spans alike


def new_traceparent() -> str:
    """A sampled trace of our own, with a first span."""
    return f"00-{_unlike_others(16)}-{_unlike_others(8)}-01"


def parse_traceparent(value: str) -> tuple[str, str] | None:
    """The (trace id, span id) of a header value; None: malformed, or all zeros."""
    match = _PATTERN.match(value.strip().lower())
    if match is None or match[1] == _NO_TRACE or match[2] == _NO_SPAN:
        return None
    return match[1], match[2]


def child_traceparent(parent: str | None) -> str:
    """The same trace with a new span; a new trace where there is no valid parent."""
    parsed = parse_traceparent(parent) if parent else None
    if parsed is None:
        return new_traceparent()
    return f"00-{parsed[0]}-{_unlike_others(8)}-01"


def traceparent_of(headers: Iterable[tuple[str, bytes]]) -> str | None:
    """The valid traceparent among a message's headers, else None."""
    for name, value in headers:
        text = value.decode("ascii", errors="replace")
        if name.lower() == HEADER and parse_traceparent(text) is not None:
            return text.strip().lower()
    return None


def traceparent_header(traceparent: str) -> tuple[str, bytes]:
    """Encodes a traceparent as the header of a Kafka message."""
    return HEADER, traceparent.encode("ascii")


def _unlike_others(count: int) -> str:
    """So many bytes in hex, never all zeros, which would be no trace.

    They name and keep nothing secret, so the system need not make them: a thread that asks it lets
    go of the interpreter's lock, and waits for it among all that are busy.
    """
    return f"{_random.getrandbits(8 * count) or 1:0{2 * count}x}"
