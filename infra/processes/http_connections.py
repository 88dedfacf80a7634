"""Connections to the API: so many at once, none that keeps us waiting for request or answer's end.

uvicorn bounds neither how long a request's head may take, nor what trickles in behind an answer,
nor how long an answer may lie here untaken, and refuses connections over its limit only once they
have sent a request. It has no public way to add
this, so what is used of its inside is held by `tests/contract/test_uvicorn.py`, and its version is
pinned (docs/adr/0014-connections.md). How long a body may take that
is being read is the app's business (`search_api/http/limits/body_deadline.py`).
"""

from __future__ import annotations

import asyncio
import logging
import re
from enum import Enum, auto
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sightline.infra.processes.connection_places import Places
from sightline.search_api.http.problems import Problem, retry_after

_MAX_HEAD_BYTES = 65_536
"""A request's head may have so many, as with uvicorn itself."""
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)([/?].*|)", re.IGNORECASE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+,;=%-]*)(?::[0-9]*)?", re.ASCII)
_LINGER_S = 1.0
"""A refused client may read why before its connection goes, for so long."""


_LOG = logging.getLogger("uvicorn.error.connections")
"""A warning for each odd request would let strangers fill the log."""
_LOG.setLevel(logging.ERROR)


class _Awaited(Enum):
    HEAD = auto()
    """The rest of a request's head, or its first byte."""
    LEFTOVERS = auto()
    """The rest of a body that was answered already."""


def _refuse_two_readings(request: h11.Request) -> None:
    """Raises `h11.RemoteProtocolError`: a proxy may end it elsewhere, or take it to another host.

    RFC 9112, 6.1 (two lengths, or chunks from who speaks HTTP/1.0) and 3.2 (`Host`).
    """
    named = dict(request.headers)
    if {b"content-length", b"transfer-encoding"} <= named.keys():
        raise h11.RemoteProtocolError("send Content-Length or Transfer-Encoding, not both")
    if b"transfer-encoding" in named and request.http_version < b"1.1":
        raise h11.RemoteProtocolError("HTTP/1.0 has no Transfer-Encoding")
    if _HOST.fullmatch(named.get(b"host", b"")) is None:
        raise h11.RemoteProtocolError("Host is a name or an address, and a port")


def _in_origin_form(request: h11.Request) -> h11.Request:
    """What asks for a whole address asks that host for its path (RFC 9112, 3.2.2 and 3.2.4)."""
    if request.target.startswith(b"/") or b"://" not in request.target:
        return request
    found = _ABSOLUTE.fullmatch(request.target)
    if found is None:
        raise h11.RemoteProtocolError("a whole address is http://HOST/PATH")
    host, rest = found.groups()
    path = rest if rest.startswith(b"/") else b"/" + rest
    if not rest and request.method == b"OPTIONS":
        path = b"*"
    headers = [(b"host", host), *(each for each in request.headers if each[0] != b"host")]
    return h11.Request(
        method=request.method, target=path, headers=headers, http_version=request.http_version
    )


class _OneReading(h11.Connection):
    """Reads each request as a proxy before us must have read it, or not at all."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA | h11.PAUSED]:
        """Reads on, and refuses what may end elsewhere, or be for another host."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            _refuse_two_readings(event)
            return _in_origin_form(event)
        return event


class BoundedConnection(H11Protocol):
    """A connection that is refused where there is no room, and closed where it keeps us waiting.

    Args:
        places: shared by all connections of a server.
        head_timeout_s: for a whole head, and for what follows an answer.
        answer_timeout_s: for the client to take what the system has no more room for.
    """

    def __init__(
        self,
        *args: Any,
        places: Places,
        head_timeout_s: float,
        answer_timeout_s: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _OneReading(h11.SERVER, _MAX_HEAD_BYTES)
        self.logger = _LOG
        self._places = places
        self._place_of: str | None = None
        self._head_timeout_s = head_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._untaken: asyncio.TimerHandle | None = None
        self._awaited: _Awaited | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a place for the new connection, or answers 503 if there is none."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # told of every byte that lies here, and of the last
        host = _host_of(transport)
        refused = self._places.take(host)
        if refused is not None:
            self._refuse(Problem("overloaded", str(refused), {"part": "api"}, retry_after(1)))
            return
        self._place_of = host
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives the place of the closed connection back."""
        super().connection_lost(exc)
        self._disarm()
        self._taken()
        if self._place_of is not None:
            self._places.give(self._place_of)
            self._place_of = None

    def pause_writing(self) -> None:
        """The client takes no more for now; whoever never does is cut off, also while it closes."""
        super().pause_writing()
        self._untaken = self.loop.call_later(self._answer_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        """All has been handed to the system."""
        super().resume_writing()
        self._taken()

    def data_received(self, data: bytes) -> None:
        """Pass it on, and see what is awaited now; empty lines before a request are none."""
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            data = data.lstrip(b"\r\n")
        if data and not self._refused:
            super().data_received(data)
            self._watch()

    def on_response_complete(self) -> None:
        """The next request is awaited, or the rest of this one."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP: a problem, like every refusal; nothing behind an answer begun."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(Problem("malformed", msg))
        else:
            self.transport.close()

    def _watch(self) -> None:
        """Time runs while the same thing is awaited, however much of it arrives."""
        awaited = self._awaits()
        if awaited is not self._awaited:
            self._disarm()
            self._awaited = awaited
            if awaited is not None:
                self._timer = self.loop.call_later(self._head_timeout_s, self._too_late)

    def _awaits(self) -> _Awaited | None:
        if self.transport.is_closing():
            return None
        if self.conn.their_state is h11.IDLE:
            return _Awaited.HEAD
        answered = self.cycle is not None and self.cycle.response_complete
        return _Awaited.LEFTOVERS if answered and self.conn.their_state is h11.SEND_BODY else None

    def _too_late(self) -> None:
        begun = bool(self.conn.trailing_data[0])
        if self._awaited is _Awaited.HEAD and begun and self.conn.our_state is h11.IDLE:
            self._refuse(Problem("too-slow", "the head of the request took too long to arrive"))
        else:
            self.timeout_keep_alive_handler()

    def _refuse(self, problem: Problem) -> None:
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what the app still says goes nowhere
            self.cycle.message_event.set()
        answer = problem.answer()
        headers = [*answer.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=answer.status_code, headers=headers),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self._unset_keepalive_if_required()
        self._disarm()
        # Closing at once would reset the connection under a client that is still sending.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_S, self.transport.close)

    def _taken(self) -> None:
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _host_of(transport: asyncio.Transport) -> str:
    """The address at the other end, as the socket knows it; "" where it has none."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
