"""What only the S3 adapter can get wrong."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from sightline.engine.errors import (
    ObjectDenied,
    ObjectMissing,
    ObjectRefused,
    PartUnavailable,
    SightlineError,
    TooLarge,
)
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.settings import StoreSettings
from sightline.infra.local.free_ports import free_port


def test_a_machine_without_credentials_is_an_outage_and_no_missing_object(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While a role's credentials cannot be had, images wait; they are not rejected as missing."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", nowhere)
    store = S3ObjectStore(StoreSettings(endpoint="127.0.0.1:1", access_key=None, timeout_s=0.5))
    with pytest.raises(PartUnavailable, match=r"store\.access_key|no answer|get:"):
        store.get("bucket", "key")


BOUND = 100_000
"""More than what `MUCH` packs to: its header does not give it away."""
MUCH = 32 * 2**20
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def answering(answer: Answer, status: int = 200) -> Iterator[S3ObjectStore]:
    """A store whose server answers every GET so; the body is its own affair."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.close_connection = True

        def do_GET(self) -> None:
            self.send_response(status)
            with suppress(ConnectionError):  # the client may well have heard enough
                answer(self)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        settings = StoreSettings(
            endpoint=f"127.0.0.1:{server.server_address[1]}",
            access_key="key",
            secret_key=SecretStr("secret"),
            region="here",
            timeout_s=10.0,
        )
        try:
            with closing(S3ObjectStore(settings)) as store:
                yield store
        finally:
            server.shutdown()
            thread.join()


def body(size_bytes: int, **headers: str) -> Answer:
    """So many bytes under these headers; the connection ends with them."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        for _ in range(0, size_bytes, BOUND):
            handler.wfile.write(b"x" * BOUND)

    return answer


def in_chunks(size_bytes: int) -> Answer:
    """So many bytes, in chunks of the bound."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(0, size_bytes, BOUND):
            handler.wfile.write(b"%x\r\n%s\r\n" % (BOUND, b"x" * BOUND))
        handler.wfile.write(b"0\r\n\r\n")

    return answer


def packed(size_bytes: int) -> Answer:
    """So many bytes that the client unpacks; the header says the packed length."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        data = gzip.compress(b"x" * size_bytes)
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return answer


@pytest.mark.parametrize("odd", [body, in_chunks, packed])
def test_a_body_is_bounded_whatever_its_header_says(odd: Callable[[int], Answer]) -> None:
    """No length, chunks, or a packed body: the bound itself passes, more is `TooLarge`."""
    with answering(odd(BOUND)) as store:
        assert store.get("bucket", "key", max_bytes=BOUND) == b"x" * BOUND
    with answering(odd(MUCH)) as store, pytest.raises(TooLarge, match="over"):
        store.get("bucket", "key", max_bytes=BOUND)


def test_a_length_over_the_bound_is_not_read() -> None:
    """The header is enough; nothing of the body need come."""
    answer = body(0, Content_Length=str(MUCH))
    with answering(answer) as store, pytest.raises(TooLarge, match="over"):
        store.get("bucket", "key", max_bytes=BOUND)


def test_a_length_that_is_none_does_not_make_the_object_missing() -> None:
    """An image is never rejected as missing because a proxy wrote nonsense into a header."""
    with answering(body(BOUND, Content_Length="many")) as store:
        assert store.get("bucket", "key", max_bytes=BOUND) == b"x" * BOUND


@pytest.mark.parametrize("max_bytes", [None, 2 * BOUND])
def test_a_body_that_ends_early_is_an_outage(max_bytes: int | None) -> None:
    """Half an object is not taken for a whole one; it is asked for again later."""
    answer = body(BOUND, Content_Length=str(2 * BOUND))
    with (
        answering(answer) as store,
        pytest.raises(PartUnavailable, match=r"IncompleteRead|Protocol"),
    ):
        store.get("bucket", "key", max_bytes=max_bytes)


def test_a_server_that_asks_for_patience_does_not_get_it_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever called decides how long to wait: a starting server says 60 s and is there in one."""
    waited: list[float] = []
    monkeypatch.setattr("urllib3.util.retry.time.sleep", waited.append)
    answer = body(0, Retry_After="60", Content_Length="0")
    with answering(answer, 503) as store, pytest.raises(PartUnavailable):
        store.get("bucket", "key")
    assert not waited


