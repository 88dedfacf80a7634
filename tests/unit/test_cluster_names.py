"""Names of clusters in memory: no hash that is near one of them is overlooked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.pictures.near_duplicates import HASH_BITS, hash_bits, near_any
from sightline.engine.vector_index.edge import cluster_names
from sightline.engine.vector_index.edge.cluster_names import ClusterNames

NUMBERS = st.integers(min_value=1, max_value=2**HASH_BITS - 1)
FLIPS = st.sets(st.integers(min_value=0, max_value=HASH_BITS - 1), max_size=60)


def _name(number: int) -> str:
    return f"{number:064x}"


@given(st.lists(NUMBERS, min_size=1, max_size=30), FLIPS, st.integers(0, HASH_BITS))
def test_it_agrees_with_comparing_one_by_one(
    numbers: list[int], flips: set[int], bits: int
) -> None:
    """Of a hash that differs from one of the names in some bits."""
    names = ClusterNames()
    for number in numbers:
        names.add([_name(number)])
    asked = numbers[0] ^ sum(1 << bit for bit in flips)
    found = names.may_be_near(_name(asked), bits=bits)
    assert found == near_any(asked, [hash_bits(_name(n)) for n in numbers], bits=bits)


def test_many_names_are_held_and_each_once() -> None:
    """More than there was room for; names of flat pictures and damaged ones are none."""
    names = ClusterNames()
    for first in range(0, 5_000, 1_000):
        names.add(_name(n << 128) for n in range(first + 1, first + 1_001))
    names.add([_name(1 << 128), "flat-" + "a" * 64, "damaged", "A" * 64])
    assert all(names.may_be_near(_name(n << 128), bits=0) for n in (1, 1_024, 1_025, 5_000))
    assert not names.may_be_near(_name(5_001 << 128), bits=0)


def test_beyond_a_number_every_hash_may_be_near_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then nothing is looked through any more."""
    monkeypatch.setattr(cluster_names, "MOST", 3)
    names = ClusterNames()
    names.add(map(_name, (1, 2, 3)))
    assert not names.may_be_near(_name(4), bits=0)
    names.add([_name(5)])
    assert names.may_be_near(_name(4), bits=0)
