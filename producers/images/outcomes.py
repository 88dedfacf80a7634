"""What became of published images: waits for the index worker's answer, read from the log."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sightline.engine.event_log.events import events_in
from sightline.engine.ports import Clock, EventLog
from sightline.producers.images.published import Published
from sightline.schemas.envelope import EventData
from sightline.schemas.indexed import ImageIndexed, ImageRejected, Outcome
from sightline.schemas.topics import IMAGES_INDEXED

SKEW = timedelta(minutes=1)
"""How far the clocks of those who append to the log may differ."""
APPLIED = frozenset({Outcome.INDEXED, Outcome.HIDDEN, Outcome.SUPERSEDED, Outcome.DELETED})
"""Ends that are what was asked for, or what a later change made of it."""
_BATCH = 500
_POLL_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedVersion:
    """How one published version ended: what the index worker made of it, and when."""

    published: Published
    outcome: Outcome
    reason: str = ""
    """Why it was rejected, for a person; empty if it was not."""
    freshness: timedelta | None = None
    """From the log to where searches see it; None: it skipped that."""

    @property
    def applied(self) -> bool:
        """Whether the index has it as asked, or has a higher version."""
        return self.outcome in APPLIED


def await_outcomes(
    log: EventLog,
    published: Sequence[Published],
    *,
    timeout_s: float,
    clock: Clock,
    told: Callable[[EndedVersion], object] | None = None,
) -> list[EndedVersion]:
    """Read outcomes until every version has one or the time is over; those that came, in order.

    What was published long ago has its outcome already: it is looked for from then on, as far as
    the topic goes back.

    Args:
        log: where outcomes are told.
        published: what to wait for; versions, not images.
        timeout_s: for all of them.
        clock: the time.
        told: called at each end, as it comes.

    Raises:
        PartUnavailable: the broker did not answer.
    """
    open_ends = {(one.image_id, one.version): one for one in published}
    if not open_ends:
        return []
    deadline = clock.monotonic() + timeout_s
    since = min(one.appended for one in published) - SKEW
    starts = log.offsets_since(IMAGES_INDEXED.name, since)
    follower = log.follow(IMAGES_INDEXED.name, starts, group=f"outcomes-{uuid.uuid4().hex}")
    ended: list[EndedVersion] = []
    try:
        while open_ends and clock.monotonic() < deadline:
            for _, event in events_in(follower.poll(_BATCH, _POLL_S)):
                end = _end_of(event.data, open_ends)
                if end is not None:
                    ended.append(end)
                    if told is not None:
                        told(end)
    finally:
        follower.close()
    return ended


def _end_of(data: EventData, open_ends: dict[tuple[str, int], Published]) -> EndedVersion | None:
    """The first outcome of a version that is waited for; repeats are of no interest."""
    if not isinstance(data, ImageIndexed | ImageRejected):
        return None
    published = open_ends.pop((data.image_id, data.version), None)
    if published is None:
        return None
    times = data.times
    return EndedVersion(
        published=published,
        outcome=data.outcome,
        reason=f"{data.reason}: {data.message}" if isinstance(data, ImageRejected) else "",
        freshness=None if times.searchable is None else times.searchable - times.appended,
    )
