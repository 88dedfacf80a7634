"""What really was so: kept apart from everything that is published."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from sightline.producers.click_simulator.catalogue import SimulatedPicture


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
    families: dict[str, str] = field(default_factory=dict)
    """Broader labels, of the images that have one."""
    akin: float = 0.3
    """How well an image of the anchor's family, but of another label, answers it: from 0 to 1."""

    def learn(self, pictures: Iterable[SimulatedPicture]) -> None:
        """Adds the labels and the families of some pictures."""
        for picture in pictures:
            self.labels[picture.image_id] = picture.label
            if picture.family:
                self.families[picture.image_id] = picture.family

    def relevance(self, anchor_id: str, image_id: str) -> float:
        """How well an image answers an anchor.

        Returns:
            1 for the same label, `akin` for the same family, 0 for others and for unknown images.
        """
        if self.is_relevant(anchor_id, image_id):
            return 1.0
        family = self.families.get(anchor_id)
        return self.akin if family is not None and self.families.get(image_id) == family else 0.0

    def is_relevant(self, anchor_id: str, image_id: str) -> bool:
        """Whether the image answers the anchor in full: both have the same label."""
        label = self.labels.get(anchor_id)
        return label is not None and self.labels.get(image_id) == label

    def write(self, path: Path) -> None:
        """One JSON object a line: labels and families, then searches."""
        with path.open("w") as file:
            file.writelines(line + "\n" for line in self._lines())

    def _lines(self) -> Iterable[str]:
        yield json.dumps({"labels": self.labels, "families": self.families})
        for search in self.searches.values():
            yield json.dumps(asdict(search))
