"""Erasures and hidden images out of the log: what takes triples back, and from which instant.

A search issued before the instant is hit (docs/labels.md, 17). An erasure's instant is its
`erased_at`, an image event's its time, neither later than the record's timestamp + L. An image
whose newest version hides it is hit up to the moment at which the log had that version.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sightline.engine.event_log.events import events_in
from sightline.engine.records import Message
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Moderation
from sightline.schemas.images import ImageDeleted, ImageState, hiding_rank
from sightline.schemas.interactions import UserErased
from sightline.schemas.labels import RetractionCause
from sightline.schemas.moderation import ImageModerated

_WORDS = ("user.erased", "image.uploaded", "image.changed", "image.deleted", "image.moderated")
"""Most records of the interactions hold none of them."""


_OfImage = Event[ImageState] | Event[ImageModerated]


@dataclass(frozen=True, slots=True)
class RetractingEvent:
    """An event that takes back triples of the searches answered before the instant `before`."""

    kind: RetractionCause
    event_id: str
    before: datetime


@dataclass(frozen=True, slots=True)
class TripleSubject:
    """Whom and what a triple is about."""

    issued_at: datetime
    people: tuple[str, ...]
    images: tuple[str, ...]


@dataclass(slots=True)
class Causes:
    """The latest cause per person and per image: it hits whatever an earlier one does."""

    people: dict[str, RetractingEvent] = field(default_factory=dict)
    images: dict[str, RetractingEvent] = field(default_factory=dict)

    def hit(self, subject: TripleSubject) -> RetractingEvent | None:
        """What takes this triple back: erasures first, then images in the order given."""
        candidates = [self.people.get(name) for name in subject.people]
        candidates += [self.images.get(name) for name in subject.images]
        hits = (c for c in candidates if c is not None and subject.issued_at < c.before)
        return next(hits, None)


@dataclass(frozen=True, slots=True)
class _Hidden:
    version: int
    cause: RetractingEvent
    appended: datetime


def causes_in(messages: Iterable[Message], *, lateness: timedelta) -> Causes:
    """Every cause in the given records; other events and unreadable records are passed over.

    Args:
        messages: of the interaction and image topics, in any order of topics and partitions.
        lateness: L: no instant is later than its record's timestamp + L.
    """
    causes = Causes()
    images, decisions = _Hiding(), _Hiding()
    for message, event in events_in(messages, *_WORDS):
        latest = message.timestamp + lateness
        if isinstance(event.data, UserErased):
            _add_erasure(causes, event, latest)
        elif isinstance(event.data, ImageState):
            images.add(event, message, latest, hides=hiding_rank(event.data) > 0)
        elif isinstance(event.data, ImageModerated):
            blocks = event.data.moderation is Moderation.BLOCKED
            decisions.add(event, message, latest, hides=blocks)
    for image_id, cause in (*images.latest(), *decisions.latest()):
        known = causes.images.get(image_id)
        if known is None or cause.before > known.before:
            causes.images[image_id] = cause
    return causes


class _Hiding:
    """Events of one kind that hide images, and the newest version of each image among all."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}
        self._hidden: defaultdict[str, list[_Hidden]] = defaultdict(list)

    def add(self, event: _OfImage, message: Message, latest: datetime, *, hides: bool) -> None:
        """Notes that an event hides the image from its instant on, or shows it again."""
        image_id, version = event.data.image_id, event.data.version
        self._newest[image_id] = max(self._newest.get(image_id, 0), version)
        if hides:
            self._hidden[image_id].append(_hidden(event, message, latest))

    def latest(self) -> Iterable[tuple[str, RetractingEvent]]:
        """The latest cause of each image that was ever hidden."""
        for image_id, states in self._hidden.items():
            yield image_id, _latest(states, self._newest[image_id])


def _add_erasure(causes: Causes, event: Event[UserErased], latest: datetime) -> None:
    name, before = event.data.user_pseudonym, min(event.data.erased_at, latest)
    known = causes.people.get(name)
    if known is None or before > known.before:
        causes.people[name] = RetractingEvent(RetractionCause.USER_ERASED, event.id, before)


def _hidden(event: _OfImage, message: Message, latest: datetime) -> _Hidden:
    deleted = isinstance(event.data, ImageDeleted)
    kind = RetractionCause.IMAGE_DELETED if deleted else RetractionCause.IMAGE_HIDDEN
    cause = RetractingEvent(kind, event.id, min(event.time, latest))
    return _Hidden(event.data.version, cause, message.timestamp)


def _latest(states: list[_Hidden], newest_version: int) -> RetractingEvent:
    """The newest version's instant is when the log had it, should that be later than its own time.

    Not that of older versions: a late or replayed one says nothing about searches since.
    """

    def instant(state: _Hidden) -> datetime:
        if state.version < newest_version:
            return state.cause.before
        return max(state.cause.before, state.appended)

    found = max(states, key=lambda state: (instant(state), state.version))
    return RetractingEvent(found.cause.kind, found.cause.event_id, instant(found))
