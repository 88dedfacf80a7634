"""The operator's decisions in every vector index: fenced apart, and undone by no image event."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from itertools import permutations
from random import Random
from typing import Any

import pytest

from sightline.engine.ports import VectorIndex
from sightline.engine.records import IndexedDecision, IndexedImage, Sight, WinnerLocation
from sightline.schemas.fields import Moderation
from tests.contract.test_vector_index import ids
from tests.index_deployments import DEPLOYMENTS, Deployment, Embedded, Server
from tests.indexed_images import Kind, decision, image, same_image

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

BLOCKED, ALLOWED = Moderation.BLOCKED, Moderation.ALLOWED


@pytest.mark.parametrize("exact", [False, True])
def test_a_blocked_image_leaves_the_results_and_comes_back(
    index: VectorIndex, *, exact: bool
) -> None:
    """Status tells both halves; the owner's half is as it was."""
    index.apply([image("a"), image("b")])
    index.moderate([decision("a")])
    assert ids(index, exact=exact) == ["b"]
    assert index.count(listed_only=True) == 1
    assert index.count() == 2
    stored = index.get(["a"], vectors=True)["a"]
    assert stored.decision == decision("a")
    assert (stored.blocked, stored.listed, stored.listed_by_owner) == (True, False, True)
    assert same_image(replace(stored, decision=None), image("a"))
    index.moderate([decision("a", 2, ALLOWED)])
    assert set(ids(index, exact=exact)) == {"a", "b"}


@pytest.mark.parametrize("kind", Kind)
def test_no_event_of_the_owner_undoes_a_block(index: VectorIndex, kind: Kind) -> None:
    """Whatever version comes, also one that was read before the decision was there."""
    index.apply([image("a")])
    index.moderate([decision("a")])
    index.apply([image("a", 2, kind)])
    index.apply([image("a", 3)])
    assert ids(index) == []
    assert index.get(["a"])["a"].version == 3
    assert index.decisions(["a"]) == {"a": decision("a")}


def test_a_decision_that_comes_before_its_image_holds(index: VectorIndex) -> None:
    """Until then there is no image: not in a look, a scan or a count."""
    index.moderate([decision("a"), decision("b", 1, ALLOWED)])
    assert index.get(["a", "b"]) == {}
    assert list(index.scan()) == []
    assert index.count() == 0
    assert set(index.decisions(["a", "b", "c"])) == {"a", "b"}
    index.apply([image("a", 0), image("b", 0)])
    assert ids(index) == ["b"]
    assert index.count() == 2


def test_a_stale_decision_changes_nothing(index: VectorIndex) -> None:
    """A lower version or a lower tie loses, known image or not; an equal one is a repeat."""
    index.apply([image("known")])
    for name in ("known", "unknown"):
        index.moderate([decision(name, 5)])
        for stale in (decision(name, 4, ALLOWED), decision(name, 5, ALLOWED), decision(name, 5)):
            index.moderate([stale])
            assert index.decisions([name]) == {name: decision(name, 5)}


@pytest.mark.parametrize("first", range(6))
def test_every_order_of_owner_and_operator_ends_alike(index: VectorIndex, first: int) -> None:
    """All 720 orders of three image events and three decisions.

    By the one that comes first, each part in an index of its own: for every write, the client's
    local mode looks at all points.
    """
    orders = [order for order in permutations(range(6)) if order[0] == first]
    for number, order in enumerate(orders):
        name = f"p{number}"
        writes: list[IndexedImage | IndexedDecision] = [
            image(name, 1),
            image(name, 2, Kind.DELETED),
            image(name, 3),
            decision(name, 1),
            decision(name, 2, ALLOWED),
            decision(name, 2, BLOCKED),
        ]
        for turn in order:
            write(index, writes[turn])
        stored = index.get([name], vectors=True)[name]
        assert same_image(stored, replace(image(name, 3), decision=decision(name, 2)))
    assert index.count() == 120
    assert index.count(listed_only=True) == 0


