"""What the log knows of experiments (`models.v1`)."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.engine.event_log.events import events_in
from sightline.engine.ports import EventLog
from sightline.schemas.models import ExperimentStarted
from sightline.schemas.topics import MODELS


def started_in(log: EventLog) -> Iterator[ExperimentStarted]:
    """Each experiment whose start the log still holds, the oldest first.

    Raises:
        PartUnavailable: the log did not answer.
    """
    for _, event in events_in(log.read([MODELS.name])):
        if isinstance(event.data, ExperimentStarted):
            yield event.data
