"""A running node (`sightline up`, worker and API) on services of its own, and its HTTP client."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.arrivals import Arrivals, arriving, stored
from benchmarks.processes import node_process
from benchmarks.stack import Servers, photo_bytes
from sightline.engine.event_log.kafka import read_topics
from sightline.engine.settings import KafkaSettings, Settings
from sightline.infra.local.node_process import NodeProcess
from sightline.infra.wiring.services import services_base
from sightline.schemas.images import ObjectReference
from sightline.schemas.indexed import Lane, StageTimes
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES_INDEXED

SETTLE_TIMEOUT_S = 1_200.0
_LOOK_EVERY_S, _LOOKS = 0.25, 10
"""Between two looks: so long, or such a part of what was waited. A look costs the node 6 ms of CPU,
which is a fortieth of what it has for images."""
_IDLE_S = 2.0
_BOUNDARY = "sightline-benchmark"


@dataclass(frozen=True, slots=True)
class Node:
    """One node and what its benchmark may use."""

    process: NodeProcess
    settings: Settings
    pictures: Sequence[bytes]
    references: Sequence[ObjectReference]

    def settled(self, lane: Lane | None = None) -> int:
        """How many image versions its worker has brought to an end."""
        with Client(self.process.url) as client:
            text = client.get("/metrics")
        return int(
            sum(
                sample.value
                for family in text_string_to_metric_families(text)
                if family.name == "sightline_outcomes"
                for sample in family.samples
                if sample.name.endswith("_total") and lane in (None, sample.labels["lane"])
            )
        )

    def publish(self, arrivals: Arrivals) -> None:
        """Publish from another process and return when all is settled.

        Raises:
            TimeoutError: it was not settled in time.
        """
        goal = self.settled(arrivals.lane) + arrivals.count
        with arriving(self.settings, self.references, arrivals):
            pass
        self.wait_settled(goal, arrivals.lane)

    def wait_settled(self, goal: int, lane: Lane) -> None:
        """Return when so many versions of a lane are settled. Raises `TimeoutError`."""
        began = time.monotonic()
        while self.settled(lane) < goal:
            waited_s = time.monotonic() - began
            if waited_s > SETTLE_TIMEOUT_S:
                raise TimeoutError(f"{self.settled(lane)} of {goal} settled, see its log")
            time.sleep(max(_LOOK_EVERY_S, waited_s / _LOOKS))

    def capacity_per_s(self, count: int) -> float:
        """Live images/s with a queue that is never empty."""
        # Past the pictures that were last seen: their verdicts are remembered for a moment.
        first = len(self.references) // 2
        self.publish(Arrivals(prefix="capacity", count=count, first=first))
        return images_per_s(times_of(self.settings.kafka, "capacity"))

    def freshness_ms(self, prefix: str) -> list[float]:
        """Log to searchable, of every image so named (docs/images.md)."""
        found = times_of(self.settings.kafka, prefix)
        return [(t.searchable - t.appended).total_seconds() * 1_000 for t in found]


@dataclass(frozen=True, slots=True)
class Settled:
    """When the log had an image, when a worker took it, and when it was searchable."""

    appended: datetime
    consumed: datetime
    searchable: datetime


def times_of(kafka: KafkaSettings, prefix: str) -> list[Settled]:
    """The times of every image whose id begins with `<prefix>-`."""
    found = []
    for message in read_topics(kafka, [IMAGES_INDEXED.name]):
        if message.key is not None and message.key.startswith(f"{prefix}-".encode()):
            times: StageTimes = decode(message.value).data.times
            if times.searchable is not None:
                found.append(Settled(times.appended, times.consumed, times.searchable))
    return found


def images_per_s(settled: Sequence[Settled]) -> float:
    """The rate from when the first was taken to when the last was searchable.

    Not from when the first was searchable: few images may all become so at one instant.
    """
    took = max(each.searchable for each in settled) - min(each.consumed for each in settled)
    return len(settled) / took.total_seconds()


@contextmanager
def running_node(own: Servers, *, pictures: int) -> Iterator[Node]:
    """A node with empty topics and index, and pictures in its store; its label stages stay off."""
    settings = own.settings()
    labels = settings.labels.model_copy(update={"supervised": False})
    settings = settings.model_copy(update={"labels": labels})
    photos = photo_bytes(pictures, own.scratch)
    with services_base(settings) as base:
        references = stored(base, photos)
    log = own.scratch / f"{settings.kafka.topic_prefix}node.log"
    with node_process(settings, log) as process:
        yield Node(process, settings, photos, references)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer and how long it took."""

    document: dict[str, Any]
    body: bytes
    ms: float
    stages_ms: dict[str, float]
    """From `Server-Timing`."""


class Client:
    """A thin HTTP client on one kept connection: its own cost must not hide the server's."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            str(address.hostname), address.port, timeout=60
        )
        self._answered_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, path: str) -> str:
        """The text of an answer."""
        return self._ask("GET", path, None, {}).body.decode()

    def send(self, method: str, path: str, document: object = None) -> Answer:
        """Send JSON. Raises `RuntimeError` for an answer that is an error."""
        body = None if document is None else json.dumps(document).encode()
        return self._ask(method, path, body, {"Content-Type": "application/json"})

    def upload(
        self, picture: bytes, path: str = "/v1/search", method: str = "POST", **fields: str
    ) -> Answer:
        """Send a picture and fields as a form."""
        parts = [
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        head = (
            f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="image"; '
            'filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        body = (
            "".join(parts).encode() + head.encode() + picture + f"\r\n--{_BOUNDARY}--\r\n".encode()
        )
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        return self._ask(method, path, body, kind)

    def _reconnect(self) -> None:
        """Before the clock starts: a server closes connections that are idle for 5 s."""
        if time.perf_counter() - self._answered_s > _IDLE_S:
            self._connection.close()
            self._connection.connect()

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        self._reconnect()
        started = time.perf_counter()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        self._answered_s = time.perf_counter()
        ms = (self._answered_s - started) * 1_000
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        is_json = "json" in answer.getheader("Content-Type", "")
        document = json.loads(data) if is_json and data else {}
        stages = server_timing(answer.getheader("Server-Timing", ""))
        return Answer(document, data, ms, stages)


def server_timing(header: str) -> dict[str, float]:
    """`a;dur=1.50, b;dur=2` to milliseconds by stage."""
    entries = [entry.strip().partition(";dur=") for entry in header.split(",") if entry.strip()]
    return {name: float(duration) for name, _, duration in entries}
