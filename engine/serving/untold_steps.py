"""Tells the log of what changed in the record of what serves, where the maker did not come to it.

Apart from what feeds the generations: a log that does not answer must keep no image waiting.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.ports import Clock, EventProducer
from sightline.engine.serving.telling import tell
from sightline.engine.serving.watch import RecordWatch

LEFT_TO_ITS_MAKER = timedelta(seconds=10)
"""Whoever makes a step tells the log of it; one that is untold for longer is told here."""
_LOOK_EVERY_S = 1.0
_TIMEOUT_S = 5.0
"""For the log to acknowledge a step, and so the longest that a stop waits here."""

_log = logging.getLogger(__name__)


class StepTelling:
    """Looks for steps that nobody has told; any number of processes may.

    Args:
        watched: the record that has them.
        producer: appends to the log.
        clock: the time.
    """

    def __init__(self, watched: RecordWatch, producer: EventProducer, clock: Clock) -> None:
        self._watched = watched
        self._producer = producer
        self._clock = clock
        self._etag: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what fails is told, and tried again: `keep_looking`."""
        obstacle = Obstacle(_log, "a step of what serves is not told yet")
        keep_looking(self.look, stop, every_s=_LOOK_EVERY_S, obstacle=obstacle)

    def look(self) -> None:
        """Tell what is due.

        Raises:
            PartUnavailable: log or store did not answer; a repeat is safe.
            Unreadable: the record is damaged.
        """
        etag = self._watched.etag()
        if etag == self._etag:
            return
        found = self._watched.find()
        if found is None:
            return
        waiting = found.state.to_tell
        if waiting and self._clock.now() - waiting[0].at >= LEFT_TO_ITS_MAKER:
            tell(self._watched.record, self._producer, timeout_s=_TIMEOUT_S)
        elif not waiting:
            self._etag = found.etag
