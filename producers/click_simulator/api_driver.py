"""Simulated people on the real API: they search, look, click, and send beacons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from sightline.engine.errors import Overloaded, Part, PartUnavailable, PermanentError
from sightline.producers.click_simulator.simulated_log import interaction
from sightline.producers.click_simulator.truth import SearchTruth, Truth
from sightline.producers.click_simulator.user_model import UserModel, Visitor, visit
from sightline.schemas.interactions import MAX_ITEMS

TOO_MANY, UNAVAILABLE, SERVER_ERROR = 429, 503, 500
HTTP_ERROR = 400


class Response(Protocol):
    """What is needed of an HTTP answer; httpx's has it."""

    @property
    def status_code(self) -> int:
        """The answer's HTTP status code, such as 200."""

    def json(self) -> Any:
        """Parses the body of the answer as JSON."""


class HttpClient(Protocol):
    """What is needed of an HTTP client bound to the API's address; `httpx.Client` has it."""

    def post(self, url: str, *, json: Any) -> Response:
        """Sends `json` to `url` by POST and waits for the answer."""


@dataclass
class ApiDriver:
    """Seeded people against a running API.

    Args:
        client: bound to the API; its key, if any, is in its headers.
        labels: image id to label, the truth by which people judge; unknown images are irrelevant.
        model: how they behave.
        seed: of all chance.
        limit: results on a page.
        leaves_after_ms: what would come later is not reported. Beacons are sent at once, and the
            API refuses what is said to happen more than a minute after it was told.
        truth: what people go by; give one with `families` for graded relevance.
    """

    client: HttpClient
    labels: Mapping[str, str]
    model: UserModel = field(default_factory=UserModel)
    seed: int = 0
    limit: int = 24
    leaves_after_ms: int = 60_000
    truth: Truth = field(default_factory=Truth)
    _acts: int = 0

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311 - a simulation
        self.truth.labels.update(self.labels)

    def search_and_click(
        self, anchor_id: str, *, session_id: str, visitor: Visitor = Visitor.PERSON
    ) -> int:
        """One search by an indexed image and what follows from it; returns the acts sent.

        Raises:
            Overloaded: the API has too much to do (429, 503).
            PartUnavailable: the API failed.
            PermanentError: the API refused; the message has its answer.
        """
        fields = {"image_id": anchor_id, "limit": self.limit, "session_id": session_id}
        answer = self._post("/v1/search", fields)
        results = answer["results"]
        relevance = [self.truth.relevance(anchor_id, result["image_id"]) for result in results]
        done = visit(relevance, visitor, self.model, self._random)
        self.truth.searches[answer["search_id"]] = SearchTruth(
            answer["search_id"], anchor_id, visitor.value, done.examined
        )
        acts = [act for act in done.acts if act.at_ms <= self.leaves_after_ms]
        if answer.get("feedback", True):
            self._send(answer["search_id"], self._items(results, acts))
        return len(acts)

    def _items(self, results: Sequence[Mapping[str, Any]], acts: Sequence[Any]) -> list[Any]:
        items = []
        for act in sorted(acts):
            self._acts += 1
            result = results[act.position - 1]
            item = interaction(result["image_id"], act, f"sim-{self.seed}-{self._acts}")
            told = item.model_dump(mode="json", exclude_none=True)
            items.append(told | {"position": result["position"]})
        return items

    def _send(self, search_id: str, items: list[Any]) -> None:
        for start in range(0, len(items), MAX_ITEMS):
            part = items[start : start + MAX_ITEMS]
            self._post("/v1/interactions", {"search_id": search_id, "items": part})

    def _post(self, path: str, body: Any) -> Any:
        response = self.client.post(path, json=body)
        status = response.status_code
        if status in (TOO_MANY, UNAVAILABLE):
            raise Overloaded(Part.BROKER, f"POST {path} answered {status}")
        if status >= SERVER_ERROR:
            raise PartUnavailable(Part.BROKER, f"POST {path} answered {status}")
        if status >= HTTP_ERROR:
            raise PermanentError(f"POST {path} answered {status}: {response.json()}")
        return response.json()
