"""What is known of an image in, HTTP answers out: status documents, waiting, and renditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from starlette.responses import Response

from sightline.engine.errors import PartUnavailable
from sightline.engine.ports import Clock
from sightline.engine.records import IndexedImage
from sightline.engine.vector_index.visible import Caller
from sightline.schemas.indexed import Outcome
from sightline.search_api.http.if_match import etag
from sightline.search_api.http.json_answers import NO_STORE, json_answer
from sightline.search_api.http.problems import Problem
from sightline.search_api.http.reads import unchanged
from sightline.search_api.http.request_fields import WaitQuery
from sightline.search_api.images.accepted import Accepted
from sightline.search_api.images.known_image import KnownImage
from sightline.search_api.images.moderating import Moderating
from sightline.search_api.images.renditions import Rendition, Renditions
from sightline.search_api.images.status import ImageStatus
from sightline.search_api.images.write_rules import refuse_superseded

REVALIDATE = "private, no-cache"
"""Browsers may keep a listed image but ask each time, and so learn that it is gone (304 else)."""
KEY_HEADERS = "Authorization, X-API-Key"


@dataclass(frozen=True, slots=True)
class AnswerWait:
    """How long a write's answer may wait for the index; 0: not at all."""

    seconds: float

    @classmethod
    def of(cls, wait: WaitQuery | None, timeout_s: float) -> Self:
        """Reads the query parameters: how many seconds to wait, 0 for not at all."""
        return cls(timeout_s if wait is WaitQuery.SEARCHABLE else 0.0)


class ImageAnswers:
    """Builds HTTP answers about images: status documents, content, and thumbnails."""

    def __init__(
        self, status: ImageStatus, renditions: Renditions, moderating: Moderating, clock: Clock
    ) -> None:
        self._status = status
        self._clock = clock
        self._moderating = moderating
        self._renditions = renditions

    async def known(self, image_id: str, caller: Caller) -> KnownImage:
        """See `ImageStatus.of`."""
        return await self._status.of(image_id, caller)

    async def written(self, written: Accepted, caller: Caller, wait: AnswerWait) -> Response:
        """202 and where to look; once the index has it 200, or 422 or 409 where it is not that."""
        arrived = wait.seconds > 0 and await self._arrived(written, wait.seconds)
        known = await self._after(written, caller)
        if arrived and known.pending is None:
            if written.pending is not None:
                refuse_superseded(written.pending.state, known)
            _refuse_rejected(known)
        return self.document(known, caller, status=200 if arrived else 202)

    async def _arrived(self, written: Accepted, timeout_s: float) -> bool:
        deadline = self._clock.monotonic() + timeout_s
        decision = written.decision
        if decision is not None and not await self._moderating.applied_within(decision, timeout_s):
            return False
        left_s = deadline - self._clock.monotonic()
        return await self._status.applied_within(
            written.image_id, written.version, left_s, written.pending
        )

    async def _after(self, written: Accepted, caller: Caller) -> KnownImage:
        """What is known after a write; the index may be down, what was acknowledged is told."""
        try:
            return await self._status.of(written.image_id, caller)
        except PartUnavailable:
            if written.pending is None:
                raise
            return KnownImage(applied=None, pending=written.pending, decision=written.decision)

    def document(self, known: KnownImage, caller: Caller, *, status: int = 200) -> Response:
        """The status document as the caller may know it, its version as the ETag."""
        headers = {
            "ETag": etag(known.version),
            "Location": f"/v1/images/{known.state.image_id}",
        }
        return json_answer(known.document(caller), status, headers)

    async def content(self, image_id: str, caller: Caller, known: Sequence[str]) -> Response:
        """Answers with the image as a JPEG for a screen (`Rendition.CONTENT`)."""
        return await self._rendered(image_id, caller, Rendition.CONTENT, known)

    async def thumbnail(self, image_id: str, caller: Caller, known: Sequence[str]) -> Response:
        """Answers with the image as a JPEG for a grid (`Rendition.THUMBNAIL`)."""
        return await self._rendered(image_id, caller, Rendition.THUMBNAIL, known)

    async def _rendered(
        self, image_id: str, caller: Caller, rendition: Rendition, known: Sequence[str]
    ) -> Response:
        image = await self._status.visible(image_id, caller)
        tag = f'"{(image.content_sha256 or "")[:32]}-{int(rendition)}"'
        headers = {
            "ETag": tag,
            "Cache-Control": _caching(image),
            "Vary": KEY_HEADERS,
            "Accept-Ranges": "none",
        }
        if image.listed and unchanged(known, tag):
            return Response(status_code=304, headers=headers)
        data = await self._renditions.of(image, rendition)
        return Response(data, headers=headers, media_type="image/jpeg")


def _caching(image: IndexedImage) -> str:
    return REVALIDATE if image.listed else NO_STORE


def _refuse_rejected(known: KnownImage) -> None:
    image = known.applied
    if image is None or image.outcome is not Outcome.REJECTED:
        return
    facts = {"field": "image", "reason": image.reason, "image_id": image.image_id}
    headers = {"ETag": etag(known.version), "Location": f"/v1/images/{image.image_id}"}
    raise Problem("bad-image", image.message or "the image was rejected", facts, headers)
