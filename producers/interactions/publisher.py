"""What was shown and what people did with it, to the log: sealed, checked, acknowledged.

For services with a search front end of their own; the search API's intake uses the same checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sightline.engine.errors import PermanentError
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.records import Message, ProducerRecord
from sightline.engine.search_ids import (
    IssuedSearch,
    SearchIdInvalid,
    SearchIds,
    new_session_id,
)
from sightline.engine.trace_context import new_traceparent, traceparent_header
from sightline.producers.images.ids import event_id_of
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.interactions import Interaction, ResultsInteracted
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.searches import Location, Query, ResultsShown, ShownImage
from sightline.schemas.topics import INTERACTIONS, JUDGEMENTS, Topic

SKEW = timedelta(seconds=60)
"""How far the clocks of those who issue search ids and those who take beacons may differ."""
_IMPRESSION_ID_CHARS = 64


class InteractionRefused(PermanentError):
    """An interaction says what cannot be.

    Args:
        field: the path of what is wrong.
        message: why, for a person.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedSearch:
    """A search that was given an id, about to be shown."""

    search_id: str
    """Sealed; the page's, and all that authorises what is done with it."""
    issued_at: datetime
    actor_id: str
    session_id: str
    user_pseudonym: str | None
    anchor_id: str
    variant: str


