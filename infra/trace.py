"""One upload, its search, its click and its triple in a running stack, with every hop's time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx

from sightline.engine.errors import NotFound, SightlineError
from sightline.engine.event_log_kafka import read_topics
from sightline.engine.records import Message
from sightline.engine.settings import KafkaSettings, LabelSettings
from sightline.infra.synthetic_photos import synthetic_photos
from sightline.schemas.envelope import ContractError, Event, EventData
from sightline.schemas.images import ImageState
from sightline.schemas.indexed import ImageIndexed
from sightline.schemas.interactions import ResultsInteracted
from sightline.schemas.labels import SearchesClosed, TripleMined
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import (
    IMAGES,
    IMAGES_INDEXED,
    INTERACTIONS,
    SEARCHES_CLOSED,
    TRAINING_TRIPLES,
)
from sightline.stream_workers.labels.rules import LabelRules

TIMEOUT_S = 30.0
DWELL_MS = 30_000
LATEST_S = 60.0
"""After the epoch has closed, its triples are there long before that."""
_POLL_S = 1.0
_WAIT = {"wait": "searchable", "timeout_s": "20"}
_SEARCHED = (IMAGES, IMAGES_INDEXED, INTERACTIONS, SEARCHES_CLOSED, TRAINING_TRIPLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One moment of the way."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """A search whose anchor was uploaded for it."""

    image_id: str
    search_id: str
    began: datetime
    closes: datetime
    """When stream time closes the epoch of the search."""


class Traveller:
    """Does what a user does, over HTTP."""

    def __init__(self, url: str, *, api_key: str | None) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S, headers=headers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def travel(self, labels: LabelSettings) -> Journey:
        """Upload a picture, search by it, click the last result and stay with it.

        Raises:
            NotFound: fewer than two other images are public: nothing could be preferred.
            SightlineError: the API refused.
        """
        began = datetime.now(UTC)
        picture = next(synthetic_photos(1, seed=time.time_ns())).jpeg
        upload = self._post(
            "/v1/images",
            params=_WAIT,
            files={"image": ("trace.jpg", picture, "image/jpeg")},
            data={"visibility": "public", "tags": "trace"},
        )
        image_id = str(upload["image_id"])
        answer = self._post("/v1/search", json={"image_id": image_id, "session_id": "trace"})
        results = answer["results"]
        if len(results) < 2:  # noqa: PLR2004 - one to prefer, one to prefer it to
            self.forget(image_id)
            raise NotFound("a trace needs two other public images in the index: upload some first")
        rules = LabelRules.of(labels)
        searched = datetime.now(UTC)
        self._post(
            "/v1/interactions",
            json={"search_id": answer["search_id"], "items": _stay_with(results[-1])},
        )
        closes_ms = rules.closes_at(rules.epoch_of(round(searched.timestamp() * 1_000)))
        return Journey(
            image_id=image_id,
            search_id=str(answer["search_id"]),
            began=began,
            closes=datetime.fromtimestamp(closes_ms / 1_000, UTC),
        )

    def forget(self, image_id: str) -> None:
        """Delete the picture; `sightline retract` then takes its triples back."""
        self._checked(self._http.delete(f"/v1/images/{image_id}", params=_WAIT))

    def _post(self, path: str, **request: Any) -> dict[str, Any]:
        return self._checked(self._http.post(path, **request))

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            raise SightlineError(f"{answer.request.url}: {answer.status_code} {answer.text[:300]}")
        document: dict[str, Any] = answer.json()
        return document


def _stay_with(result: dict[str, Any]) -> list[dict[str, Any]]:
    common = {"image_id": result["image_id"], "position": result["position"]}
    return [
        {"event_id": "click", "kind": "clicked", "since_answer_ms": 1, **common},
        {
            "event_id": "stay",
            "kind": "viewed",
            "since_answer_ms": 2,
            "dwell_ms": DWELL_MS,
            **common,
        },
    ]


def wait_for_triple(
    kafka: KafkaSettings,
    journey: Journey,
    *,
    since: datetime | None,
    wait: Callable[[float], object] = time.sleep,
) -> list[Hop]:
    """The hops once a triple is there, else those that there were when the time was over."""
    deadline = journey.closes + timedelta(seconds=LATEST_S)
    while True:
        found = hops(kafka, journey.search_id, since=since)
        if found[-1].name == TRIPLE or datetime.now(UTC) > deadline:
            return found
        until_closed_s = (journey.closes - datetime.now(UTC)).total_seconds()
        wait(max(_POLL_S, until_closed_s))


TRIPLE = "first triple in the log"


def hops(kafka: KafkaSettings, search_id: str, *, since: datetime | None = None) -> list[Hop]:
    """What the log knows of a search and of the image that it asked by, in order of time.

    Args:
        since: records before are not read; None: from the log's beginning.

    Raises:
        NotFound: no impression of this search.
    """
    told = list(_events(kafka, since))
    anchor_id = next(
        (
            event.data.anchor_id
            for _, event in told
            if isinstance(event.data, ResultsShown) and event.data.search_id == search_id
        ),
        None,
    )
    if anchor_id is None:
        raise NotFound(f"the log knows no search {search_id[:40]}…")
    found: dict[str, datetime] = {}
    for message, event in told:
        for hop in _hops_of(message, event, anchor_id, search_id):
            found.setdefault(hop.name, hop.at)
    return sorted((Hop(name=name, at=at) for name, at in found.items()), key=lambda hop: hop.at)


def _events(
    kafka: KafkaSettings, since: datetime | None
) -> Iterator[tuple[Message, Event[EventData]]]:
    for message in read_topics(kafka, [topic.name for topic in _SEARCHED], since=since):
        try:
            yield message, decode(message.value)
        except ContractError:
            continue


def _hops_of(
    message: Message, event: Event[EventData], anchor_id: str, search_id: str
) -> Iterator[Hop]:
    data, at = event.data, message.timestamp
    if isinstance(data, ImageState) and data.image_id == anchor_id:
        yield Hop(name="upload told (its own clock)", at=event.time)
        yield Hop(name="upload in the log", at=at)
    elif isinstance(data, ImageIndexed) and data.image_id == anchor_id:
        times = (
            ("taken by the worker", data.times.consumed),
            ("bytes read", data.times.fetched),
            ("embedded", data.times.embedded),
            ("searchable", data.times.searchable),
        )
        yield from (Hop(name=name, at=moment) for name, moment in times if moment)
    elif isinstance(data, ResultsShown) and data.search_id == search_id:
        yield Hop(name="search answered", at=data.issued_at)
        yield Hop(name="impression in the log", at=at)
    elif isinstance(data, ResultsInteracted) and data.search_id == search_id:
        yield Hop(name="click received", at=data.received_at)
        yield Hop(name="click in the log", at=at)
    elif isinstance(data, SearchesClosed):
        if any(search.search_id == search_id for search in data.searches):
            yield Hop(name="epoch closed", at=event.time)
            yield Hop(name="closed search in the log", at=at)
    elif isinstance(data, TripleMined) and data.search_id == search_id:
        yield Hop(name=TRIPLE, at=at)
