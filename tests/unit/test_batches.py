"""What a step looks at: masks against a walk over sets, and how pairs are drawn."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sightline.engine.pictures.hash_words import hash_words
from sightline.engine.pictures.near_duplicates import hash_bits, near_any
from sightline.training.datasets.click_graph import ClickGraph
from sightline.training.datasets.look_alikes import alike, look_alike_groups
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.loop.batches import Batch, Batches
from sightline.training.loop.settings import HeadSettings
from tests.learning import clicked

SETTINGS = HeadSettings(batch=12, corpus=20, mined=2, near_duplicate_bits=8)
COUNT = 30


def hashes() -> tuple[str, ...]:
    """Every fifth picture is a few bits from its predecessor; the first two say nothing."""
    drawn = np.random.default_rng(1)
    told: list[str] = ["", "0" * 64]
    for at in range(2, COUNT):
        fresh = int.from_bytes(drawn.bytes(32))
        number = int(told[-1], 16) ^ (0b1111111 << at) if at % 5 == 0 else fresh
        told.append(f"{number:064x}")
    return tuple(told)


def pairs() -> ClickPairs:
    """Forty clicks among thirty pictures, over two that were passed over."""
    drawn = np.random.default_rng(2)
    edges = drawn.integers(0, COUNT, (40, 2))
    return clicked(tuple(f"i{at:02}" for at in range(COUNT)), edges, negatives=(7, 9))


def batches(settings: HeadSettings = SETTINGS) -> Batches:
    """Batches of these clicks and hashes."""
    return Batches(pairs(), hash_words(hashes()), settings)


def look_alike(left: str, right: str, *, bits: int) -> bool:
    """The rule for two pictures; a hash that says nothing is near none."""
    mine, other = hash_bits(left), hash_bits(right)
    return mine != 0 and other != 0 and near_any(mine, [other], bits=bits)


def wrong_to_repel(batch: Batch, row: int, column: int, settings: HeadSettings) -> bool:
    """Whether a candidate is no negative of an anchor, by the rules one by one."""
    anchor, other = int(batch.anchor[row]), int(batch.candidates[column])
    positive = int(batch.candidates[row])
    told, edges = hashes(), list(zip(pairs().anchor, pairs().positive, strict=True))
    clicks = {int(p) for a, p in edges if a == anchor}
    sharing = {int(a) for a, p in edges if int(p) in clicks}
    near = clicks | sharing | {int(p) for a, p in edges if int(a) in sharing}
    bits = settings.near_duplicate_bits
    looks = any(look_alike(told[mine], told[other], bits=bits) for mine in (anchor, positive))
    same = settings.identity_mask and other in {anchor, positive}
    return same or looks or (settings.click_mask and other in near)


@pytest.mark.parametrize(
    "changes",
    [{}, {"click_mask": True}, {"identity_mask": False}, {"near_duplicate_bits": -1}],
    ids=str,
)
def test_what_is_masked(changes: dict[str, Any]) -> None:
    """For every anchor and candidate of a few batches; its own positive never is."""
    settings = replace(SETTINGS, **changes)
    drawn = [batches(settings).draw(step) for step in range(2)]
    for batch in drawn:
        expected = [
            [
                column != row and wrong_to_repel(batch, row, column, settings)
                for column in range(len(batch.candidates))
            ]
            for row in range(len(batch.anchor))
        ]
        assert batch.masked.tolist() == expected
    assert any(batch.masked.any() for batch in drawn)


def test_nothing_is_masked_where_nothing_masks() -> None:
    """Without identity, hashes and clicks an anchor may repel itself."""
    none = replace(SETTINGS, identity_mask=False, near_duplicate_bits=-1)
    assert not batches(none).draw(0).masked.any()


def test_a_batch_has_positives_then_passed_over_then_random_pictures() -> None:
    """Twelve pairs, two that each passed over, twenty others."""
    batch = batches(replace(SETTINGS, click_walk=False)).draw(0)
    edges = set(zip(pairs().anchor.tolist(), pairs().positive.tolist(), strict=True))
    assert len(batch.candidates) == 12 + 24 + 20
    assert set(zip(batch.anchor.tolist(), batch.candidates[:12].tolist(), strict=True)) <= edges
    assert sorted(batch.candidates[12:36].tolist()) == [7] * 12 + [9] * 12


def test_positives_are_what_walks_end_at() -> None:
    """Not only what was clicked, but nothing beyond two clicks."""
    graph, known = ClickGraph.of(pairs()), set(zip(pairs().anchor, pairs().positive, strict=True))
    batch = batches(replace(SETTINGS, batch=200)).draw(0)
    positive = batch.candidates[:200]
    assert graph.near(batch.anchor, positive).all()
    assert not set(zip(batch.anchor, positive, strict=True)) <= known


def test_pairs_without_negatives_are_drawn_all_the_same() -> None:
    """Then fewer candidates come; also where none were passed over at all."""
    bare = clicked(pairs().images, np.array([[0, 1], [2, 3]]))
    assert len(Batches(bare, hash_words(hashes()), SETTINGS).draw(0).candidates) == 32


def test_equal_steps_are_equal_batches() -> None:
    """Whoever draws them; another step or seed is another batch."""
    first, again = batches().draw(5), batches().draw(5)
    assert np.array_equal(first.candidates, again.candidates)
    assert not np.array_equal(first.candidates, batches().draw(6).candidates)
    other = batches(replace(SETTINGS, seed=1)).draw(5)
    assert not np.array_equal(first.candidates, other.candidates)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.9), (0.5, 0.75), (1.0, 0.5)])
def test_hot_anchors_are_balanced(balance: float, share: float) -> None:
    """Nine clicks for one anchor, one for another: by pair, between, by anchor."""
    edges = np.array([[0, at] for at in range(2, 11)] + [[1, 2]])
    settings = replace(SETTINGS, batch=2000, balance=balance, click_mask=False)
    drawn = Batches(clicked(pairs().images, edges), hash_words(hashes()), settings).draw(0)
    assert Counter(drawn.anchor.tolist())[0] / 2000 == pytest.approx(share, abs=0.03)


def test_pictures_look_alike_as_the_index_says() -> None:
    """All pairs, against the rule for two; hashes that say nothing are near none."""
    told = hashes()
    found = alike(hash_words(told), hash_words(told), bits=8)
    for row, left in enumerate(told):
        for column, right in enumerate(told):
            assert found[row, column] == look_alike(left, right, bits=8)


@pytest.mark.parametrize("bits", [0, 8, 120])
def test_groups_are_chains_of_look_alikes(bits: int) -> None:
    """Two pictures share a group iff a chain leads from one to the other."""
    told = [*hashes(), hashes()[4], ""]
    groups = look_alike_groups(told, bits=bits)
    for start in range(len(told)):
        chain, seen = [start], {start}
        while chain:
            at = chain.pop()
            new = {
                other for other in range(len(told)) if look_alike(told[at], told[other], bits=bits)
            } - seen
            seen |= new
            chain += new
        assert set(np.flatnonzero(groups == groups[start])) == seen
