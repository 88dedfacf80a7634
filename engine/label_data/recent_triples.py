"""The last training triples of the labelled topic, for whoever wants to see some."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict

from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.registry import decode
from sightline.schemas.searches import IMPORTED_GENERATION

KEPT = 500
"""So many triples of what people did here are kept, and as many again of imported logs."""
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
