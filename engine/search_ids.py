"""Sealed search ids, anchor ids and pseudonyms: what later ties a click to the search it answers.

A search id reads `2` and base64url of nonce (12 bytes) and ciphertext: AES-256-GCM, under a key
derived for this purpose alone, of the time in milliseconds, actor, anchor and variant, packed. At
most 441 characters that need no escaping anywhere. Nobody but who has the deployment's secret reads
who asked, or makes one up (docs/api.md). Random nonces are good for 2³² ids of one secret: 27 years
of five searches a second.
"""

from __future__ import annotations

import binascii
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from random import Random

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sightline.engine.signing_secret import SECRET_BYTES
from sightline.schemas.searches import CropBox

QUERY_PREFIX = "queries/"
"""Before the SHA-256 of a picture that somebody asked by: its key in our bucket."""
BOX_STEPS = 1000
"""Boxes that agree to a thousandth of the picture are the same anchor."""
MAX_AGE = timedelta(hours=24)
"""How long a search id authorises interactions."""

JUDGED_WITH = "~"
"""Between the key and the person in a judge's pseudonym."""
_FORM = "2"
_USER = "u-"
_PSEUDONYM = re.compile(r"u-[0-9a-f]{32}")
_NONCE_BYTES = 12
_TIME_BYTES = 6
_LETTERS = "/-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
"""What ids are made of, and `/` between them: three ids of full length take 293 bytes, not 386."""
_ID_LETTERS = frozenset(_LETTERS[1:])
_VALUES = {letter: value for value, letter in enumerate(_LETTERS)}
_NOT_OURS = "the search id was not issued here, or it was altered"


class SearchIdInvalid(ValueError):
    """A search id was not issued here, was altered, or is too old; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedSearch:
    """What is sealed in a search id: when, by whom and by what was searched."""

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
        self._seal = AESGCM(hmac.digest(secret, b"sightline sealed search id", "sha256"))
        self._chance_key = hmac.digest(secret, b"sightline chance of a search", "sha256")
        self._user_key = hmac.digest(secret, b"sightline user pseudonym", "sha256")

    def issue(self, search: IssuedSearch, nonce: bytes | None = None) -> str:
        """A new id; two calls never give the same one (96 random bits).

        Args:
            search: what is sealed.
            nonce: of `new_nonce`, and of no other id; None: a new one.

        Raises:
            ValueError: actor, anchor or variant is no id.
        """
        issued_ms = round(search.issued_at.timestamp() * 1000)
        fields = (search.actor_id, search.anchor_id, search.variant)
        plain = issued_ms.to_bytes(_TIME_BYTES, "big") + _packed(fields)
        nonce = nonce or new_nonce()
        sealed = nonce + self._seal.encrypt(nonce, plain, None)
        return _FORM + urlsafe_b64encode(sealed).decode().rstrip("=")

    def read(self, search_id: str, *, now: datetime | None = None) -> IssuedSearch:
        """What the id carries; with `now`, only if it is at most 24 h old.

        Raises:
            SearchIdInvalid: not ours, altered, or too old.
        """
        issued = self.opened(search_id)
        if issued is None:
            raise SearchIdInvalid(_NOT_OURS)
        if now is not None and now - issued.issued_at > MAX_AGE:
            raise SearchIdInvalid("the search id is more than 24 h old")
        return issued

    def opened(self, search_id: str) -> IssuedSearch | None:
        """What the id carries, however old it is; None: it is none of ours."""
        sealed = _decoded(search_id)
        if sealed is None:
            return None
        try:
            plain = self._seal.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag:
            return None
        issued_ms = int.from_bytes(plain[:_TIME_BYTES], "big")
        actor_id, anchor_id, variant = _unpacked(plain[_TIME_BYTES:]).split("/")
        return IssuedSearch(
            issued_at=datetime.fromtimestamp(issued_ms / 1000, UTC),
            actor_id=actor_id,
            anchor_id=anchor_id,
            variant=variant,
        )

    def chance(self, nonce: bytes) -> Random:
        """What chance does in the search whose id has this nonce: the same again in any process.

        Nobody but who has the secret can tell it from the id, and the nonce is drawn afresh for
        each search.
        """
        seed = hmac.digest(self._chance_key, nonce, "sha256")
        return Random(int.from_bytes(seed, "big"))  # noqa: S311 - the seed is a secret

    def chance_of(self, search_id: str) -> Random | None:
        """The same by the id itself; None: it is none of ours."""
        sealed = _decoded(search_id)
        if sealed is None or self.opened(search_id) is None:
            return None
        return self.chance(sealed[:_NONCE_BYTES])

    def pseudonym(self, user_id: str) -> str:
        """The same for the same user under the same secret; says nothing about who it is."""
        return _USER + hmac.digest(self._user_key, user_id.encode(), "sha256").hex()[:32]

    def judge_pseudonym(self, key: str, judge: str) -> str:
        """The same for the same person with the same key, whose name it tells."""
        return key + JUDGED_WITH + self.pseudonym(judge)


def is_pseudonym(actor_id: str) -> bool:
    """Whether an id reads like a user's pseudonym."""
    return _PSEUDONYM.fullmatch(actor_id) is not None


def new_nonce() -> bytes:
    """Random bytes of the system for one search id alone; takes the interpreter's lock away."""
    return secrets.token_bytes(_NONCE_BYTES)


def new_session_id() -> str:
    """A session of our own making, where the caller has none."""
    return "s-" + secrets.token_hex(16)


def upload_ids(data: bytes, box: CropBox | None = None) -> tuple[str, str]:
    """Derives the SHA-256 (hex) and the anchor id of an uploaded picture (docs/api.md).

    The anchor is `q-` + 32 hex of SHA-256(bytes ‖ box in thousandths): a picture and a part of it
    are different anchors, and a box moved by less than a thousandth is the same one.
    """
    digest = sha256(data)
    anchor = digest.copy()
    if box is not None:
        steps = (round(side * BOX_STEPS) for side in (box.x, box.y, box.w, box.h))
        anchor.update(",".join(map(str, steps)).encode())
    return digest.hexdigest(), f"q-{anchor.hexdigest()[:32]}"


def _decoded(search_id: str) -> bytes | None:
    """The sealed bytes; None where no issued id reads like that, down to unused bits."""
    written = search_id.removeprefix(_FORM)
    if written == search_id or not search_id.isascii():
        return None
    try:
        sealed = urlsafe_b64decode(written + "=" * (-len(written) % 4))
    except binascii.Error:
        return None
    again = urlsafe_b64encode(sealed).decode().rstrip("=")
    return sealed if again == written and len(sealed) > _NONCE_BYTES else None


def _packed(fields: tuple[str, ...]) -> bytes:
    """Letters as digits of one number, behind a 1."""
    odd = set("".join(fields)) - _ID_LETTERS
    if odd:
        raise ValueError(f"{min(odd)!r} cannot stand in a search id")
    number = 1
    for letter in "/".join(fields):
        number = number * len(_LETTERS) + _VALUES[letter]
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def _unpacked(packed: bytes) -> str:
    number, letters = int.from_bytes(packed, "big"), []
    while number > 1:
        number, value = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[value])
    return "".join(reversed(letters))
