"""The web pages at `/` and `/grade`, files of our own, and a policy that lets in nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_LOADED_BY = "Cross-Origin-Resource-Policy"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/style.css": ("style.css", "text/css; charset=utf-8"),
    "/page/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/page/search.js": ("search.js", "text/javascript; charset=utf-8"),
    "/page/catalogue.js": ("catalogue.js", "text/javascript; charset=utf-8"),
    "/page/crop.js": ("crop.js", "text/javascript; charset=utf-8"),
    "/page/learning.js": ("learning.js", "text/javascript; charset=utf-8"),
    "/page/both.js": ("both.js", "text/javascript; charset=utf-8"),
    "/page/model.js": ("model.js", "text/javascript; charset=utf-8"),
    "/page/service.js": ("service.js", "text/javascript; charset=utf-8"),
    "/grade": ("grade.html", "text/html; charset=utf-8"),
    "/page/grade.css": ("grade.css", "text/css; charset=utf-8"),
    "/page/grade.js": ("grade.js", "text/javascript; charset=utf-8"),
    "/page/grading.js": ("grading.js", "text/javascript; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""Address: file in `search_api/page/`, content type."""
FOR_OTHERS = {
    "/sightline.js": ("sightline.js", "text/javascript; charset=utf-8"),
    "/sightline.mjs": ("sightline.mjs", "text/javascript; charset=utf-8"),
}
"""The same, for the pages of other sites too."""


def page_router() -> APIRouter:
    """Builds one route for each file of the page; each file is read once, here."""
    router = APIRouter(include_in_schema=False)
    folder = files("sightline.search_api.page")
    for address, (name, content_type) in FILES.items():
        _serve(router, address, (folder / name).read_bytes(), content_type)
    for address, (name, content_type) in FOR_OTHERS.items():
        content = (folder / name).read_bytes()
        _serve(router, address, content, content_type, {_LOADED_BY: "cross-origin"})
    return router


def _serve(
    router: APIRouter,
    address: str,
    content: bytes,
    content_type: str,
    more: Mapping[str, str] = MappingProxyType({}),
) -> None:
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": "no-cache",
        "ETag": f'"{sha256(content).hexdigest()[:32]}"',
        **more,
    }

    async def serve(_: Request) -> Response:
        return Response(content, headers=headers, media_type=content_type)

    router.add_route(address, serve, methods=["GET"])  # not analysed: it takes nothing
