from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from aiokafka.partitioner import murmur2 as kafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.event_log.partitions import murmur2
from sightline.schemas.envelope import ContractError
from sightline.schemas.registry import decode as decode_slowly
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.codecs.interactions import (
    BeaconRecord,
    ShownRecord,
    _decode_quickly,
    decode_interaction,
)
from sightline.stream_workers.labels.codecs.searches import decode_searches
from tests.label_world import World
from tests.oracle_labels import ms

VALUES = [
    record.value
    for record in World(Random(3)).run(200)
    if record.value and record.value.startswith(b'{"specversion":"1.0","id"')
]
ODD: list[Any] = [
    None, "", "x", "x y", "é", "a" * 129, -1, 0, 1, 101, 1.5, "1", True, [], {}, ["a"],
    "0" * 64, "0" * 63 + "G", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00", "2026-03-01",
    "2026-03-01 12:00:00.5+02:00", "0001-01-01T00:00:00+14:00", 1e300, "clicked", "a\n",
]  # fmt: skip


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += _places(value[key], (*path, key))
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += _places(item, (*path, index))
    return found


@given(
    value=st.sampled_from(VALUES),
    where=st.integers(0, 10_000),
    odd=st.sampled_from(ODD),
    drop=st.booleans(),
)
def test_both_decoders_accept_the_same(value: bytes, where: int, odd: Any, drop: bool) -> None:  # noqa: FBT001
    """Whatever is changed in a message, the fast decoder refuses what the contract refuses."""
    document = json.loads(value)
    places = _places(document)
    *path, last = places[where % len(places)]
    parent = document
    for step in path:
        parent = parent[step]
    if drop:
        del parent[last]
    else:
        parent[last] = odd
    changed = json.dumps(document).encode()
    try:
        event = decode_slowly(changed)
    except ContractError:
        with pytest.raises(ContractError):
            decode_interaction(changed)
        return
    try:
        record = decode_interaction(changed)
    except ContractError as error:
        assert str(error).startswith("time: outside the years")  # noqa: PT017 - one known limit
        return
    if isinstance(record, (ShownRecord, BeaconRecord)):
        assert instants.parsed_milliseconds(record.data.issued_at) == ms(event.data.issued_at)


@pytest.mark.parametrize("decoder", [decode_interaction, decode_searches])
@pytest.mark.parametrize("name", [b"data", b"unknown"])
def test_a_record_that_is_nested_too_deep_is_refused(
    decoder: Callable[[bytes], object], name: bytes
) -> None:
    """It ends as a dead letter; that the stack has an end must not end the stage."""
    deep = b"[" * 100_000 + b"]" * 100_000
    with pytest.raises(ContractError):
        decoder(b'{"%b":%b,' % (name, deep) + VALUES[0][1:])


def test_usual_messages_take_the_fast_way() -> None:
    """What our own publishers write never needs the slow decoder."""
    assert all(_decode_quickly(value) is not None for value in VALUES)


@given(st.binary(max_size=70))
def test_murmur2_is_kafkas(key: bytes) -> None:
    """The join computes the partition that aiokafka and librdkafka choose."""
    assert murmur2(key) == kafka_murmur2(key) & 0xFFFFFFFF


@given(st.integers(0, 4_102_444_800_000))
def test_instants_survive_the_round_trip(instant_ms: int) -> None:
    """Text and back, to the millisecond."""
    assert instants.parsed_milliseconds(instants.text(instant_ms)) == instant_ms
