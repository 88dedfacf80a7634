"""Deletes the consumer groups of generations that were dropped and removed.

Apart from what feeds the generations: a broker that does not answer must keep no image waiting.
"""

from __future__ import annotations

import logging
import threading

from sightline.engine.errors import SightlineError, TransientError
from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.ports import EventLog
from sightline.engine.serving.watch import RecordWatch
from sightline.stream_workers.image_log.groups import generation_groups

_LOOK_EVERY_S = 5.0
_log = logging.getLogger(__name__)


class GroupForgetting:
    """Looks for groups that nobody needs; any number of processes may.

    Args:
        watched: the record that names them.
        log: has them.
    """

    def __init__(self, watched: RecordWatch, log: EventLog) -> None:
        self._watched = watched
        self._log = log

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what fails is told, and tried again: `keep_looking`."""
        says = "groups of a dropped generation are there yet"
        obstacle = Obstacle(_log, says, level=logging.INFO)
        keep_looking(self.look, stop, every_s=_LOOK_EVERY_S, obstacle=obstacle)

    def look(self) -> None:
        """Delete what is due, once the index is removed, and with it whoever read for it.

        Raises:
            PartUnavailable: broker or store did not answer, or another process reads still.
            Unreadable: the record is damaged.
        """
        found = self._watched.find()
        if found is not None and found.state.forgetting:
            found = self._watched.find(now=True)
        if found is None or found.state.dropping:
            return
        for group in found.state.forgetting:
            self._forget(group)

    def _forget(self, group: str) -> None:
        try:
            self._log.forget_groups(generation_groups(group).values())
        except TransientError:
            raise
        except SightlineError as error:
            _log.info("the broker keeps the groups %s-*: %s", group, error)
        self._watched.record.change(lambda state: state.forgotten(group))