@pytest.mark.parametrize("last", [Kind.PUBLIC, Kind.PRIVATE])
def test_what_the_operator_allows_shows_if_its_owner_lists_it(
    index: VectorIndex, last: Kind
) -> None:
    """All 120 orders of three image events and two decisions."""
    for number, order in enumerate(permutations(range(5))):
        name = f"p{number}"
        writes: list[IndexedImage | IndexedDecision] = [
            image(name, 1),
            image(name, 2, Kind.PRIVATE),
            image(name, 3, last),
            decision(name, 1, BLOCKED),
            decision(name, 2, ALLOWED),
        ]
        for turn in order:
            write(index, writes[turn])
    assert index.count(listed_only=True) == (120 if last is Kind.PUBLIC else 0)


def test_what_is_listed_stays_shown_while_the_operator_allows_it(index: VectorIndex) -> None:
    """No search in between misses it."""
    index.apply([image("a")])
    seen, done = list[list[str]](), threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(ids(index))

    thread = threading.Thread(target=look)
    thread.start()
    for version in range(1, 30):
        index.moderate([decision("a", version, ALLOWED)])
    done.set()
    thread.join()
    assert seen
    assert all(found == ["a"] for found in seen)


def write(index: VectorIndex, one: IndexedImage | IndexedDecision) -> None:
    """Apply or moderate."""
    if isinstance(one, IndexedImage):
        index.apply([one])
    else:
        index.moderate([one])


@pytest.mark.parametrize("end", Moderation)
def test_concurrent_writers_of_both_halves_converge(index: VectorIndex, end: Moderation) -> None:
    """Four threads, each with all events of both kinds in another order; the last is listed."""
    names = [f"i{n}" for n in range(6)]
    writes: list[IndexedImage | IndexedDecision] = [
        *(image(n, v, k, event_id=f"{n}-{v}-{k}") for n in names for v in range(3) for k in Kind),
        *(image(n, 3, event_id=f"{n}-3") for n in names),
        *(decision(n, v, m) for n in names for v in range(2) for m in Moderation),
        *(decision(n, 2, end) for n in names),
    ]

    def run(seed: int) -> None:
        for one in Random(seed).sample(writes, len(writes)):
            write(index, one)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = index.get(names, vectors=True)
    for name in names:
        last = max(
            (w for w in writes if isinstance(w, IndexedImage) and w.image_id == name),
            key=lambda w: w.fence,
        )
        assert same_image(stored[name], replace(last, decision=decision(name, 2, end)))
    assert set(ids(index)) == (set(names) if end is ALLOWED else set())


def test_a_purge_forgets_the_tombstone_and_keeps_the_decision(index: VectorIndex) -> None:
    """So an upload under the same id years later is blocked still; nothing else is kept."""
    index.apply([image("a", owner_id="o"), image("b")])
    index.moderate([decision("a")])
    index.apply([image("a", 2, Kind.DELETED, owner_id="o"), image("b", 2, Kind.DELETED)])
    for _ in range(2):
        index.purge(["a", "b"])
        assert index.get(["a", "b"]) == {}
        assert index.count() == 0
        assert list(index.scan_decisions()) == [decision("a")]
    index.apply([image("a", 0), image("b", 0)])
    assert ids(index) == ["b"]


def test_where_a_decision_lies_may_change_by_itself(index: VectorIndex) -> None:
    """And only while it is the stored one."""
    index.apply([image("a")])
    index.moderate([decision("a", 2)])
    moved = replace(decision("a", 2), winner=WinnerLocation("images.moderation.v1", 1, 2**40))
    index.relocate_decisions([replace(moved, decision=decision("a", 1).decision)])
    assert index.decisions(["a"])["a"] == decision("a", 2)
    index.relocate_decisions([moved])
    assert index.decisions(["a"])["a"] == moved
    index.apply([image("a", 2)])
    assert index.get(["a"])["a"].decision == moved


def test_decisions_are_scanned_over_several_pages(index: VectorIndex) -> None:
    """Those about known images and those about others, once each."""
    index.apply([image(f"i{n}") for n in range(20)])
    wanted = {f"i{n}": decision(f"i{n}", n + 1) for n in range(5, 40)}
    index.moderate(list(wanted.values()))
    assert {d.image_id: d for d in index.scan_decisions(batch=7)} == wanted


