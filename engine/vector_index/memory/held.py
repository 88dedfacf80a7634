"""What one generation in memory holds: images and decisions, and what of them would survive."""

from __future__ import annotations

import threading

from sightline.engine.records import GenerationSpec, IndexedDecision, IndexedImage

Images = dict[str, IndexedImage]
Decided = dict[str, IndexedDecision]


class HeldGeneration:
    """What one generation holds, shared by all who have it open.

    Args:
        spec: its model and geometry.
    """

    def __init__(self, spec: GenerationSpec) -> None:
        self.spec = spec
        self.lock = threading.RLock()
        self.images: Images = {}
        self.decided: Decided = {}
        self.durable: tuple[Images, Decided] = {}, {}
