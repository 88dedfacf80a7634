"""What a stage of the index worker wants to happen next: the values that its router carries out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.engine.records import IndexedImage
from sightline.schemas.indexed import Lane, Outcome, StageTimes
from sightline.stream_workers.indexing.task import Fetched, ImageTask, Judged, Planned, Polled


@dataclass(frozen=True, slots=True)
class Plan:
    """Take in what was polled of a lane, and plan it together."""

    lane: Lane
    polled: Sequence[Polled]


@dataclass(frozen=True, slots=True)
class Hide:
    """Take the image out of the results at once, before anything is known of its bytes."""

    task: ImageTask


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read the task's object, `after_s` seconds from now; until then it waits without bytes."""

    task: ImageTask
    attempts: int = 0
    """How often it was tried to read the object."""
    missing_since_s: float | None = None
    """Monotonic second of the first look that found the object missing or different."""
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class FetchNow:
    """Let every read that was put off be tried now: the store answers again."""


@dataclass(frozen=True, slots=True)
class Embed:
    """Decode and embed the bytes, unless equal ones are embedded already or are about to be."""

    fetched: Fetched


@dataclass(frozen=True, slots=True)
class Share:
    """Write the task with the verdict on its bytes, and all who wait for equal bytes likewise."""

    judged: Judged


@dataclass(frozen=True, slots=True)
class Write:
    """Write the task's final state, if it is not settled, and learn how it stands in the index."""

    judged: Judged
    settled: bool = False
    """Whether the index was at or past it when it was planned: nothing to write."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let it wait, without its bytes, for another event, whose end or verdict gives it back."""

    item: Polled | Planned


@dataclass(frozen=True, slots=True)
class Again:
    """Plan it again, `after_s` seconds from now: what it was planned by has changed."""

    item: Planned
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Applied:
    """An ending: the index is at or past the event."""

    judged: Judged
    outcome: Outcome
    stored: IndexedImage
    times: StageTimes
    repeated: bool = False
    """Whether the event had been applied before this delivery of it."""


@dataclass(frozen=True, slots=True)
class Unforeseen:
    """An ending: something that nobody foresaw, or a broken contract; a dead letter is sent."""

    stage: str
    error: BaseException


@dataclass(frozen=True, slots=True)
class Expired:
    """An ending: a Kafka null, so the image's tombstone has passed its retention."""


@dataclass(frozen=True, slots=True)
class End:
    """The record has had its effect: tell what became of it, and let its offset be committed."""

    item: Polled | ImageTask
    ending: Applied | Unforeseen | Expired


Move = Plan | Hide | Fetch | FetchNow | Embed | Share | Write | Wait | Again | End
