"""What a core asks its shell to send, and in which order it may be said to be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from sightline.stream_workers.labels.done_epochs import DoneRange


class Destination(StrEnum):
    """Where a record goes; the shell knows the topics."""

    CLOSED = "closed"
    OMITTED = "omitted"
    TRIPLES = "triples"


class Outgoing(NamedTuple):
    """One record to send; `partition` None lets the key decide. A tuple, as there are many."""

    destination: Destination
    key: str
    value: bytes
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class SideRow:
    """Send this; when it is acknowledged, `settle(offset)`."""

    offset: int
    record: Outgoing


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Dead-letter the record at this offset; when that is acknowledged, `settle(offset)`."""

    offset: int
    value: bytes | None
    reason: str


@dataclass(frozen=True, slots=True)
class FinishedEpochs:
    """Send all `records()` and await them, then all `markers()` and await them, then `EpochDone`.

    When that is acknowledged, `finish(done)`. Both are made anew at each call, one by one, from
    what no later record changes: a shell may make them in another thread while it applies more.
    """

    done: DoneRange
    records: Callable[[], Iterator[Outgoing]]
    markers: Callable[[], Iterator[Outgoing]]


Effect = SideRow | Undecodable | FinishedEpochs


def nothing() -> Iterator[Outgoing]:
    """Yields no records, for effects that have no outputs."""
    return iter(())
