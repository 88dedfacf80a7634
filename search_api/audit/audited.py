"""Around every answer: tells the audit log of operators' acts and of refusals."""

from __future__ import annotations

import re
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightline.schemas.audit import Decision
from sightline.schemas.fields import ID_PATTERN
from sightline.search_api.audit.audit_log import Access, AuditLog
from sightline.search_api.http.addresses import counted_as

_REFUSALS = frozenset({401, 403, 429})
_EVERYBODYS = frozenset({"/v1/search", "/v1/interactions", "/v1/judgements"})
"""What an operator's key does here, any other key does."""
_MAX_ADDRESS_CHARS = 64
_MAX_WHO_CHARS = 128
STATE = "sightline_key"
"""Where admission leaves the known key, in the request's state."""
WRONG_KEY = "sightline_wrong_key"
"""Where it says that a key was shown that is none, though the answer needs none."""


class Audited:
    """ASGI middleware, outside of what finds out who asks."""

    def __init__(self, app: ASGIApp, audit: AuditLog) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and look at how its answer begins."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        scope.setdefault("state", {})

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._look(scope, message)
            await send(message)

        return await self._app(scope, receive, watched)

    def _look(self, scope: Scope, message: Message) -> None:
        key, status = scope["state"].get(STATE), message["status"]
        route = str(getattr(scope.get("route"), "path", "unmatched"))
        address = str((scope.get("client") or ("unknown",))[0])[:_MAX_ADDRESS_CHARS]
        who = (
            f"address {counted_as(address)}" if key is None else f"key {key.name}"[:_MAX_WHO_CHARS]
        )
        action = f"{scope['method'][:16]} {route}"
        if status in _REFUSALS or scope["state"].get(WRONG_KEY):
            self._audit.note(Access(Decision.REFUSED, who, action, None, status), address)
        elif key is not None and key.operator and _is_an_act(route, message):
            self._audit.note(Access(Decision.ACTED, who, action, _image_id(scope), status), address)


def _image_id(scope: Scope) -> str | None:
    """The image that the address names; what can be no image's id is none."""
    named = str(scope.get("path_params", {}).get("image_id", ""))
    return named if re.fullmatch(ID_PATTERN, named) else None


def _is_an_act(route: str, message: Any) -> bool:
    """All but what every key may do: pictures that everybody sees may be stored, others not."""
    if not route.startswith("/v1/") or route in _EVERYBODYS:
        return False
    return "no-store" in Headers(raw=message["headers"]).get("cache-control", "no-store")
