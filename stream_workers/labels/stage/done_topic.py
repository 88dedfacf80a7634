"""`epochs.done.v1`: what a stage finished, told and read back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from sightline.engine.event_log.events import events_in
from sightline.engine.records import Message
from sightline.schemas.envelope import Event
from sightline.schemas.labels import EpochDone, Stage
from sightline.stream_workers.labels.done_epochs import DoneRange


def done_event(
    stage: Stage, topic: str, partition: int, done: DoneRange, *, run_id: str | None, time: datetime
) -> Event[EpochDone]:
    """The event of a finished range; its subject is the Kafka key."""
    data = EpochDone(
        stage=stage,
        topic=topic,
        partition=partition,
        first_epoch=done.first_epoch,
        epoch=done.epoch,
        closed_at_offset=done.closed_at_offset,
        run_id=run_id,
    )
    name = f"{stage.value}-{topic}-{partition}-{done.epoch}"
    source = f"urn:sightline:label-{stage.value}"
    return Event[EpochDone].of(data, event_id=name, source=source, time=time)


def done_ranges(
    messages: Iterable[Message], stage: Stage, topic: str, *, run_id: str | None
) -> dict[int, list[DoneRange]]:
    """Per partition what this stage of this topic (and run) has finished."""
    found: defaultdict[int, list[DoneRange]] = defaultdict(list)
    for _, event in events_in(messages):
        data = event.data
        if not isinstance(data, EpochDone):
            continue  # what retention or a foreign hand left behind
        if (data.stage, data.topic, data.run_id) == (stage, topic, run_id):
            done = DoneRange(data.first_epoch, data.epoch, data.closed_at_offset)
            found[data.partition].append(done)
    return dict(found)
