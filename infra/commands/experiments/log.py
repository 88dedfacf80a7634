"""What the log knows of experiments (`models.v1`)."""

from __future__ import annotations

from collections.abc import Iterator

from sightline.engine.ports import EventLog
from sightline.schemas.envelope import ContractError
from sightline.schemas.models import ExperimentStarted
from sightline.schemas.registry import decode
from sightline.schemas.topics import MODELS


def started_in(log: EventLog) -> Iterator[ExperimentStarted]:
    """Each experiment whose start the log still holds, the oldest first.

    Raises:
        PartUnavailable: the log did not answer.
    """
    for message in log.read([MODELS.name]):
        try:
            data = decode(message.value).data
        except ContractError:
            continue
        if isinstance(data, ExperimentStarted):
            yield data
