"""One upload, its search, its click and its triple in a running stack, with every hop's time."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import httpx

from sightline.engine.errors import NotFound, SightlineError
from sightline.engine.ports import EventLog
from sightline.engine.settings import LabelSettings
from sightline.infra.reporting.trace_hops import Hop, hops, is_whole
from sightline.infra.sample_photos.synthetic_photos import synthetic_photos
from sightline.stream_workers.labels.rules import LabelRules

TIMEOUT_S = 30.0
DWELL_MS = 30_000
LATEST_S = 60.0
"""After the epoch has closed, its triples are there long before that."""
_POLL_S = 1.0
_WAIT = {"wait": "searchable", "timeout_s": "20"}


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


def wait_for_triple(log: EventLog, journey: Journey, *, since: datetime | None) -> list[Hop]:
    """The hops once a triple is there, else those that there were when the time was over."""
    deadline = journey.closes + timedelta(seconds=LATEST_S)
    while True:
        found = hops(log, journey.search_id, since=since)
        if is_whole(found) or datetime.now(UTC) > deadline:
            return found
        until_closed_s = (journey.closes - datetime.now(UTC)).total_seconds()
        time.sleep(max(_POLL_S, until_closed_s))
