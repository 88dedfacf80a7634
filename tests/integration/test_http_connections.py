"""What connections to the API may not do: be too many, keep it waiting, say where they are from."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI, Request
from pydantic import ValidationError
from starlette.responses import PlainTextResponse, Response

from sightline.engine.settings import ApiSettings
from sightline.search_api.http import problems
from tests.api_parts import ApiWorld, app_of
from tests.patience import patient
from tests.serving import serving
from tests.waiting import eventually

GET = b"GET /client HTTP/1.1\r\nHost: localhost\r\n\r\n"
TWO_LENGTHS = (
    b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    b"1\r\na\r\n0\r\n\r\n" + GET
)
"""By one of them what follows is the next request, by the other it is not."""
NO_HOSTS = (b"a b", b"a/b", b"a@b", b"a:x", b"[::1", b"\xff")
SOON_S = 0.2
LARGE_BYTES = 16 * 1024 * 1024
"""More than two systems hold of one connection before it is read from."""
LONG_S = 20.0


def app() -> FastAPI:
    """Says where a request comes from."""
    app = FastAPI()
    problems.install_problems(app)

    @app.get("/client")
    async def client(request: Request) -> Response:
        assert request.client is not None
        return PlainTextResponse(request.client.host)

    @app.get("/large")
    async def large() -> Response:
        return PlainTextResponse(bytes(LARGE_BYTES))

    @app.post("/read")
    async def read(request: Request) -> Response:
        return PlainTextResponse(await request.body())

    return app


@contextmanager
def connected(url: str, *, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A bare connection from an address of this machine."""
    place = urlsplit(url)
    with socket.create_connection(
        (place.hostname, place.port or 80), timeout=patient(LONG_S), source_address=(source, 0)
    ) as connection:
        yield connection


def answer_on(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    said = b""
    while more := connection.recv(65_536):
        said += more
    return said


def is_served(connection: socket.socket) -> bool:
    """Whether one more request on it gets its answer, whole."""
    connection.sendall(GET)
    said = b""
    while not said.endswith(b"127.0.0.1"):
        more = connection.recv(65_536)
        if not more:
            return False
        said += more
    return said.startswith(b"HTTP/1.1 200")


def problem(said: bytes) -> tuple[int, dict[str, object]]:
    """Status and document of an answer."""
    head, _, body = said.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    return int(head.split()[1]), json.loads(body)


def is_answered(url: str) -> bool:
    """Whether a new connection is."""
    return httpx.get(f"{url}/client").status_code == 200


def test_connections_over_the_limit_are_answered_503() -> None:
    """With a problem and a time to come back; whoever is connected stays, and a place is freed."""
    with serving(app(), ApiSettings(max_connections=2)) as url, ExitStack() as idle:
        first = idle.enter_context(connected(url))
        with connected(url) as second:
            assert is_served(second)
            with connected(url) as third:
                said = answer_on(third)
            status, document = problem(said)
            assert (status, document["part"]) == (503, "api")
            assert b"retry-after: 1" in said.lower()
            assert is_served(second)
        eventually(lambda: is_answered(url), timeout_s=LONG_S)
        assert is_served(first)


def test_one_address_does_not_hold_all_connections() -> None:
    """Over its share it is told so; who comes from another address is served meanwhile."""
    limits = ApiSettings(max_connections=9, max_connections_per_address=2)
    with serving(app(), limits) as url, ExitStack() as idle:
        for _ in range(2):
            assert is_served(idle.enter_context(connected(url)))
        with connected(url) as third:
            status, document = problem(answer_on(third))
        assert (status, document["part"]) == (503, "api")
        assert "your address" in str(document["detail"])
        with connected(url, source="127.0.0.2") as elsewhere:
            elsewhere.sendall(GET)
            assert elsewhere.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_proxys_share_is_everybodys() -> None:
    """Behind one address that is named as a proxy there are many people."""
    limits = ApiSettings(max_connections_per_address=1, forwarded_allow_ips=("127.0.0.1",))
    with serving(app(), limits) as url, ExitStack() as idle:
        for _ in range(3):
            assert is_served(idle.enter_context(connected(url)))


def test_a_head_that_trickles_is_408_and_silence_is_closed() -> None:
    """On a connection's first request; who has said nothing is told nothing."""
    with serving(app(), ApiSettings(head_timeout_s=SOON_S)) as url:
        with connected(url) as slow:
            slow.sendall(GET[:20])
            assert problem(answer_on(slow))[0] == 408
        with connected(url) as silent:
            assert answer_on(silent) == b""
        assert is_answered(url)


def test_a_second_head_that_trickles_is_408() -> None:
    """The first was answered, and the time runs anew."""
    with (
        serving(app(), ApiSettings(head_timeout_s=SOON_S)) as url,
        connected(url) as connection,
    ):
        assert is_served(connection)
        connection.sendall(GET[:20])
        assert problem(answer_on(connection))[0] == 408


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01 what\r\n\r\n",
        b"GET /client HTTP/1.1\r\n\r\n",  # names no host
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n",
        TWO_LENGTHS,
        b"POST /read HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        *(
            GET.replace(b"localhost", host)
            for host in (b"a b", b"a/b", b"a@b", b"a:x", b"[::1", b"\xff")
        ),
        GET.replace(b"localhost", b"a\r\nHost: a"),
        GET.replace(b"/client", b"http://a@shop.example/client"),
    ],
)
def test_what_is_no_http_is_400(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """As a problem too, also in the middle of a body that is being read, and nothing breaks."""
    with serving(app()) as url, connected(url) as connection:
        connection.sendall(sent)
        assert problem(answer_on(connection))[0] == 400
        assert is_answered(url)
    assert not [record for record in caplog.records if record.levelname != "INFO"]


@pytest.mark.parametrize("host", [b"", b"localhost:", b"[::1]:80", b"xn--a_b.example:65536"])
def test_what_may_be_a_host_is_one(host: bytes) -> None:
    """Nothing is said about names that nobody has."""
    with serving(app()) as url, connected(url) as connection:
        connection.sendall(GET.replace(b"localhost", host))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_strangers_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """With what they send before it is a request of anybody."""
    with serving(app()) as url:
        for odd in (b"what\r\n\r\n", GET.replace(b"Host", b"Upgrade: websocket\r\nHost")):
            with connected(url) as connection:
                connection.sendall(odd)
                connection.recv(65_536)
    assert not [record for record in caplog.records if record.levelname != "INFO"]


def test_empty_lines_before_a_request_are_passed_over() -> None:
    """Old clients send one behind a body (RFC 9112, 2.2)."""
    with serving(app()) as url, connected(url) as connection:
        for lines in (b"\r\n", b"\r\n\r\n", b"\n"):
            connection.sendall(lines)
            assert is_served(connection)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://shop.example/client?a=/x", "shop.example /client a=/x"),
        (b"HTTPS://shop.example:80/client", "shop.example:80 /client "),
        (b"http://shop.example?a=1", "shop.example / a=1"),
        (b"http://shop.example", "shop.example / "),
        (b"//shop.example/client", "x //shop.example/client "),
    ],
)
def test_a_whole_address_is_the_path_of_its_host(target: bytes, path: str) -> None:
    """Every server takes that form, and what it names goes before `Host` (RFC 9112, 3.2.2)."""
    app = FastAPI()

    @app.put("/{path:path}")
    async def asked_for(request: Request) -> Response:
        url = request.url
        return PlainTextResponse(f"{url.netloc} {request.scope['path']} {url.query}")

    asked = b"PUT %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target
    with serving(app) as url, connected(url) as connection:
        connection.sendall(asked)
        assert answer_on(connection).partition(b"\r\n\r\n")[2].decode() == path


