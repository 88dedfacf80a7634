"""One lock an image: of two racing writes in this process, the second sees what the first did."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class ImageLocks:
    """Locks by image id that vanish when nobody holds or awaits them; for one event loop."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, image_id: str) -> asyncio.Lock:
        """The image's lock; keep a reference while it is in use."""
        return self._locks.setdefault(image_id, asyncio.Lock())