def complaint(code: str) -> Answer:
    """An S3 error document."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        document = f"<Error><Code>{code}</Code><Message>m</Message></Error>".encode()
        handler.send_header("Content-Type", "application/xml")
        handler.send_header("Content-Length", str(len(document)))
        handler.end_headers()
        handler.wfile.write(document)

    return answer


@pytest.mark.parametrize(
    ("status", "code", "meant"),
    [
        (403, "InvalidObjectState", ObjectRefused),
        (400, "InvalidRequest", ObjectRefused),
        (400, "KeyTooLongError", ObjectRefused),
        (400, "XMinioInvalidObjectName", ObjectRefused),
        (405, "MethodNotAllowed", ObjectRefused),
        (410, "Gone", ObjectRefused),
        (404, "NoSuchKey", ObjectMissing),
        (412, "PreconditionFailed", ObjectRefused),
        (451, "UnavailableForLegalReasons", ObjectRefused),
        (403, "AccessDenied", ObjectDenied),
        (403, "ObjectQuarantined", ObjectDenied),
        (301, "PermanentRedirect", ObjectDenied),
        (409, "OperationAborted", PartUnavailable),
        (403, "InvalidAccessKeyId", PartUnavailable),
        (403, "RequestTimeTooSkewed", PartUnavailable),
        (400, "KMS.DisabledException", ObjectDenied),
        (400, "KMS.NotFoundException", ObjectDenied),
        (409, "KMS.KMSInvalidStateException", ObjectDenied),
        (403, "KMS.AccessDeniedException", ObjectDenied),
        (400, "KMS.ThrottlingException", PartUnavailable),
        (400, "KMS.KMSInternalException", PartUnavailable),
        (500, "KMS.KeyUnavailableException", PartUnavailable),
        (503, "KMS.DisabledException", PartUnavailable),
        (403, "SignatureDoesNotMatch", PartUnavailable),
        (400, "ExpiredToken", PartUnavailable),
        (429, "SlowDown", PartUnavailable),
        (503, "SlowDown", PartUnavailable),
    ],
)
def test_an_answer_about_one_object_is_not_an_outage(
    status: int, code: str, meant: type[SightlineError]
) -> None:
    """Archived or impossible objects end; wrong keys, clocks and tokens are waited out.

    Who may not read, or lacks the key that an object is sealed with, waits alone; so does a bucket
    that lies in another region.
    """
    with answering(complaint(code), status) as store:
        with pytest.raises(SightlineError) as read:
            store.get("bucket", "key")
        assert type(read.value) is meant
        with pytest.raises(SightlineError) as looked:
            store.stat("bucket", "key")
        assert isinstance(looked.value, PartUnavailable) == issubclass(meant, PartUnavailable)
        assert "no object can have that name" not in str(looked.value)


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "AccessDenied"), (400, "KMS.DisabledException"), (301, "PermanentRedirect")],
)
def test_our_own_bucket_that_is_closed_to_us_is_an_outage(status: int, code: str) -> None:
    """Nothing works without it, so all wait; an answer need not name the bucket."""
    with answering(complaint(code), status) as store, pytest.raises(PartUnavailable):
        store.get(store.own_bucket, "key")


def test_an_object_that_is_not_packed_as_it_says_ends() -> None:
    """Whoever stores it names its encoding; the store is up, whatever they name."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_header("Content-Encoding", "gzip")
        handler.send_header("Content-Length", "5")
        handler.end_headers()
        handler.wfile.write(b"plain")

    with answering(answer) as store:
        for max_bytes in (None, BOUND):
            with pytest.raises(ObjectRefused, match="not packed"):
                store.get("bucket", "key", max_bytes=max_bytes)


def test_an_answer_that_is_cut_off_is_an_outage() -> None:
    """Also an error document, from which no code can be read."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        document = b"<Error><Code>Access"
        handler.send_header("Content-Type", "application/xml")
        handler.send_header("Content-Length", str(len(document)))
        handler.end_headers()
        handler.wfile.write(document)

    def lists(store: S3ObjectStore) -> object:
        return list(store.list("bucket", ""))

    for status in (200, 403):
        with answering(answer, status) as store, pytest.raises(PartUnavailable):
            lists(store)
    with answering(answer, 403) as store:
        for read in (store.get, store.stat):
            with pytest.raises(PartUnavailable):
                read("bucket", "key")


@pytest.mark.parametrize("code", ["InvalidRequest", "MethodNotAllowed", "AccessDenied"])
def test_a_write_that_is_refused_is_repeated_later(code: str) -> None:
    """What must be written is never given up because of the store's settings."""
    with answering(complaint(code), 403) as store, pytest.raises(PartUnavailable) as refused:
        store.put("bucket", "key", b"data")
    assert type(refused.value) is PartUnavailable