@pytest.mark.parametrize("target", [b"*", b"http://shop.example"])
def test_the_server_itself_may_be_asked_what_it_takes(target: bytes) -> None:
    """`OPTIONS *`: of all its addresses together."""
    with serving(app()) as url, connected(url) as connection:
        connection.sendall(b"OPTIONS %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % target)
        said = answer_on(connection)
    assert said.startswith(b"HTTP/1.1 204")
    assert b"allow: GET, POST, PUT, PATCH, DELETE, HEAD\r\n" in said


def test_what_trickles_in_behind_an_answer_is_cut_off() -> None:
    """Nobody reads the body of a request to an address that is not there."""
    with (
        serving(app(), ApiSettings(head_timeout_s=SOON_S)) as url,
        connected(url) as connection,
    ):
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404")
        connection.settimeout(0.01)

        def ended() -> bool:
            try:
                connection.sendall(b"x")
                return connection.recv(65_536) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        eventually(ended, timeout_s=LONG_S)


def test_an_answer_that_nobody_takes_gives_its_place_back() -> None:
    """However many are asked for, and also where the connection is being closed already."""
    limits = ApiSettings(body_timeout_s=SOON_S, max_connections=1)
    with serving(app(), limits) as url, connected(url) as deaf:
        deaf.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        eventually(lambda: is_answered(url), timeout_s=LONG_S)
    with serving(app(), limits) as url, connected(url) as deaf:
        deaf.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        eventually(lambda: is_answered(url), timeout_s=LONG_S)


def test_a_large_answer_that_is_taken_arrives_whole() -> None:
    """In pieces, as the client takes them."""
    with serving(app()) as url:
        assert len(httpx.get(f"{url}/large").content) == LARGE_BYTES


def test_a_body_that_trickles_is_408_and_its_connection_closed(tmp_path: Path) -> None:
    """Over a real connection, whose other requests had their answers."""
    world = ApiWorld.open(tmp_path)
    limits = {"body_timeout_s": SOON_S}
    with serving(app_of(world, **limits), ApiSettings.model_validate(limits)) as url:
        with connected(url) as connection:
            connection.sendall(
                b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
            status, document = problem(answer_on(connection))
        assert (status, document["field"]) == (408, "body")
        assert httpx.get(f"{url}/healthz").status_code == 200
    world.index.close()


@pytest.mark.parametrize(
    ("believed", "seen"), [((), "127.0.0.1"), (("127.0.0.0/8",), "203.0.113.9")]
)
def test_only_a_named_proxy_is_believed(believed: tuple[str, ...], seen: str) -> None:
    """By default nobody is, not even on this machine: a rate limit would be for whoever lies."""
    with serving(app(), ApiSettings(forwarded_allow_ips=believed)) as url:
        answer = httpx.get(f"{url}/client", headers={"X-Forwarded-For": "203.0.113.9"})
        assert answer.text == seen


def test_a_proxy_that_is_no_address_is_refused() -> None:
    """A name would match nothing, silently."""
    with pytest.raises(ValidationError, match=r"proxy\.internal"):
        ApiSettings(forwarded_allow_ips=("proxy.internal",))
