"""The last training triples of the labelled topic, for whoever wants to see some."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable

from sightline.engine.backoff import Backoff, retry_transient
from sightline.engine.errors import TransientError
from sightline.engine.label_data.search_stats_follower import Follower
from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.registry import decode
from sightline.schemas.searches import IMPORTED_GENERATION

KEPT = 500
"""Of what people did here, and as many again of imported logs."""
POLL_MESSAGES, POLL_S = 500, 0.5
FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 10.0
_log = logging.getLogger(__name__)


class RecentTriples:
    """The last triples that were not taken back; safe across threads.

    Those of imported logs are kept apart: an import writes thousands at once, mostly with images
    that are not in this index, and must not push out what people do here.

    Args:
        kept: at most so many of either kind.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._here: OrderedDict[str, TripleMined] = OrderedDict()
        self._imported: OrderedDict[str, TripleMined] = OrderedDict()
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
                self._here.pop(event.data.triple_id, None)
                self._imported.pop(event.data.triple_id, None)
            elif isinstance(event.data, TripleMined):
                self._keep(event.id, event.data)

    def _keep(self, triple_id: str, triple: TripleMined) -> None:
        imported = triple.generation == IMPORTED_GENERATION
        triples = self._imported if imported else self._here
        triples.setdefault(triple_id, triple)
        while len(triples) > self._kept:
            triples.popitem(last=False)

    def newest(self) -> list[tuple[str, TripleMined]]:
        """Ids and triples: what people did here, then the imported, each the latest first."""
        with self._lock:
            return [*reversed(self._here.items()), *reversed(self._imported.items())]


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
