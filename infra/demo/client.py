"""What the demo asks of the running stack, over HTTP as anybody would."""

from __future__ import annotations

import time
from typing import Any, Self

import httpx

from sightline.engine.errors import SightlineError
from sightline.infra.sample_photos.photo_folder import PhotoFolder
from sightline.infra.sample_photos.synthetic_photos import synthetic_photos
from sightline.schemas.indexed import Lane

TIMEOUT_S = 30.0
_WAIT = {"wait": "searchable", "timeout_s": "20"}
_DRAWN_SEED = 90_210
_OUTCOMES = "sightline_outcomes_total{"
_OF_BACKFILL = f'lane="{Lane.BACKFILL}"'


class DemoClient:
    """A client of one stack; it remembers the images that it uploaded itself."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT_S)
        self._own: list[str] = []
        self._drawn = synthetic_photos(1_000, seed=_DRAWN_SEED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def settled(self) -> int:
        """How many of the backfill's images have an outcome."""
        # Read by hand: the library's parser takes every metric apart, at the cost of the indexing.
        lines = self._http.get("/metrics").text.splitlines()
        counted = (line for line in lines if line.startswith(_OUTCOMES) and _OF_BACKFILL in line)
        return int(sum(float(line.rsplit(" ", 1)[1]) for line in counted))

    def runtime(self) -> str:
        """What embeds in the running stack, such as `openvino`."""
        return str(self._checked(self._http.get("/readyz"))["runtime"])

    def live_upload(self, number: int) -> float:
        """Upload one drawn picture as anybody would; seconds from log to searchable."""
        del number
        image_id, _ = self.upload_new()
        document = self._checked(self._http.get(f"/v1/images/{image_id}"))
        return float(document["freshness"]["seconds"])

    def upload_new(self) -> tuple[str, bytes]:
        """Upload a picture that nobody has seen; its id and bytes, once it is searchable."""
        picture = next(self._drawn).jpeg
        answer = self._http.post(
            "/v1/images",
            params=_WAIT,
            files={"image": ("drawn.jpg", picture, "image/jpeg")},
            data={"visibility": "public", "tags": "demo"},
        )
        image_id = str(self._checked(answer)["image_id"])
        self._own.append(image_id)
        return image_id, picture

    def delete(self, image_id: str) -> None:
        """Delete an image; returns when no search finds it."""
        self._checked(self._http.delete(f"/v1/images/{image_id}", params=_WAIT))
        self._own.remove(image_id)

    def forget_live_uploads(self) -> None:
        """Deletes the images that this client uploaded one by one."""
        for image_id in list(self._own):
            self.delete(image_id)

    def search_by_upload(self, picture: bytes) -> list[str]:
        """Ids of the results for a picture, best first."""
        answer = self._http.post(
            "/v1/search", files={"image": picture}, data={"store_query": "false"}
        )
        return [str(result["image_id"]) for result in self._checked(answer)["results"]]

    def time_searches(self, folder: PhotoFolder, count: int) -> tuple[list[float], list[float]]:
        """Seconds of `count` searches by id, and of as many by upload."""
        known = self.search_by_upload(folder.sample(0))
        by_id = [
            self._timed(lambda n=number: self._search_by_id(known[n % len(known)]))
            for number in range(count)
        ]
        by_upload = [
            self._timed(lambda n=number: self.search_by_upload(folder.sample(n)))
            for number in range(count)
        ]
        return by_id, by_upload

    def _search_by_id(self, image_id: str) -> None:
        self._checked(self._http.post("/v1/search", json={"image_id": image_id}))

    def _timed(self, ask: Any) -> float:
        started = time.perf_counter()
        ask()
        return time.perf_counter() - started

    def _checked(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.is_error:
            raise SightlineError(f"{answer.request.url}: {answer.status_code} {answer.text[:300]}")
        document: dict[str, Any] = answer.json()
        return document
