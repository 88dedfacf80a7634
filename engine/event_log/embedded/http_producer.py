"""Appends events through the HTTP API of the embedded stack's owner process.

In the embedded stack only the owner may write the journal (docs/adr/0008), so other processes
hand it their events instead of appending to its broker themselves.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from http import HTTPStatus
from zlib import crc32

import urllib3

from sightline.engine.errors import (
    Overloaded,
    Part,
    PartUnavailable,
    PermanentError,
    TooLarge,
)
from sightline.engine.records import Message, ProducerRecord

EVENTS_PATH = "/v1/events"
CLOUD_EVENT = "application/cloudevents+json"
_MAX_QUEUED = 1_000
_THREADS = 8
"""Requests at once: the owner syncs its journal once for all that wait."""


class HttpEventProducer:
    """An `EventProducer` over `POST /v1/events`; messages of one key go one after the other.

    Args:
        url: base URL of the owner's API.
        headers: of every request: `Authorization` with an `admin` key, where the API has keys.
        timeout_s: for one message, its acknowledgement included.
    """

    def __init__(
        self, url: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 30.0
    ) -> None:
        self._url = url.rstrip("/") + EVENTS_PATH
        self._headers = {"Content-Type": CLOUD_EVENT, **(headers or {})}
        self._pool = urllib3.PoolManager(maxsize=_THREADS, timeout=timeout_s, retries=False)
        self._threads = [
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="events-http")
            for _ in range(_THREADS)
        ]
        self._waiting: set[Future[Message]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def append(self, record: ProducerRecord) -> Future[Message]:
        """See `EventProducer.append`; the owner stamps the time and chooses the partition.

        Raises:
            Overloaded: 1,000 messages wait already.
            PartUnavailable: the producer is closed.
            PermanentError: a null value, a time or a partition was asked for.
        """
        if record.value is None or (record.timestamp, record.partition) != (None, None):
            raise PermanentError("the owner's API takes events only: no null, time or partition")
        thread = self._threads[crc32(record.key.encode()) % _THREADS]
        with self._lock:
            if self._closed:
                raise PartUnavailable(Part.BROKER, "this producer is closed")
            self._waiting = {future for future in self._waiting if not future.done()}
            if len(self._waiting) >= _MAX_QUEUED:
                raise Overloaded(Part.BROKER, f"{_MAX_QUEUED} messages wait for the owner's API")
            future = thread.submit(self._post, record)
            self._waiting.add(future)
        return future

    def flush(self, timeout_s: float) -> None:
        """See `EventProducer.flush`."""
        with self._lock:
            waiting = set(self._waiting)
        if wait(waiting, timeout=timeout_s).not_done:
            raise PartUnavailable(Part.BROKER, f"the owner's API took longer than {timeout_s} s")

    def close(self) -> None:
        """See `EventProducer.close`; returns when every message has ended, one way or the other."""
        with self._lock:
            self._closed = True
        for thread in self._threads:
            thread.shutdown(wait=True)
        self._pool.clear()

    def _post(self, record: ProducerRecord) -> Message:
        traceparent = dict(record.headers).get("traceparent")
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                fields=None,
                body=record.value,
                headers=self._headers
                | {"X-Topic": record.topic}
                | ({"traceparent": traceparent.decode()} if traceparent else {}),
            )
        except urllib3.exceptions.HTTPError as error:
            raise PartUnavailable(Part.BROKER, f"no answer from {self._url}: {error}") from error
        if answer.status != HTTPStatus.OK:
            raise _error_of(answer.status, answer.data)
        place = json.loads(answer.data)
        return Message(
            topic=record.topic,
            partition=place["partition"],
            offset=place["offset"],
            key=record.key.encode(),
            value=record.value,
            timestamp=datetime.fromisoformat(place["appended"]),
            headers=tuple(record.headers),
        )


def _error_of(status: int, body: bytes) -> Exception:
    detail = body[:300].decode(errors="replace")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return TooLarge(detail)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return PartUnavailable(Part.BROKER, f"HTTP {status}: {detail}")
    return PermanentError(f"HTTP {status}: {detail}")
