"""A page as it is held until its epoch closes: a third of what its decoded images would take.

The images become one run of bytes, hashes as 32 bytes instead of 64 hex digits; what most pages
have in common is held once. Packing and opening again cost some 15 µs a page of 24.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from sys import intern

import msgspec
from msgspec import Struct

from sightline.stream_workers.labels.codecs.interactions import ImageQuery, Page, Shown, Team
from sightline.stream_workers.labels.join.open_search import HeldBeacon, Impression, OpenSearch

HASH_DIGITS = 64


class _Images(Struct, gc=False, array_like=True):
    ids: list[str]
    positions: bytes
    scores: list[float]
    hashes: bytes
    teams: list[Team | None]
    """Empty where none has one, as nearly always."""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Images).decode


def _packed(shown: list[Shown]) -> bytes:
    return _encode(
        _Images(
            [image.image_id for image in shown],
            bytes([image.position for image in shown]),
            [image.score for image in shown],
            bytes.fromhex("".join([image.perceptual_hash for image in shown])),
            [image.team for image in shown] if any(image.team for image in shown) else [],
        )
    )


def _opened(packed: bytes) -> list[Shown]:
    images = _decode(packed)
    hashes = images.hashes.hex()
    starts = range(0, len(hashes), HASH_DIGITS)
    teams = images.teams or [None] * len(images.ids)
    return [
        Shown(image_id, position, score, hashes[start : start + HASH_DIGITS], team)
        for image_id, position, score, start, team in zip(
            images.ids, images.positions, images.scores, starts, teams, strict=True
        )
    ]


class PackedImpression(Struct, gc=False):
    """An impression whose page has its images packed."""

    offset: int
    event_id: str
    issued_ms: int
    page: Page
    """Without its images."""
    images: bytes

    @classmethod
    def of(cls, impression: Impression) -> PackedImpression:
        """Pack an impression, whose page is this object's from now on."""
        page = impression.page
        images = _packed(page.shown)
        page.shown = []
        page.location = None
        page.session_id = page.actor_id = intern(page.actor_id)
        page.model_digest = intern(page.model_digest)
        page.generation = intern(page.generation)
        page.variant = intern(page.variant)
        if isinstance(page.query, ImageQuery) and page.query.image_id == page.anchor_id:
            page.query.image_id = page.anchor_id
        return cls(impression.offset, impression.event_id, impression.issued_ms, page, images)

    def opened(self) -> Impression:
        """Unpacks the impression, without session and location, which nothing asks for."""
        page = msgspec.structs.replace(self.page, shown=_opened(self.images))
        return Impression(self.offset, self.event_id, self.issued_ms, page)


@dataclass(slots=True)
class HeldSearch:
    """Everything that names one search id in one epoch of one partition, by offset."""

    impressions: list[PackedImpression] = field(default_factory=list)
    beacons: list[HeldBeacon] = field(default_factory=list)

    def opened(self) -> OpenSearch:
        """Unpacks the search, so that its acts can be counted."""
        return OpenSearch([each.opened() for each in self.impressions], self.beacons)
