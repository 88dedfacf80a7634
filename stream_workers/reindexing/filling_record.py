"""What filling a generation comes to, noted in the record of what serves."""

from __future__ import annotations

import logging

from sightline.engine.errors import NotFound
from sightline.engine.ports import Clock
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.values import GenerationStage
from sightline.stream_workers.reindexing.parity import Parity

_log = logging.getLogger(__name__)


class FillingRecord:
    """One generation's part in the record, while it is filled.

    Args:
        record: of what serves.
        name: of the generation.
        clock: the time.
    """

    def __init__(self, record: ServingRecord, name: str, clock: Clock) -> None:
        self._record = record
        self._name = name
        self._clock = clock

    def is_filling(self) -> bool:
        """Whether the generation is there and still to be filled. Raises `PartUnavailable`."""
        try:
            known = self._record.read().state.generation(self._name)
        except NotFound:
            return False
        return known.stage is GenerationStage.FILLING

    def make_ready(self, parity: Parity) -> None:
        """Note that it was proven equal, and may serve. Raises `PartUnavailable`."""
        reason, now = parity.passed_by(), self._clock.now()
        self._record.change(lambda state: state.made_ready(self._name, now, reason))
        _log.info("generation %s is ready: %s", self._name, reason)

    def refuse(self, parity: Parity) -> None:
        """Note how it differs, and leave it as it is. Raises `PartUnavailable`."""
        says, now = "; ".join(parity.failures()), self._clock.now()
        self._record.change(lambda state: state.refused(self._name, now, says))
