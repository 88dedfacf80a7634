"""Stored query pictures to their end: removed 30 days after they were last asked by."""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from functools import partial

from sightline.engine.looking import Obstacle, keep_looking
from sightline.engine.ports import Clock, ObjectStore
from sightline.engine.search_ids import QUERY_PREFIX

RETENTION = timedelta(days=30)
_EVERY_S = 3_600.0
_log = logging.getLogger(__name__)


def forget_old_queries(store: ObjectStore, bucket: str, *, clock: Clock) -> int:
    """Remove what is past its retention; how many went. A repeat finds none.

    A picture that is asked by again is written again, which starts its time anew.

    Raises:
        PartUnavailable: the store did not answer; a repeat goes on.
    """
    before, gone = clock.now() - RETENTION, 0
    for item in store.list(bucket, QUERY_PREFIX):
        if item.modified is not None and item.modified < before:
            store.delete(bucket, item.key)
            gone += 1
    if gone:
        _log.info("query pictures forgotten", extra={"pictures": gone})
    return gone


class QueryRetention:
    """Looks once an hour; any number of processes may.

    Args:
        store: with the bucket that is ours.
        bucket: ours.
        clock: the time.
    """

    def __init__(self, store: ObjectStore, bucket: str, clock: Clock) -> None:
        self._store = store
        self._bucket = bucket
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what fails is told, and tried again: `keep_looking`."""
        obstacle = Obstacle(_log, "query pictures could not be looked through")
        look = partial(forget_old_queries, self._store, self._bucket, clock=self._clock)
        keep_looking(look, stop, every_s=_EVERY_S, obstacle=obstacle)
