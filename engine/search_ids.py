"""Signed search ids, anchor ids and pseudonyms: what later ties a click to the search it answers.

A search id reads `1 · issued (12 hex, ms) · nonce (16 hex) · three lengths (2 hex each) · actor ·
anchor · variant · tag (32 hex)`: at most 451 characters that need no escaping anywhere, since the
parts are ids already. The tag is the first 128 bits of HMAC-SHA-256 under a key derived for this
purpose alone (docs/api.md).
"""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from sightline.engine.errors import Conflict, ObjectMissing

if TYPE_CHECKING:
    from sightline.engine.ports import ObjectStore
    from sightline.schemas.searches import CropBox

SECRET_KEY = "secrets/signing"  # noqa: S105 (an object's name, not a secret)
SECRET_BYTES = 32
BOX_STEPS = 1000
"""Boxes that agree to a thousandth of the picture are the same anchor."""
MAX_AGE = timedelta(hours=24)
"""How long a search id authorises interactions."""

_HEAD = re.compile(
    r"^1(?P<ms>[0-9a-f]{12})[0-9a-f]{16}(?P<a>[0-9a-f]{2})(?P<b>[0-9a-f]{2})(?P<c>[0-9a-f]{2})"
)
_HEAD_CHARS = 35
_TAG_CHARS = 32


class SearchIdInvalid(ValueError):
    """A search id was not issued here, was altered, or is too old; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSearch:
    """What a search id carries."""

    issued_at: datetime
    """In UTC, to the millisecond."""
    actor_id: str
    anchor_id: str
    variant: str


class SearchIds:
    """Issues and reads search ids, and makes pseudonyms, under one secret; safe across threads.

    Args:
        secret: at least 16 bytes; every API process of a deployment has the same.

    Raises:
        ValueError: the secret is too short to be one.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SECRET_BYTES // 2:
            raise ValueError("the signing secret needs at least 16 bytes")
        self._search_key = hmac.digest(secret, b"sightline search id", "sha256")
        self._user_key = hmac.digest(secret, b"sightline user pseudonym", "sha256")

    def issue(self, search: IssuedSearch) -> str:
        """A new id; two calls never give the same one (64 random bits beside the time)."""
        issued_ms = round(search.issued_at.timestamp() * 1000)
        parts = (search.actor_id, search.anchor_id, search.variant)
        lengths = "".join(f"{len(part):02x}" for part in parts)
        body = f"1{issued_ms:012x}{secrets.token_hex(8)}{lengths}{''.join(parts)}"
        return body + self._tag(body)

    def read(self, search_id: str, *, now: datetime | None = None) -> IssuedSearch:
        """What the id carries; with `now`, only if it is at most 24 h old.

        Raises:
            SearchIdInvalid: not ours, altered, or too old.
        """
        body, tag = search_id[:-_TAG_CHARS], search_id[-_TAG_CHARS:]
        head = _HEAD.match(body)
        if head is None or not hmac.compare_digest(self._tag(body).encode(), tag.encode()):
            raise SearchIdInvalid("the search id was not issued here, or it was altered")
        issued = _parsed(head, body[_HEAD_CHARS:])
        if now is not None and now - issued.issued_at > MAX_AGE:
            raise SearchIdInvalid("the search id is more than 24 h old")
        return issued

    def pseudonym(self, user_id: str) -> str:
        """The same for the same user under the same secret; says nothing about who it is."""
        return "u-" + hmac.digest(self._user_key, user_id.encode(), "sha256").hex()[:32]

    def _tag(self, body: str) -> str:
        return hmac.digest(self._search_key, body.encode(), "sha256").hex()[:_TAG_CHARS]


def claimed(search_id: str) -> IssuedSearch | None:
    """What an id says of itself, signed by us or not: where to look, never whom to believe.

    None: it does not read like one of ours, as those of imported logs.
    """
    body = search_id[:-_TAG_CHARS]
    head = _HEAD.match(body)
    if head is None:
        return None
    lengths = sum(int(head[part], 16) for part in "abc")
    if len(body) != _HEAD_CHARS + lengths:
        return None
    try:
        return _parsed(head, body[_HEAD_CHARS:])
    except (OverflowError, ValueError, OSError):
        return None  # a time beyond the year 9999


def new_session_id() -> str:
    """A session of our own making, where the caller has none."""
    return "s-" + secrets.token_hex(16)


def upload_ids(data: bytes, box: CropBox | None = None) -> tuple[str, str]:
    """Of an uploaded picture, its SHA-256 (hex) and its anchor id (docs/api.md).

    The anchor is `q-` + 32 hex of SHA-256(bytes ‖ box in thousandths): a picture and a part of it
    are different anchors, and a box moved by less than a thousandth is the same one.
    """
    digest = sha256(data)
    anchor = digest.copy()
    if box is not None:
        steps = (round(side * BOX_STEPS) for side in (box.x, box.y, box.w, box.h))
        anchor.update(",".join(map(str, steps)).encode())
    return digest.hexdigest(), f"q-{anchor.hexdigest()[:32]}"


def stored_secret(store: ObjectStore, bucket: str) -> bytes:
    """The deployment's signing secret, made by whoever asks first (compare-and-set).

    Raises:
        PartUnavailable: the store did not answer; a repeat is safe.
    """
    try:
        return store.get(bucket, SECRET_KEY)
    except ObjectMissing:
        made = secrets.token_bytes(SECRET_BYTES)
    try:
        store.put_if(bucket, SECRET_KEY, made, expected_etag=None)
    except Conflict:
        return store.get(bucket, SECRET_KEY)
    return made


def _parsed(head: re.Match[str], fields: str) -> IssuedSearch:
    first = int(head["a"], 16)
    second = first + int(head["b"], 16)
    return IssuedSearch(
        issued_at=datetime.fromtimestamp(int(head["ms"], 16) / 1000, UTC),
        actor_id=fields[:first],
        anchor_id=fields[first:second],
        variant=fields[second:],
    )