DAMAGED: dict[str, dict[str, Any]] = {
    "newer": {"moderated": "quarantined"},
    "shown": {"moderated": "quarantined", "searchable": "shown"},
    "number": {"moderated": 7, "decision": None},
    "lost": {"moderated": None},
    "contradiction": {"moderated": "allowed", "searchable": "shown"},
    "no-version": {"moderated": "quarantined", "moderation_version": None},
    "no-tie": {"moderation_tie": "none", "decision": "not JSON"},
}
"""What becomes of a block in a store, by the image: of a newer release, or damaged."""


@pytest.mark.parametrize("deployment", sorted(DEPLOYMENTS.keys() - {"memory"}), indirect=True)
def test_a_decision_that_cannot_be_read_hides_until_the_operator_decides(
    deployment: Deployment,
) -> None:
    """Whatever the owner writes meanwhile, and past a purge of its tombstone."""
    assert isinstance(deployment, Embedded | Server)
    first = deployment.open()
    first.apply([image("b"), *map(image, DAMAGED)])
    first.moderate([decision(name, 3) for name in DAMAGED])
    with closing(deployment.damaged(first, DAMAGED)) as index:
        for version, kind in ((2, Kind.PUBLIC), (3, Kind.DELETED), (4, Kind.PUBLIC)):
            assert ids(index) == ids(index, exact=True) == ["b"]
            assert index.get(DAMAGED, sight=Sight(listed=True)) == {}
            index.apply([image(name, version, kind) for name in DAMAGED])
            index.purge(DAMAGED)
        assert ids(index) == ["b"]
        assert all(stored.blocked for stored in index.get(DAMAGED).values())
        decided = {name: decision(name, 4, ALLOWED) for name in DAMAGED}
        index.moderate(list(decided.values()))
        assert set(ids(index)) == {"b", *DAMAGED}
        assert index.decisions(DAMAGED) == decided


LOST: dict[str, dict[str, Any]] = {
    "no-version": {"version": None},
    "text": {"version": "x", "state": ""},
    "beyond": {"version": 2**60},
    "no-tie": {"tie": None, "entry": ""},
    "no-stage": {"stage": None},
    "no-type": {"type": "of a newer release"},
}
"""What becomes of an image's half of a point in a store, by the image."""


@pytest.mark.parametrize("deployment", sorted(DEPLOYMENTS.keys() - {"memory"}), indirect=True)
def test_an_image_that_cannot_be_read_costs_itself_only_and_is_written_anew(
    deployment: Deployment,
) -> None:
    """Reads pass over it or know it by its id; the next write mends it, blocked as it was."""
    assert isinstance(deployment, Embedded | Server)
    first = deployment.open()
    first.apply([image("b"), *(image(name, 5) for name in LOST)])
    first.moderate([decision("no-version", 3)])
    with closing(deployment.damaged(first, LOST)) as index:
        assert "b" in ids(index)
        assert "b" in {one.image_id for one in index.scan()}
        assert set(index.get([*LOST, "b"])) == {*LOST, "b"}
        index.apply([image(name, 6) for name in LOST])
        assert set(ids(index)) == {"b", *LOST} - {"no-version"}
        assert index.get(LOST)["no-version"].decision == decision("no-version", 3)
        index.apply([image(name, 5, Kind.DELETED) for name in LOST])
        assert all(stored.version == 6 for stored in index.get(LOST).values())


def test_decisions_survive_a_restart(
    request: pytest.FixtureRequest, deployment: Deployment
) -> None:
    """As images do."""
    if isinstance(deployment, Server) and deployment.client is not None:
        request.applymarker(
            pytest.mark.xfail(strict=True, reason="local mode in memory forgets when closed")
        )
    with closing(deployment.open()) as first:
        first.apply([image("a")])
        first.moderate([decision("a"), decision("later")])
        first.flush()
    with closing(deployment.open()) as again:
        assert ids(again) == []
        assert set(again.decisions(["a", "later"])) == {"a", "later"}
