"""A request in, its caller out: rate limit first, then the key (docs/api.md)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from sightline.engine.settings import Scope
from sightline.engine.vector_index.visible import Caller
from sightline.search_api.http.keys import KeyRing, require
from sightline.search_api.http.problems import Problem, retry_after
from sightline.search_api.http.rate_limit import RateLimit


class Admission:
    """Decides whether a request is heard at all, and as whom."""

    def __init__(self, keys: KeyRing, limit: RateLimit) -> None:
        self._keys = keys
        self._limit = limit

    def caller(self, request: Request) -> Caller:
        """Who asks.

        Raises:
            Problem: 401, 403, or 429 with `Retry-After`.
        """
        self.hear(request)
        return self._keys.caller(request)

    def operator(self, request: Request) -> Caller:
        """As `caller`, but an admin is not limited: a backfill is many requests.

        Raises:
            Problem: 401, 403, or 429 with `Retry-After`.
        """
        try:
            caller = self._keys.caller(request)
        except Problem:
            self.hear(request)
            raise
        if Scope.ADMIN not in caller.scopes:
            self.hear(request)
        return caller

    def insider(self, request: Request) -> bool:
        """Whether an admin asks, or anybody where no key is needed; for what needs no key."""
        try:
            return Scope.ADMIN in self._keys.caller(request).scopes
        except Problem:
            return False

    def hear(self, request: Request) -> None:
        """Count a request that needs no key. Raises `Problem`: 429 with `Retry-After`."""
        wait_s = self._limit.wait_s(self._keys.bucket(request))
        if wait_s > 0:
            raise Problem("too-many-requests", "ask less often", headers=retry_after(wait_s))


async def _caller(request: Request) -> Caller:
    admission: Admission = request.app.state.admission
    return admission.caller(request)


CallerOf = Annotated[Caller, Depends(_caller)]
"""A route's parameter that demands a caller."""


async def _writer(caller: CallerOf) -> Caller:
    require(caller, Scope.WRITE)
    return caller


async def _operator(request: Request) -> Caller:
    admission: Admission = request.app.state.admission
    return admission.operator(request)


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
