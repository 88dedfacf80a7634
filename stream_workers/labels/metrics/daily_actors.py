"""An actor and a day in, a name for that day alone out: metrics count people, and follow nobody."""

from __future__ import annotations

import hmac
from datetime import datetime
from functools import lru_cache

DIGEST_CHARS = 16
DAYS_KEPT = 64


class DailyActors:
    """Names of actors under one secret; another salt each day (UTC).

    Args:
        secret: the deployment's; without it no name of a day can be tied to one of another day, or
            to an actor.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, b"sightline metrics actor", "sha256")
        self._salt = lru_cache(DAYS_KEPT)(self._salt_of)

    def name(self, actor_id: str, epoch_start: datetime) -> str:
        """The first 16 hex digits of HMAC-SHA-256(salt of the day, actor id)."""
        salt = self._salt(epoch_start.date().isoformat())
        return hmac.digest(salt, actor_id.encode(), "sha256").hex()[:DIGEST_CHARS]

    def _salt_of(self, day: str) -> bytes:
        return hmac.digest(self._key, day.encode(), "sha256")
