"""The operator's decisions about images: counted by compare-and-set, then published."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sightline.engine.errors import Conflict, Part, PartUnavailable
from sightline.engine.object_store.catalogue import Decisions
from sightline.engine.object_store.entries import Entry, Place
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.trace_context import new_traceparent, traceparent_header
from sightline.producers.images.ids import new_id
from sightline.schemas.envelope import Event
from sightline.schemas.fields import MAX_VERSION, Moderation, NamedImage
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.topics import IMAGES_MODERATION

ADMIN = "admin"
"""Who decides where nobody says."""
KnownDecision = Callable[[str], ImageModerated | None]
"""What the index holds as decided about an image; None: nothing."""
DecisionPermit = Callable[[ImageModerated | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorVerdict:
    """What an admin or a classifier decides about one image."""

    moderation: Moderation
    decided_by: str = ADMIN
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision that the broker has acknowledged, and where it lies."""

    event: Event[ImageModerated]

    @property
    def decision(self) -> ImageModerated:
        """Return what was decided, with the version of the decision."""
        return self.event.data


def nothing_decided(_image_id: str) -> ImageModerated | None:
    """For who cannot ask the index: then what is kept of the decisions counts alone."""
    return None


class ImageModeration:
    """Blocks images, and allows them again; known or not, whoever counts their versions.

    The version is one above the highest that is kept or known. So a block goes through while the
    object store is down, too: it is published without being kept, and what is decided later is
    above it, as the index knows it by then.

    Args:
        decisions: keeps the newest of each image.
        producer: appends to the log.
        source: CloudEvents `source`: names the service that decides.
        clock: gives `time`.
        known: what the index holds.
    """

    def __init__(
        self,
        decisions: Decisions,
        producer: EventProducer,
        *,
        source: str,
        clock: Clock,
        known: KnownDecision = nothing_decided,
    ) -> None:
        self._decisions = decisions
        self._producer = producer
        self._source = source
        self._clock = clock
        self._known = known

    def decide(
        self, image_id: str, verdict: OperatorVerdict, *, permit: DecisionPermit | None = None
    ) -> Decided:
        """Decide and return once that is acknowledged; a verdict that holds is not counted again.

        Args:
            image_id: known or not.
            verdict: what is decided.
            permit: looks at the present decision at the moment of the write, and raises what stands
                against another; None: nothing does.

        Raises:
            ValidationError: the id or the verdict is out of the contract's bounds.
            PartUnavailable: the broker, or with a permit the store; it may take effect, and a
                repeat is safe.
        """
        NamedImage(image_id=image_id)
        known = self._known(image_id)
        following = partial(self._following, image_id, verdict, known, permit)
        try:
            entry = self._decisions.update(image_id, following, mend=True)
        except PartUnavailable as error:
            if error.part is not Part.STORE or permit is not None:
                raise
            event = self._event(image_id, verdict, 0 if known is None else known.version)
            self._append(event)
            return Decided(event=event)
        if entry is None:
            raise AssertionError("a decision is kept once it is made")
        self._publish(entry)
        return Decided(event=entry.event)

    def finish(self, image_id: str) -> Decided | None:
        """Publish what is kept of one image if that was never noted; a repeat does nothing.

        Raises:
            PartUnavailable: store or broker; a repeat is safe.
        """
        entry = self._decisions.read(image_id)
        if entry is None or entry.published is not None:
            return None
        self._publish(entry)
        return Decided(event=entry.event)

    def _following(
        self,
        image_id: str,
        verdict: OperatorVerdict,
        known: ImageModerated | None,
        permit: DecisionPermit | None,
        found: Entry[ImageModerated] | None,
    ) -> Entry[ImageModerated] | None:
        """The entry that follows the one that was found; None: it says so already."""
        kept = None if found is None else found.state
        present = _higher(kept, known)
        if permit is not None:
            permit(present)
        if found is not None and present == found.state and _holds(verdict, present):
            return None
        event = self._event(image_id, verdict, 0 if present is None else present.version)
        return Entry[ImageModerated](event=event)

    def _event(self, image_id: str, verdict: OperatorVerdict, above: int) -> Event[ImageModerated]:
        decision = ImageModerated(
            image_id=image_id,
            version=min(above + 1, MAX_VERSION),
            moderation=verdict.moderation,
            decided_by=verdict.decided_by,
            reason=verdict.reason,
        )
        now = self._clock.now()
        return Event[ImageModerated].of(decision, event_id=new_id(), source=self._source, time=now)

    def _publish(self, entry: Entry[ImageModerated]) -> None:
        if entry.published is not None:
            return
        place = Place.of(self._append(entry.event))
        try:
            self._decisions.write(replace(entry, published=place))
        except (Conflict, PartUnavailable):
            return  # it is in the log; who finds it unpublished only repeats it

    def _append(self, event: Event[ImageModerated]) -> Message:
        headers = [traceparent_header(new_traceparent())]
        topic, key = IMAGES_MODERATION.name, event.data.image_id
        return self._producer.append(
            ProducerRecord(topic, key, event.encode(), headers=headers)
        ).result()


def _higher(one: ImageModerated | None, other: ImageModerated | None) -> ImageModerated | None:
    if one is None or other is None:
        return one or other
    return one if one.version >= other.version else other


def _holds(verdict: OperatorVerdict, present: ImageModerated) -> bool:
    said = (verdict.moderation, verdict.decided_by, verdict.reason)
    return said == (present.moderation, present.decided_by, present.reason)
