"""A request's address in, the methods that some route takes there out: for `Allow`."""

from __future__ import annotations

from fastapi import Request
from starlette.routing import Match

_ASKED = ("GET", "POST", "PUT", "PATCH", "DELETE")


def allowed_methods(request: Request) -> list[str]:
    """Every method of the address, of all routes together (RFC 9110, section 10.2.1).

    Without OPTIONS, which every address answers; of `*`, which is no address, any route's.
    """
    everywhere = request.scope["path"] == "*"
    found = [method for method in _ASKED if everywhere or _takes(request, method)]
    return [*found, "HEAD"] if "GET" in found else found


def _takes(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(scope)[0] is Match.FULL for route in request.app.router.routes)
