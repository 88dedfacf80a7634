"""The last training triples of the labelled topic, for whoever wants to see some."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

from sightline.engine.backoff import Backoff, retry_transient
from sightline.engine.errors import TransientError
from sightline.engine.records import Message
from sightline.engine.search_stats_follower import Follower
from sightline.schemas.envelope import ContractError
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.registry import decode

KEPT = 500
POLL_MESSAGES, POLL_S = 500, 0.5
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 10.0
_log = logging.getLogger(__name__)


class RecentTriples:
    """The last `kept` triples that were not taken back; safe across threads."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._triples: OrderedDict[str, TripleMined] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, message: Message) -> None:
        """Take one record of the topic; repeats and unreadable ones change nothing."""
        try:
            event = decode(message.value)
        except ContractError as error:
            _log.warning("an unreadable triple at %s: %s", message.offset, error)
            return
        with self._lock:
            if isinstance(event.data, TripleRetracted):
                self._triples.pop(event.data.triple_id, None)
            elif isinstance(event.data, TripleMined):
                self._triples.setdefault(event.id, event.data)
                while len(self._triples) > self._kept:
                    self._triples.popitem(last=False)

    def newest(self) -> list[tuple[str, TripleMined]]:
        """Ids and triples, the latest first."""
        with self._lock:
            return list(reversed(self._triples.items()))


class RecentTriplesFollower:
    """Reads on until it is told to stop; `triples` is what it knows.

    Args:
        follow: opens the topic near its end.
    """

    def __init__(self, follow: Callable[[], Follower]) -> None:
        self._follow = follow
        self.triples = RecentTriples()

    def run(self, stop: threading.Event) -> None:
        """Follow; waits out a broker that is down."""
        backoff = Backoff(initial_s=FIRST_RETRY_S, maximum_s=LONGEST_RETRY_S)
        try:
            follower = retry_transient(self._follow, backoff=backoff, stop=stop, failed=_failed)
        except TransientError:
            return
        try:
            while not stop.is_set():
                self._read(follower, stop)
        finally:
            follower.close()

    def _read(self, follower: Follower, stop: threading.Event) -> None:
        try:
            messages = follower.poll(POLL_MESSAGES, POLL_S)
        except TransientError as error:
            _failed(error)
            stop.wait(POLL_S)
            return
        for message in messages:
            self.triples.add(message)


def _failed(error: TransientError) -> None:
    _log.warning("recent triples wait: %s", error)
