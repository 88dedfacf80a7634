"""Calls to a Qdrant server: the connection, its timeouts, and its errors in our words."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from sightline.engine.errors import Overloaded, Part, PartUnavailable, SettingsInvalid
from sightline.engine.regular_files import read_bounded
from sightline.engine.settings import IndexSettings

_TOO_MANY_REQUESTS = 429
_LONG = re.compile(rb"[0-9]{15,}\.0[,}\]]")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|(?<![0-9.])([0-9]{15,})\.0(?=[,}\]])')
"""A text, which is left as it is, or a long whole number with a fraction of 0."""
_CHANNEL = {"grpc.initial_reconnect_backoff_ms": 100, "grpc.max_reconnect_backoff_ms": 1_000}
"""gRPC refuses every call until it tries again to connect: by itself after a second at first, and
after two minutes once a server was down for long."""
_MAX_CA_BYTES = 4 * 1_048_576
Answer = TypeVar("Answer")


def client_of(settings: IndexSettings) -> QdrantClient:
    """A client of the server in the settings; nothing is sent yet.

    Raises:
        SettingsInvalid: the authority's file cannot be read.
    """
    client = _client(settings)
    client.http.client.add_middleware(exact_numbers)
    return client


def _client(settings: IndexSettings) -> QdrantClient:
    key = settings.api_key.get_secret_value() if settings.api_key else None
    rest: dict[str, Any] = {} if settings.ca_file is None else {"verify": str(settings.ca_file)}
    roots = None if settings.ca_file is None else _roots(settings.ca_file)
    return QdrantClient(
        url=settings.url,
        api_key=key,
        prefer_grpc=settings.grpc_port is not None,
        grpc_port=settings.grpc_port or 6334,
        grpc_options=_CHANNEL | ({} if roots is None else {"root_certificates": roots}),
        timeout=request_timeout_s(settings),
        check_compatibility=False,  # it would connect here; `doctor` compares the versions
        **rest,
    )


def _roots(ca_file: Path) -> bytes:
    try:
        return read_bounded(ca_file, _MAX_CA_BYTES)
    except (OSError, ValueError) as error:
        raise SettingsInvalid(f"index.ca_file: {ca_file} cannot be read: {error}") from error


def exact_numbers(
    request: httpx.Request, send: Callable[[httpx.Request], httpx.Response]
) -> httpx.Response:
    """Send whole numbers over REST without the `.0` that the client writes after a bound.

    The server reads `9007199254740991.0` as …990: its parser divides 90071992547409910 by 10, and
    that has no float64. Without the fraction every number up to 2⁵³ is exact.
    """
    body = request.content
    if _LONG.search(body) is None:
        return send(request)
    headers = {k: v for k, v in request.headers.items() if k != "content-length"}
    exact = _TOKEN.sub(lambda found: found[1] or found[0], body)
    return send(
        httpx.Request(
            request.method,
            request.url,
            headers=headers,
            content=exact,
            extensions=request.extensions,
        )
    )


def request_timeout_s(settings: IndexSettings) -> int:
    """Rounds the time limit up to whole seconds, since the client takes no other."""
    return max(1, math.ceil(settings.timeout_s))


class _SharedClient:
    """A client that closes with its last user."""

    def __init__(self, client: QdrantClient, *, serial: bool) -> None:
        self.client = client
        self.turn: AbstractContextManager[Any] = threading.RLock() if serial else nullcontext()
        self._users = 0
        self._counting = threading.Lock()

    def join(self) -> None:
        with self._counting:
            self._users += 1

    def leave(self) -> None:
        with self._counting:
            self._users -= 1
            last = self._users == 0
        if last:
            self.client.close()


class QdrantCalls:
    """A client with our errors, its calls one at a time where it is not thread-safe."""

    def __init__(self, shared: _SharedClient) -> None:
        self._shared = shared
        self._closed = False
        shared.join()

    @classmethod
    def through(cls, client: QdrantClient, *, serial: bool) -> QdrantCalls:
        """Calls through this client, which closes with the last of those that share it."""
        return cls(_SharedClient(client, serial=serial))

    def share(self) -> QdrantCalls:
        """More calls through the same connections, closed on their own."""
        return QdrantCalls(self._shared)

    def __call__(self, doing: str, call: Callable[[QdrantClient], Answer]) -> Answer:
        """What the call returns.

        Raises:
            PartUnavailable: the server did not answer in time, or refused.
            Overloaded: it has too much to do.
        """
        if self._closed:
            raise PartUnavailable(Part.INDEX, f"cannot {doing}: the index is closed")
        with qdrant_errors(doing), self._shared.turn:
            return call(self._shared.client)

    def close(self) -> None:
        """Let go of the connections; repeated calls do nothing."""
        if not self._closed:
            self._closed = True
            self._shared.leave()


@contextmanager
def qdrant_errors(doing: str) -> Iterator[None]:
    """Map what the client raises: `Overloaded` where the server says so, else `PartUnavailable`."""
    try:
        yield
    except ResourceExhaustedResponse as error:
        raise Overloaded(
            Part.INDEX, f"{doing}: {error}", retry_after_s=float(error.retry_after_s)
        ) from error
    except grpc.RpcError as error:
        raise _from_grpc(doing, error) from error
    except UnexpectedResponse as error:
        kind = Overloaded if error.status_code == _TOO_MANY_REQUESTS else PartUnavailable
        raise kind(Part.INDEX, f"{doing}: HTTP {error.status_code} {_said(error)}") from error
    except (ApiException, QdrantException, OSError, RuntimeError) as error:
        raise PartUnavailable(Part.INDEX, f"{doing}: {error}") from error


def _from_grpc(doing: str, error: grpc.RpcError) -> PartUnavailable:
    code = error.code() if isinstance(error, grpc.Call) else None
    details = error.details() if isinstance(error, grpc.Call) else str(error)
    kind = Overloaded if code is grpc.StatusCode.RESOURCE_EXHAUSTED else PartUnavailable
    return kind(Part.INDEX, f"{doing}: {code.name if code else 'failed'}: {details}")


def _said(error: UnexpectedResponse) -> str:
    return error.content.decode(errors="replace")[:200]