class InteractionPublisher:
    """A front end's way to tell what it showed and what people did; safe across threads.

    An event that was taken ends as acknowledged or as an error; never in silence. The futures raise
    `PartUnavailable` (not acknowledged in time, no such topic, an authorisation refused; a repeat
    is safe) or `TooLarge`. Once the producer is closed, the calls themselves are `PartUnavailable`.

    Args:
        producer: the event log.
        ids: under the deployment's secret, the same in every service.
        source: CloudEvents `source`: names the publishing service.
        clock: the time.
    """

    def __init__(
        self, producer: EventProducer, ids: SearchIds, *, source: str, clock: Clock
    ) -> None:
        self._producer = producer
        self._ids = ids
        self._source = source
        self._clock = clock

    def open_search(
        self,
        anchor_id: str,
        *,
        session_id: str | None = None,
        user_id: str | None = None,
        variant: str = "default",
    ) -> OpenedSearch:
        """A sealed search id for an answer that is given now.

        Args:
            anchor_id: the image asked by, or `upload_ids(data, box)[1]` of an upload.
            session_id: the visitor's; none: a new one.
            user_id: as the site knows the user; only its pseudonym leaves this call.
            variant: the arm of an A/B test.

        Raises:
            ValueError: anchor, session or variant is no id.
        """
        session = session_id or new_session_id()
        pseudonym = None if user_id is None else self._ids.pseudonym(user_id)
        now = self._clock.now()
        issued = IssuedSearch(
            issued_at=now.replace(microsecond=now.microsecond // 1000 * 1000),
            actor_id=pseudonym or session,
            anchor_id=anchor_id,
            variant=variant,
        )
        return OpenedSearch(
            search_id=self._ids.issue(issued),
            issued_at=issued.issued_at,
            actor_id=issued.actor_id,
            session_id=session,
            user_pseudonym=pseudonym,
            anchor_id=anchor_id,
            variant=variant,
        )

    def shown(
        self,
        search: OpenedSearch,
        *,
        query: Query,
        anchor_perceptual_hash: str,
        shown: Sequence[ShownImage],
        model_digest: str,
        generation: str,
        location: Location | None = None,
        traceparent: str | None = None,
    ) -> Future[Message]:
        """Queue the impression of a page; the future ends when it is acknowledged.

        A repeat for the same search is counted once.

        Args:
            query: `ImageQuery`, or `UploadQuery` with where its picture is kept.
            anchor_perceptual_hash: 256-bit dHash, 64 hex digits.
            shown: the page in order, positions from 1.
            model_digest: names the vector space that ranked it.
            generation: of the index that was asked.

        Raises:
            ValidationError: out of the contract's bounds; nothing was sent.
            Overloaded: too many events wait in this process.
        """
        page = ResultsShown(
            search_id=search.search_id,
            issued_at=search.issued_at,
            actor_id=search.actor_id,
            session_id=search.session_id,
            user_pseudonym=search.user_pseudonym,
            location=location,
            anchor_id=search.anchor_id,
            query=query,
            anchor_perceptual_hash=anchor_perceptual_hash,
            shown=tuple(shown),
            model_digest=model_digest,
            generation=generation,
            variant=search.variant,
        )
        name = search.search_id[:_IMPRESSION_ID_CHARS]
        return self._append(INTERACTIONS, page.actor_id, page, name, traceparent)

    def authorised(self, search_id: str) -> IssuedSearch:
        """What a search id authorises now.

        Raises:
            SearchIdInvalid: not ours, altered, more than 24 h old, or issued in the future.
        """
        now = self._clock.now()
        search = self._ids.read(search_id, now=now)
        if search.issued_at - now > SKEW:
            raise SearchIdInvalid("the search id is of the future: a clock is wrong")
        return search

    def interacted(
        self,
        search_id: str,
        items: Sequence[Interaction],
        *,
        received_at: datetime | None = None,
        traceparent: str | None = None,
    ) -> Future[Message]:
        """Queue what one actor did with one page; the future ends when it is acknowledged.

        A repeat of the same items is the same event again, and each item is counted once. Whether
        the image was shown at that position, and in time, only the join can tell.

        Args:
            items: 1 to 100, each with an event id of its own.
            received_at: when the service got them; none: now.

        Raises:
            SearchIdInvalid: see `authorised`.
            InteractionRefused: an item is in the future.
            ValidationError: out of the contract's bounds.
            Overloaded: too many events wait in this process.
        """
        search = self.authorised(search_id)
        received = received_at or self._clock.now()
        refuse_future(items, issued_at=search.issued_at, received_at=received)
        beacon = ResultsInteracted(
            search_id=search_id,
            issued_at=search.issued_at,
            actor_id=search.actor_id,
            received_at=received,
            items=tuple(items),
        )
        said = "\n".join((search_id, *(item.model_dump_json() for item in beacon.items)))
        name = event_id_of(self._source, beacon.TYPE, said)
        return self._append(INTERACTIONS, search.actor_id, beacon, name, traceparent)

    def judged(
        self,
        anchor_id: str,
        image_id: str,
        grade: int,
        *,
        key: str,
        judge: str,
        judged_at: datetime | None = None,
        query: Query | None = None,
        traceparent: str | None = None,
    ) -> Future[Message]:
        """Queue a person's grade; the future ends when it is acknowledged.

        Of several grades of one judge the latest holds. With another key, it is another judge.

        Args:
            grade: 0 unrelated … 5 the same thing.
            key: what answers for the judge: a tool or service, as an id; it can be read.
            judge: who, as the site knows them; only a pseudonym leaves this call.
            judged_at: none: now.
            query: the anchor's, where it was an upload.

        Raises:
            ValidationError: out of the contract's bounds.
            Overloaded: too many events wait in this process.
        """
        judgement = RelevanceJudged(
            anchor_id=anchor_id,
            image_id=image_id,
            grade=grade,
            judge_id=self._ids.judge_pseudonym(key, judge),
            judged_at=judged_at or self._clock.now(),
            query=query,
        )
        name = event_id_of(self._source, judgement.TYPE, judgement.model_dump_json())
        return self._append(JUDGEMENTS, anchor_id, judgement, name, traceparent)

    def _append(
        self, topic: Topic, key: str, data: EventData, event_id: str, traceparent: str | None
    ) -> Future[Message]:
        event: Event[Any] = Event.of(
            data, event_id=event_id, source=self._source, time=self._clock.now()
        )
        trace = traceparent_header(traceparent or new_traceparent())
        return self._producer.append(
            ProducerRecord(topic.name, key, event.encode(), headers=[trace])
        )


def refuse_future(
    items: Sequence[Interaction], *, issued_at: datetime, received_at: datetime
) -> None:
    """Nothing is done later than it is reported.

    Raises:
        InteractionRefused: names the first item that claims to be, by more than a minute.
    """
    latest = received_at + SKEW - issued_at
    for number, item in enumerate(items):
        if timedelta(milliseconds=item.since_answer_ms or 0) > latest:
            raise InteractionRefused(
                f"items.{number}.since_answer_ms", "this is later than the beacon that reports it"
            )
