"""Slotted records of `training-triples.v1`, written."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from sightline.stream_workers.labels.wire_interactions import Query

MINE_SOURCE = "urn:sightline:label-mine"


class Mined(Struct, gc=False, omit_defaults=True):
    """The data of `TripleMined`."""

    anchor_id: str
    positive_id: str
    negative_id: str
    grade: int
    positive_position: int
    negative_position: int
    positive_score: float
    negative_score: float
    search_id: str
    issued_at: str
    epoch: int
    actor_id: str
    query: Query
    anchor_perceptual_hash: str
    positive_perceptual_hash: str
    negative_perceptual_hash: str
    model_digest: str
    generation: str
    variant: str
    rules_version: str
    sampling_weight: float
    user_pseudonym: str | None = None


class _Written(Struct, gc=False):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str
    data: Mined


_encoder = msgspec.json.Encoder()


def encode_triple(triple_id: str, mined: Mined, *, time: str) -> bytes:
    """One `TripleMined`; its id is the triple's."""
    return _encoder.encode(
        _Written(
            "1.0",
            triple_id,
            MINE_SOURCE,
            "sightline.triple.mined.v1",
            mined.anchor_id,
            time,
            "application/json",
            mined,
        )
    )
