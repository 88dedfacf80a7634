"""Who uploads, hides, shows, deletes and searches while the operator works."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count, cycle
from typing import Any, NamedTuple

import httpx

from sightline.infra.sample_photos.photo_folder import PhotoFolder

MOVED = 3
"""So many images are uploaded, hidden, shown and deleted during each step."""
WAIT = {"wait": "searchable", "timeout_s": "60"}
LIMIT_S = 900.0
SESSIONS = 40
"""So many people search in turn: an experiment parts them by their session."""
_PAUSE_S = 0.05


class Shown(NamedTuple):
    """One answer of a search by an indexed image."""

    generation: str
    asked: str
    scores: Mapping[str, float]


class Doors:
    """The addresses that must answer now; each opening is told apart from the one before."""

    def __init__(self) -> None:
        self._open: dict[str, int] = {}
        self._openings = count(1)

    def open(self, url: str) -> None:
        """From now on this address must answer."""
        self._open[url] = next(self._openings)

    def shut(self, url: str) -> None:
        """What answers there is about to be killed."""
        self._open.pop(url, None)

    def opened(self) -> list[tuple[str, int]]:
        """Each open address, and the number of its opening."""
        return sorted(self._open.items())

    def still(self, door: tuple[str, int]) -> bool:
        """Whether it has been open all the time since it was told."""
        return self._open.get(door[0]) == door[1]


@dataclass
class People:
    """Who writes and searches while the operator works; each write is repeated until it is told.

    Args:
        pictures: what they upload.
        photos: how many images there are from the start.
    """

    pictures: PhotoFolder
    photos: int
    answers: list[Shown] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    hidden_shown: list[str] = field(default_factory=list)
    doors: Doors = field(default_factory=Doors)
    hidden: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """One client for all writes: making one costs more than many requests."""
        self._client = httpx.Client(timeout=90)

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def write(self, step: int) -> None:
        """What is written during a step: always the same, with versions of its own."""
        for number in range(MOVED):
            self._put(f"new-{step}-{number}", self.photos + step * MOVED + number, 1, "public")
            hides = f"photo-{(step * MOVED + number) * 3 + 1}"
            self._put(hides, _number(hides), 2, "private")
            self.hidden.add(hides)
            goes = f"photo-{(step * MOVED + number) * 3 + 2}"
            self._ask("DELETE", goes, params=WAIT | {"version": "2"})
            self.hidden.add(goes)
        if step:
            shows = f"photo-{(step - 1) * MOVED * 3 + 1}"
            self.hidden.discard(shows)
            self._put(shows, _number(shows), 3, "public")

    def upload_all(self) -> None:
        """The pictures that are there from the start."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._upload, range(self.photos)))

    def _upload(self, number: int) -> None:
        self._put(f"photo-{number}", number, 1, "public")

    def search(self, over: threading.Event) -> None:
        """Search by images that nobody touches, until told to stop."""
        steady = [f"photo-{number * 3}" for number in range(self.photos // 3)]
        with httpx.Client(timeout=60) as client:
            for number, asked in enumerate(cycle(steady)):
                if over.is_set():
                    return
                doors = self.doors.opened()
                if doors:
                    session = f"session-{number % SESSIONS}"
                    self._search(client, asked, session, doors[number % len(doors)])
                over.wait(_PAUSE_S)

    def _search(
        self, client: httpx.Client, asked: str, session: str, door: tuple[str, int]
    ) -> None:
        hidden = set(self.hidden)
        try:
            body = {"image_id": asked, "limit": 24, "session_id": session}
            answer = client.post(f"{door[0]}/v1/search", json=body).raise_for_status().json()
        except httpx.HTTPError as error:
            if self.doors.still(door):
                self.failures.append(_told(error))
            return
        scores = {hit["image_id"]: float(hit["score"]) for hit in answer["results"]}
        self.hidden_shown += sorted((hidden & self.hidden) & scores.keys())
        self.answers.append(Shown(answer["generation"], asked, scores))

    def _put(self, image_id: str, number: int, version: int, visibility: str) -> None:
        self._ask(
            "PUT",
            image_id,
            params=WAIT,
            files={"image": ("p.jpg", self.pictures.sample(number), "image/jpeg")},
            data={"visibility": visibility, "version": str(version)},
        )

    def _ask(self, method: str, image_id: str, **what: Any) -> None:
        deadline, trouble = time.monotonic() + LIMIT_S, "nothing answers"
        for number in count():
            doors = self.doors.opened()
            if doors:
                url, _ = doors[number % len(doors)]
                try:
                    found = self._client.request(method, f"{url}/v1/images/{image_id}", **what)
                    # 202: taken, and not in effect when the wait was over.
                    if found.status_code in {httpx.codes.OK, httpx.codes.GONE}:
                        return
                    trouble = found.text
                except httpx.HTTPError as error:
                    trouble = _told(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{method} {image_id}: {trouble}")
            time.sleep(_PAUSE_S)


def _told(error: httpx.HTTPError) -> str:
    answer = error.response.text[:200] if isinstance(error, httpx.HTTPStatusError) else ""
    return f"{error!r} {answer}"


def _number(image_id: str) -> int:
    return int(image_id.removeprefix("photo-"))
