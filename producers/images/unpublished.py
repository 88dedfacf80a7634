"""What a crash left between catalogue and log, published without anybody asking for it."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import Any, Protocol

from sightline.engine.errors import PermanentError
from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.object_store.catalogue import Entries
from sightline.engine.object_store.noted_times import note_time, noted_time
from sightline.engine.ports import Clock, ObjectStore

LOOKED = ".looked"
"""In a catalogue: when the last look began that went through to its end; no image has this key."""
GRACE = timedelta(minutes=1)
"""A younger entry is its writer's to publish, who gives up after `kafka.delivery_timeout_s`."""
SKEW = timedelta(minutes=5)
"""How far the clocks of the store and of those who look may differ."""

_log = logging.getLogger(__name__)


class Finishes(Protocol):
    """Publishes what is kept: of images, or of decisions about them."""

    def finish(self, image_id: str) -> object | None:
        """Publish one image's entry if that was never noted; None: nothing was to be done."""


class Unpublished:
    """Looks through a catalogue now and then; any number of processes may, at the same time too.

    Only entries that were written since the last whole look are read: of the others the store's
    listing tells enough, a thousand to a request.

    Args:
        catalogue: whose entries may wait.
        images: publishes them; of two processes that publish one entry the second repeats it.
        store: keeps when the last look was.
        bucket: ours.
        clock: the time.
        every_s: between two looks.
    """

    def __init__(
        self,
        catalogue: Entries[Any],
        images: Finishes,
        store: ObjectStore,
        bucket: str,
        *,
        clock: Clock,
        every_s: float,
    ) -> None:
        self._catalogue = catalogue
        self._images = images
        self._store = store
        self._bucket = bucket
        self._clock = clock
        self._every_s = every_s
        self._looked_key = catalogue.prefix + LOOKED

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what fails is told, and tried again: `keep_looking`."""
        obstacle = Obstacle(_log, "the catalogue could not be looked through")
        keep_looking(self.publish, stop, every_s=self._every_s, obstacle=obstacle)

    def publish(self, *, grace: timedelta = GRACE) -> int:
        """Publish what waits since the last whole look; how many. A repeat finds none.

        An entry that cannot be read is told and passed over.

        Args:
            grace: a younger entry is left to its writer; none where all writers have ended.

        Raises:
            PartUnavailable: store or broker; a repeat goes on.
        """
        now = self._clock.now()
        until = now - grace
        looked = noted_time(self._store, self._bucket, self._looked_key, now=now)
        published = 0
        for image_id in self._catalogue.ids(
            changed_since=looked, changed_before=until if grace else None
        ):
            try:
                published += self._images.finish(image_id) is not None
            except PermanentError as error:
                _log.error("image %s could not be published: %s", image_id, error)
        note_time(self._store, self._bucket, self._looked_key, until - SKEW)
        if published:
            _log.info("published what a crash had left", extra={"images": published})
        return published
