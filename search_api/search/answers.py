"""A page of hits in, the search's answer and the event that records it out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sightline.engine.records import Hit
from sightline.engine.search_ids import IssuedSearch, SearchIds, new_session_id
from sightline.engine.serving.pair import ServingPair
from sightline.schemas.images import ObjectReference
from sightline.schemas.searches import (
    ImageQuery,
    ResultsShown,
    ShownImage,
    UploadQuery,
)
from sightline.search_api.http.request_fields import ImageSearch, SearchFields, UploadSearch
from sightline.search_api.search.rerank import RankedPage

SCORE_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What a search asks with: an indexed image, or an uploaded picture."""

    anchor_id: str
    perceptual_hash: str
    sha256: str = ""
    """The hash of an upload's bytes; `""` for an indexed image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who asked, as far as the log may know."""

    session_id: str
    pseudonym: str | None

    @property
    def actor_id(self) -> str:
        """The user's pseudonym, or the session's id if no user is named."""
        return self.pseudonym or self.session_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A search and its page of results, ready to be answered and recorded."""

    search_id: str
    issued_at: datetime
    asker: Asker
    anchor: Anchor
    fields: SearchFields
    page: RankedPage
    pair: ServingPair
    """What answered it."""
    variant: str

    def document(self, *, feedback: bool) -> dict[str, Any]:
        """Describes the answer in JSON values (docs/api.md)."""
        return {
            "search_id": self.search_id,
            "session_id": self.asker.session_id,
            "actor": "session" if self.asker.pseudonym is None else "user",
            "model": self.pair.model_digest,
            "generation": self.pair.spec.name,
            "indexed_by": self.pair.spec.model_digest,
            "feedback": feedback,
            "removed": self.page.removed,
            "results": [result_document(hit, n) for n, hit in enumerate(self.page.hits, 1)],
        }

    def shown(self, stored: ObjectReference | None) -> ResultsShown:
        """The event; `stored` is where the query picture lies, if it was kept."""
        return ResultsShown(
            search_id=self.search_id,
            issued_at=self.issued_at,
            actor_id=self.asker.actor_id,
            session_id=self.asker.session_id,
            user_pseudonym=self.asker.pseudonym,
            location=self.fields.location,
            anchor_id=self.anchor.anchor_id,
            query=self._query(stored),
            anchor_perceptual_hash=self.anchor.perceptual_hash,
            shown=_shown(self.page),
            model_digest=self.pair.model_digest,
            generation=self.pair.spec.name,
            variant=self.variant,
        )

    def _query(self, stored: ObjectReference | None) -> ImageQuery | UploadQuery:
        if isinstance(self.fields, ImageSearch):
            return ImageQuery(image_id=self.fields.image_id)
        crop = self.fields.crop if isinstance(self.fields, UploadSearch) else None
        return UploadQuery(sha256=self.anchor.sha256, object=stored, crop=crop)


def asker_of(fields: SearchFields, ids: SearchIds, *, names_users: bool) -> Asker:
    """The session that the caller named or a new one, and, if it may name one, the user."""
    pseudonym = _pseudonym(fields, ids, names_users=names_users)
    return Asker(session_id=fields.session_id or new_session_id(), pseudonym=pseudonym)


def named_actor(fields: SearchFields, ids: SearchIds, *, names_users: bool) -> str | None:
    """The actor as far as the caller named user or session; None: it named neither."""
    return _pseudonym(fields, ids, names_users=names_users) or fields.session_id


def _pseudonym(fields: SearchFields, ids: SearchIds, *, names_users: bool) -> str | None:
    return ids.pseudonym(fields.user_id) if names_users and fields.user_id is not None else None


def cut_to_millisecond(instant: datetime) -> datetime:
    """Search ids carry no more, and the event must say the same."""
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def issue(
    ids: SearchIds,
    *,
    now: datetime,
    asker: Asker,
    anchor: Anchor,
    variant: str,
    nonce: bytes | None = None,
) -> str:
    """Seals a new id for this search, which later authorises interactions."""
    search = IssuedSearch(
        issued_at=now, actor_id=asker.actor_id, anchor_id=anchor.anchor_id, variant=variant
    )
    return ids.issue(search, nonce)


def image_urls(image_id: str) -> dict[str, str]:
    """Where its renditions are; both check at each request who may see it."""
    return {
        "image_url": f"/v1/images/{image_id}/content",
        "thumbnail_url": f"/v1/images/{image_id}/thumbnail",
    }


def result_document(hit: Hit, position: int) -> dict[str, Any]:
    """One result in JSON values, at its place from 1."""
    state = hit.image.state
    return {
        "image_id": state.image_id,
        "position": position,
        "score": round(float(hit.score), SCORE_DIGITS),
        "tags": state.tags,
        "attributes": state.attributes,
        "group_id": state.group_id,
        **image_urls(state.image_id),
    }


def _shown(page: RankedPage) -> tuple[ShownImage, ...]:
    teams = page.teams or (None,) * len(page.hits)
    return tuple(
        ShownImage(
            image_id=hit.image.image_id,
            position=position,
            score=float(hit.score),
            perceptual_hash=hit.image.perceptual_hash or NO_HASH,
            team=team,
        )
        for position, (hit, team) in enumerate(zip(page.hits, teams, strict=True), 1)
    )


NO_HASH = "0" * 64
"""A listed image has a hash; this stands in where an index written by hand has none."""
