"""A request in, its caller out: rate limit first, then the key (docs/api.md)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import Caller
from sightline.search_api.audit.audited import STATE, WRONG_KEY
from sightline.search_api.http.keys import KeyRing, KnownKey, bucket, require
from sightline.search_api.http.limits.rate_limit import RateLimit
from sightline.search_api.http.problems import Problem, retry_after
from sightline.search_api.http.query_parameters import refuse_doubled


class Admission:
    """Decides whether a request is heard at all, and as whom.

    Args:
        keys: the configured keys.
        limit: how often a key or an address may ask.
        clock: when a key was last used.
        metrics: tells it.
    """

    def __init__(self, keys: KeyRing, limit: RateLimit, clock: Clock, metrics: Metrics) -> None:
        self._keys = keys
        self._limit = limit
        self._clock = clock
        self._last_used = metrics.key_last_used

    def caller(self, request: Request) -> Caller:
        """Who asks.

        Raises:
            Problem: 401, 403, or 429 with `Retry-After`.
        """
        return self._keys.caller(request, self.hear(request))

    def operator(self, request: Request) -> Caller:
        """Admits a caller like `caller`, but does not limit an admin: a backfill is many requests.

        Raises:
            Problem: 401, 403, or 429 with `Retry-After`.
        """
        known = self._known(request)
        try:
            caller = self._keys.caller(request, known)
        except Problem:
            self._count(request, known)
            raise
        if Scope.ADMIN not in caller.scopes:
            self._count(request, known)
        return caller

    def insider(self, request: Request) -> bool:
        """Whether an admin asks, or anybody where no key is needed; for what needs no key.

        A wrong key is nobody's: it is passed over, but as a refusal it is limited and recorded.

        Raises:
            Problem: 429 with `Retry-After`: wrong keys, too often.
        """
        known = self._known(request)
        if known is None and self._keys.tried(request):
            setattr(request.state, WRONG_KEY, True)
            self._count(request, known)
        try:
            return Scope.ADMIN in self._keys.caller(request, known).scopes
        except Problem:
            return False

    def hear(self, request: Request) -> KnownKey | None:
        """Count a request, which need not show a key; the known key that it shows all the same.

        Raises:
            Problem: 429 with `Retry-After`.
        """
        known = self._known(request)
        self._count(request, known)
        return known

    def _known(self, request: Request) -> KnownKey | None:
        """Which known key is shown: for the audit log, and for who wants to take an old one out."""
        known = self._keys.known(request)
        if known is not None:
            setattr(request.state, STATE, known)
            used = self._last_used.labels(known.name, known.digits)
            used.set(self._clock.now().timestamp())
        return known

    def _count(self, request: Request, known: KnownKey | None) -> None:
        wait_s = self._limit.wait_s(bucket(request, known))
        if wait_s > 0:
            raise Problem("too-many-requests", "ask less often", headers=retry_after(wait_s))


async def _caller(request: Request) -> Caller:
    admission: Admission = request.app.state.admission
    caller = admission.caller(request)
    refuse_doubled(request)
    return caller


CallerOf = Annotated[Caller, Depends(_caller)]
"""A route's parameter that demands a caller."""


async def _writer(caller: CallerOf) -> Caller:
    require(caller, Scope.WRITE)
    return caller


async def _operator(request: Request) -> Caller:
    admission: Admission = request.app.state.admission
    caller = admission.operator(request)
    refuse_doubled(request)
    return caller


async def _insider(request: Request) -> bool:
    admission: Admission = request.app.state.admission
    return admission.insider(request)


async def _heard(request: Request) -> None:
    admission: Admission = request.app.state.admission
    admission.hear(request)


Heard = Depends(_heard)
"""A route's dependency where something else than a key authorises."""
WriterOf = Annotated[Caller, Depends(_writer)]
"""The same with the scope `write`."""
OperatorOf = Annotated[Caller, Depends(_operator)]
"""A caller where this deployment's own commands ask."""
InsiderOf = Annotated[bool, Depends(_insider)]
"""Whether to tell what is nobody else's business."""
