"""Records of the labelled topic in, the triples that hold out: what the sink would have written."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from sightline.engine.label_data.event_rows import Row, retraction_row, triple_row
from sightline.engine.label_data.triple_columns import retractions_table, triples_table
from sightline.engine.label_data.triple_manifest import LOG, Ends
from sightline.engine.label_data.triple_table import HeldTriples, holding
from sightline.engine.records import Message
from sightline.schemas.envelope import ContractError
from sightline.schemas.labels import TripleMined, TripleRetracted
from sightline.schemas.registry import decode


def held_in(messages: Iterable[Message], *, until: Ends | None = None) -> HeldTriples:
    """Every triple that holds, as `read_held` tells it of the sink's files.

    Args:
        messages: of the topic, from its first record on; unreadable ones are passed over.
        until: only what was mined below these offsets, less what was retracted anywhere.
    """
    mined: list[Row] = []
    retracted: list[Row] = []
    ends: dict[tuple[str, int], int] = {}
    for message in messages:
        at = LOG, message.partition
        if until is None or message.offset < until.get(at, 0):
            ends[at] = max(ends.get(at, 0), message.offset + 1)
        with suppress(ContractError):
            event = decode(message.value)
            if isinstance(event.data, TripleRetracted):
                retracted.append(retraction_row(event, message))
            elif isinstance(event.data, TripleMined) and ends.get(at, 0) > message.offset:
                mined.append(triple_row(event, message))
    gone = retractions_table(retracted)["triple_id"]
    return HeldTriples(holding(triples_table(mined), gone), ends)
