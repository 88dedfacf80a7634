"""Requests as a hostile client makes them, straight into an ASGI app: all that HTTP lets by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True)
class RawRequest:
    """What a server hands to its app."""

    method: str
    path: str
    """Percent-encoded."""
    query: bytes = b""
    headers: Headers = ()
    body: tuple[bytes, ...] = (b"",)
    """As it arrives."""
    whole: bool = True
    """False: the client goes away before the end."""


@dataclass(frozen=True, kw_only=True)
class RawAnswer:
    """What the app said."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: bytes) -> bytes:
        """Its value; `b""`: there is none."""
        return dict(self.headers).get(name, b"")


async def ask(app: FastAPI, request: RawRequest) -> RawAnswer:
    """One request; what the app raises after its answer has begun is raised here too."""
    chunks, sent = list(request.body), list[Any]()

    async def receive() -> dict[str, Any]:
        if not chunks:
            return {"type": "http.disconnect"}
        return {
            "type": "http.request",
            "body": chunks.pop(0),
            "more_body": bool(chunks) or not request.whole,
        }

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(request.path),
        "raw_path": request.path.encode("ascii"),
        "query_string": request.query,
        "root_path": "",
        "headers": list(request.headers),
        "client": ("127.0.0.1", 5000),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    begun = sent[0]
    said = b"".join(m.get("body", b"") for m in sent[1:])
    return RawAnswer(status=begun["status"], headers=tuple(begun["headers"]), body=said)
