"""Documents in, JSON answers out; no cache may keep them, for what they tell changes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic_core import to_json
from starlette.background import BackgroundTask
from starlette.responses import Response

NO_STORE = "no-store"
_NONE: Mapping[str, str] = MappingProxyType({})


def json_answer(
    document: object,
    status: int = 200,
    headers: Mapping[str, str] = _NONE,
    *,
    background: BackgroundTask | None = None,
) -> Response:
    """The answer; pydantic's encoder also writes instants, models and enumerations."""
    told = {"Cache-Control": NO_STORE, **headers}
    return Response(to_json(document), status, told, "application/json", background)
