"""Deletes the consumer groups of generations that were dropped and removed.

Apart from what feeds the generations: a broker that does not answer must keep no image waiting.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from sightline.engine.errors import SightlineError, TransientError
from sightline.stream_workers.image_log.groups import generation_groups

if TYPE_CHECKING:
    from sightline.engine.ports import EventLog
    from sightline.engine.serving.watch import RecordWatch

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
        self._told = ""

    def run(self, stop: threading.Event) -> None:
        """Look every few seconds until `stop`; a broker that is away is asked again."""
        while not stop.wait(_LOOK_EVERY_S):
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - nothing is served or fed by it
                self._say(f"groups of a dropped generation are there yet: {error}")

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
            self._say(f"the broker keeps the groups {group}-*: {error}")
        self._watched.record.change(lambda state: state.forgotten(group))

    def _say(self, what: str) -> None:
        if what != self._told:
            _log.info("%s", what)
        self._told = what
