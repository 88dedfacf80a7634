"""What a page costs: the embedded engine makes each payload and id anew when it is looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sightline.engine.vector_index.payload import to_payload
from sightline.engine.vector_index.ranking import SLACK, Asked, ranked_page
from tests.indexed_images import image

LIMIT = 3


@dataclass
class Point:
    """A scored point that remembers what was looked at."""

    number: int
    looks: list[str] = field(default_factory=list)

    @property
    def score(self) -> float:
        """Falls with the number, two by two."""
        return 1.0 - self.number // 2 / 10

    @property
    def id(self) -> str:
        """The point's id."""
        self.looks.append("id")
        return f"point-{self.number}"

    @property
    def payload(self) -> dict[str, Any]:
        """A whole image."""
        self.looks.append("payload")
        return to_payload(image(f"image-{self.number}"))


def test_only_what_may_be_on_the_page_is_read_and_once() -> None:
    """The payloads of the page and of what ties with its last are read; no id where it is told."""
    points = [Point(number) for number in range(LIMIT + SLACK)]

    def fetch(asked: Asked) -> list[Point]:
        return points[: asked.limit]

    page = ranked_page(fetch, LIMIT, settle_ties=False)
    assert [hit.image.image_id for hit in page] == ["image-0", "image-1", "image-2"]
    assert [point.looks for point in points[: LIMIT + 1]] == [["payload"]] * (LIMIT + 1)
    assert not any(point.looks for point in points[LIMIT + 1 :])
