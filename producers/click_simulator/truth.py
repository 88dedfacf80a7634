"""What really was so: kept apart from everything that is published."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SearchTruth:
    """What really happened on one page: who looked, how far, and at what."""

    search_id: str
    anchor_id: str
    visitor: str
    examined: int
    """The last position that was looked at, 0: none."""


@dataclass
class Truth:
    """Labels of the images and what visitors really did; the join never sees it."""

    labels: dict[str, str] = field(default_factory=dict)
    searches: dict[str, SearchTruth] = field(default_factory=dict)

    def is_relevant(self, anchor_id: str, image_id: str) -> bool:
        """Whether the image answers the anchor: both have the same label."""
        return self.labels[anchor_id] == self.labels[image_id]

    def write(self, path: Path) -> None:
        """One JSON object a line: labels, then searches."""
        with path.open("w") as file:
            file.writelines(line + "\n" for line in self._lines())

    def _lines(self) -> Iterable[str]:
        yield json.dumps({"labels": self.labels})
        for search in self.searches.values():
            yield json.dumps(asdict(search))
