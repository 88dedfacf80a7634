"""What every vector index must do: embedded engine, memory, the client's local mode, a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import numpy as np
import pytest

from sightline.engine.errors import GenerationMismatch, NotFound, PartUnavailable, SettingsInvalid
from sightline.engine.ports import VectorIndex
from sightline.engine.records import (
    ImageStage,
    IndexedImage,
    Likeness,
    Sight,
    TagFilter,
    WinnerLocation,
)
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.engine.vector_index.generations import Generations
from tests.index_deployments import Deployment, Server
from tests.indexed_images import DIMENSIONS, NOON, SPEC, Kind, image, query, same_image, unit_vector

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]


@pytest.fixture
def kept(request: pytest.FixtureRequest, deployment: Deployment) -> Deployment:
    """A deployment that keeps its contents; the client's local mode cannot."""
    if isinstance(deployment, Server) and deployment.client is not None:
        request.applymarker(
            pytest.mark.xfail(strict=True, reason="local mode in memory forgets when closed")
        )
    return deployment


def ids(index: VectorIndex, **asked: Any) -> list[str]:
    """The image ids of a page, in order."""
    return [hit.image.image_id for hit in index.search(query(**asked))]


def test_an_applied_image_is_found_first_by_its_own_vector(index: VectorIndex) -> None:
    """`apply` returns when a search shows the effect; the score is the cosine."""
    images = [image(f"i{n}") for n in range(30)]
    index.apply(images)
    for wanted in images:
        best = index.search(query(wanted.vector, limit=1))[0]
        assert best.image.image_id == wanted.image_id
        assert best.score == pytest.approx(1.0, abs=1e-5)


def test_an_image_comes_back_as_it_was_stored(index: VectorIndex) -> None:
    """Every field survives, attributes beyond any store's integers included."""
    stored = [image(f"i-{kind}", kind=kind, tags=("a b", "ü"), owner_id="o") for kind in Kind]
    index.apply(stored)
    back = index.get([i.image_id for i in stored] + ["unknown"], vectors=True)
    assert set(back) == {i.image_id for i in stored}
    assert all(same_image(i, back[i.image_id]) for i in stored)
    attributes = back["i-public"].state.attributes
    assert isinstance(attributes["one"], int)
    assert isinstance(attributes["float"], float)


def test_get_leaves_vectors_out_unless_asked(index: VectorIndex) -> None:
    """A status read does not pay for vectors."""
    index.apply([image("i")])
    assert index.get(["i"])["i"].vector is None


LISTED = {Kind.PUBLIC, Kind.CHANGED}
SIGHTS: list[tuple[Sight, Callable[[Kind, str | None], bool]]] = [
    (Sight(listed=True), lambda kind, _: kind in LISTED),
    (Sight(listed=False, owner_id="ann"), lambda _, owner: owner == "ann"),
    (Sight(listed=True, owner_id="ann"), lambda kind, owner: owner == "ann" or kind in LISTED),
    (Sight(listed=False, owner_id="nobody"), lambda _kind, _owner: False),
]


@pytest.mark.parametrize(("sight", "shows"), SIGHTS, ids=["listed", "own", "both", "nothing"])
@pytest.mark.parametrize("vectors", [False, True])
def test_a_read_finds_what_its_sight_shows(
    index: VectorIndex, sight: Sight, shows: Callable[[Kind, str | None], bool], *, vectors: bool
) -> None:
    """All else is like an id that never was; what is found is whole."""
    owned = [(kind, owner) for kind in Kind for owner in ("ann", "bob", None)]
    stored = {f"{kind}-{owner}": image(f"{kind}-{owner}", kind=kind, owner_id=owner)
              for kind, owner in owned}  # fmt: skip
    index.apply(list(stored.values()))
    found = index.get([*stored, "unknown"], vectors=vectors, sight=sight)
    assert set(found) == {f"{kind}-{owner}" for kind, owner in owned if shows(kind, owner)}
    for name, back in found.items():
        wanted = stored[name] if vectors else replace(stored[name], vector=None)
        assert same_image(wanted, back)
    assert index.get([], sight=sight) == {}


@pytest.mark.parametrize("kind", [k for k in Kind if k not in {Kind.PUBLIC, Kind.CHANGED}])
@pytest.mark.parametrize("exact", [False, True])
def test_a_search_returns_listed_images_only(
    index: VectorIndex, kind: Kind, *, exact: bool
) -> None:
    """Private, blocked, rejected and deleted images leave the results and stay in the catalogue."""
    index.apply([image("shown"), image("gone")])
    index.apply([image("gone", 2, kind)])
    assert ids(index, exact=exact) == ["shown"]
    assert ids(index, exact=exact, exclude_ids=("shown",)) == []
    assert index.count() == 2
    assert index.count(listed_only=True) == 1
    assert index.get(["gone"])["gone"].version == 2


def test_a_hidden_image_keeps_its_vector_and_a_deleted_one_does_not(index: VectorIndex) -> None:
    """Private images are kept ready; what was deleted leaves no vector behind."""
    index.apply([image("private"), image("deleted")])
    index.apply([image("private", 2, Kind.PRIVATE), image("deleted", 2, Kind.DELETED)])
    back = index.get(["private", "deleted"], vectors=True)
    assert back["private"].vector is not None
    assert back["deleted"].vector is None


def test_stale_writes_change_nothing(index: VectorIndex) -> None:
    """A lower version, a lower tie or an earlier stage leaves what is stored."""
    index.apply([image("i", 5, Kind.PRIVATE)])
    for stale in (
        image("i", 4),
        image("i", 5, Kind.PUBLIC),
        image("i", 5, Kind.PRIVATE, stage=ImageStage.PROVISIONAL),
        image("i", 5, Kind.PRIVATE, winner=WinnerLocation("images.v1", 3, 77)),
    ):
        index.apply([stale])
        assert same_image(index.get(["i"], vectors=True)["i"], image("i", 5, Kind.PRIVATE))


def test_the_final_stage_follows_the_provisional_one(index: VectorIndex) -> None:
    """Within one event the final write overwrites the provisional one that hid the image."""
    index.apply([image("i", 1)])
    index.apply([image("i", 2, stage=ImageStage.PROVISIONAL)])
    assert ids(index) == []
    index.apply([image("i", 2)])
    assert ids(index) == ["i"]


def test_a_delete_is_final_against_older_upserts(index: VectorIndex) -> None:
    """The tombstone keeps late, older uploads out, known to the index or not."""
    index.apply([image("never-seen", 3, Kind.DELETED)])
    index.apply([image("never-seen", 2)])
    assert ids(index) == []
    index.apply([image("never-seen", 4)])
    assert ids(index) == ["never-seen"]


def test_versions_are_exact_up_to_their_bound(index: VectorIndex) -> None:
    """The fence tells the two highest versions apart (stores compare as float64)."""
    highest = 2**53 - 1
    index.apply([image("i", highest - 1)])
    index.apply([image("i", highest)])
    index.apply([image("i", highest - 1, Kind.DELETED)])
    assert index.get(["i"])["i"].version == highest


def test_several_entries_of_one_image_in_a_batch_end_in_the_highest(index: VectorIndex) -> None:
    """Whatever their order in the call."""
    batch = [image("i", 2), image("i", 9, Kind.PRIVATE), image("i", 4), image("j", 1)]
    index.apply(batch)
    assert index.get(["i"])["i"].version == 9
    assert ids(index) == ["j"]


def test_a_mixed_batch_applies_what_is_fresh_and_leaves_what_is_stale(index: VectorIndex) -> None:
    """Each image is fenced by itself, across the batches that a long call is cut into."""
    index.apply([image(f"i{n}", 5) for n in range(150)])
    index.apply([image(f"i{n}", 6 if n % 2 else 4, Kind.PRIVATE) for n in range(150)])
    versions = {i.image_id: i.version for i in index.scan(batch=40)}
    assert versions == {f"i{n}": 6 if n % 2 else 5 for n in range(150)}


@pytest.mark.parametrize(
    "bad",
    [
        np.full(DIMENSIONS, np.nan, dtype=np.float32),
        np.zeros(DIMENSIONS, dtype=np.float32),
        np.full(DIMENSIONS, 2.0, dtype=np.float32),
        np.ones(1, dtype=np.float32),
    ],
    ids=["nan", "zero", "not-unit", "length"],
)
def test_a_bad_vector_is_refused_before_anything_is_written(
    index: VectorIndex, bad: np.ndarray[Any, Any]
) -> None:
    """The stores would take it silently, or apply half of its batch."""
    with pytest.raises(ValueError, match="vector of bad"):
        index.apply([image("good"), image("bad", vector=bad)])
    assert index.count() == 0
    with pytest.raises(ValueError, match="the query"):
        index.search(query(bad))


def test_tags_filter_by_any_all_and_none(index: VectorIndex) -> None:
    """All three must hold, matched exactly."""
    index.apply(
        [
            image("ab", tags=("a", "b")),
            image("a", tags=("a",)),
            image("b", tags=("b", "c")),
            image("none"),
        ]
    )
    found = {
        "any": ids(index, tags=TagFilter(any_of=("a", "c"))),
        "all": ids(index, tags=TagFilter(all_of=("a", "b"))),
        "without": ids(index, tags=TagFilter(none_of=("b",))),
        "mixed": ids(index, tags=TagFilter(any_of=("b",), all_of=("a",), none_of=("c",))),
        "nothing": ids(index, tags=TagFilter(any_of=("A",))),
    }
    assert {name: set(page) for name, page in found.items()} == {
        "any": {"ab", "a", "b"},
        "all": {"ab"},
        "without": {"a", "none"},
        "mixed": {"ab"},
        "nothing": set(),
    }


def test_excluded_ids_are_left_out(index: VectorIndex) -> None:
    """So that a page can be refilled; unknown ids are fine."""
    index.apply([image(f"i{n}") for n in range(5)])
    assert set(ids(index, exclude_ids=("i1", "i3", "unknown"))) == {"i0", "i2", "i4"}


def test_pages_are_ordered_by_score_then_id(index: VectorIndex) -> None:
    """Equal vectors tie; the page's edge cuts a tie by id, whatever the store's own order."""
    vector = unit_vector(7)
    names = [f"same-{n:03}" for n in range(90)]
    Random(3).shuffle(names)
    index.apply([image(name, vector=vector) for name in names])
    index.apply([image("near", vector=_towards(vector, 0.9))])
    for limit in (1, 10, 24, 90):
        assert ids(index, vector=vector, limit=limit) == sorted(names)[:limit]
    assert ids(index, vector=vector, limit=91) == [*sorted(names), "near"]


def _towards(vector: np.ndarray[Any, Any], cosine: float) -> np.ndarray[Any, Any]:
    drawn = unit_vector(99)
    across = drawn - vector * float(drawn @ vector)
    other = across / np.linalg.norm(across)
    return np.asarray(cosine * vector + np.sqrt(1 - cosine**2) * other, dtype=np.float32)


def test_of_equal_pictures_the_first_published_comes_first(index: VectorIndex) -> None:
    """Whatever its id, and however many others there are."""
    copies = [
        replace(
            image(f"-{n:03d}", vector=unit_vector(1)),
            cluster="c",
            since=NOON + timedelta(milliseconds=1_000 - n),
        )
        for n in range(300)
    ]
    first = replace(image("shoe", vector=unit_vector(1)), cluster="c", since=NOON)
    index.apply([*copies[:150], first, *copies[150:]])
    found = [hit.image for hit in index.search(query(unit_vector(1), limit=3))]
    assert [one.image_id for one in found] == ["shoe", "-299", "-298"]
    assert (found[0].cluster, found[0].since) == ("c", NOON)


def test_the_earliest_of_a_cluster_are_found(index: VectorIndex) -> None:
    """Only listed ones that have the tags; what has no time is not among them."""
    for n, (kind, cluster, tags) in enumerate(
        [
            (Kind.PRIVATE, "c", ()),
            (Kind.PUBLIC, "other", ()),
            (Kind.PUBLIC, "c", ("red",)),
            (Kind.PUBLIC, "c", ()),
            (Kind.DELETED, "c", ()),
            (Kind.PUBLIC, "c", ("red", "old")),
        ]
    ):
        at = NOON + timedelta(seconds=n)
        index.apply([replace(image(f"i{n}", kind=kind, tags=tags), cluster=cluster, since=at)])
    index.apply([replace(image("timeless"), cluster="c")])

    def found(limit: int = 9, tags: TagFilter = TagFilter()) -> list[str]:  # noqa: B008
        return [one.image_id for one in index.earliest("c", tags, limit)]

    assert found() == ["i2", "i3", "i5"]
    assert found(limit=1) == ["i2"]
    assert found(tags=TagFilter(all_of=("red",))) == ["i2", "i5"]
    assert found(tags=TagFilter(none_of=("old",))) == ["i2", "i3"]


NEAR, FAR, HIDDEN, UNLIKE = (f"{start:016x}" * 4 for start in (1, 3, 7, 2**64 - 1))
"""Names of clusters, of which the last differs in 252 bits from the first."""


def _near(index: VectorIndex, *vectors: Any, limit: int = 3) -> list[tuple[str, ...]]:
    pictures = [Likeness(vector, NEAR) for vector in vectors]
    return index.clusters_near(pictures, bits=40, limit=limit)


def test_the_clusters_of_the_nearest_are_told_nearest_first(index: VectorIndex) -> None:
    """Of listed images that have one."""
    vector = unit_vector(7)
    for n, (kind, cluster) in enumerate(
        [
            (Kind.PRIVATE, HIDDEN),
            (Kind.PUBLIC, NEAR),
            (Kind.PUBLIC, None),
            (Kind.PUBLIC, FAR),
            (Kind.PUBLIC, NEAR),
        ]
    ):
        placed = image(f"i{n}", kind=kind, vector=_towards(vector, 0.9 - n / 10))
        index.apply([replace(placed, cluster=cluster)])
    for limit, clusters in ((9, (NEAR, FAR)), (3, (NEAR, FAR)), (1, (NEAR,))):
        assert _near(index, vector, limit=limit) == [clusters]


def test_several_pictures_are_answered_each_for_itself(index: VectorIndex) -> None:
    """In their order; of none nothing is told."""
    first, second = unit_vector(7), unit_vector(8)
    for name, vector, cluster in (("first", first, NEAR), ("second", second, FAR)):
        index.apply([replace(image(name, vector=vector), cluster=cluster)])
    assert _near(index, *([second, first] * 5), limit=1) == [(FAR,), (NEAR,)] * 5
    assert _near(index) == []


def test_a_picture_is_asked_for_by_its_own_hash(index: VectorIndex) -> None:
    """One that no cluster's name is like may get none, and does not shift the others' answers."""
    vector = unit_vector(7)
    index.apply([replace(image("one", vector=vector), cluster=NEAR)])
    asked = [Likeness(vector, UNLIKE), Likeness(vector, FAR), Likeness(vector, UNLIKE)]
    unlike, like, again = index.clusters_near(asked, bits=40, limit=3)
    assert like == (NEAR,)
    assert unlike == again
    assert unlike in {(), (NEAR,)}


def test_hidden_images_are_near_nobody(index: VectorIndex) -> None:
    """Whoever lists a copy of a private picture begins a cluster of his own."""
    vector = unit_vector(7)
    index.apply([replace(image("it", kind=Kind.PRIVATE, vector=vector), cluster=NEAR)])
    assert _near(index, vector) == [()]
    index.apply([replace(image("it", version=2, vector=vector), cluster=NEAR)])
    assert _near(index, vector) == [(NEAR,)]


def test_excluded_clusters_are_left_out(index: VectorIndex) -> None:
    """What is in no cluster stays."""
    for name, cluster in (("a", "one"), ("b", "one"), ("c", "two"), ("d", None)):
        index.apply([replace(image(name), cluster=cluster)])
    found = index.search(replace(query(unit_vector(1), limit=9), exclude_clusters=("one", "three")))
    assert {hit.image.image_id for hit in found} == {"c", "d"}


def test_scores_agree_with_numpy(index: VectorIndex) -> None:
    """Exact or not, a small index returns the true order and the true cosines."""
    images = [image(f"i{n}", vector=unit_vector(n)) for n in range(200)]
    index.apply(images)
    wanted = unit_vector(12345)
    truth = {i.image_id: float(i.vector @ wanted) for i in images if i.vector is not None}
    order = sorted(truth, key=lambda name: -truth[name])[:24]
    for exact in (False, True):
        hits = index.search(query(wanted, exact=exact))
        assert [hit.image.image_id for hit in hits] == order
        assert [hit.score for hit in hits] == pytest.approx([truth[n] for n in order], abs=1e-5)


def test_relocate_changes_only_where_the_winner_lies(index: VectorIndex) -> None:
    """And only while the fence is the stored one."""
    index.apply([image("i", 3), image("j", 3)])
    moved = WinnerLocation("images.backfill.v1", 2, 2**40)
    index.relocate([image("i", 3, winner=moved), image("j", 2, winner=moved)])
    index.relocate([image("i", 3, Kind.PRIVATE, winner=WinnerLocation("images.v1", 1, 1))])
    index.relocate([image("unknown", winner=moved)])
    back = index.get(["i", "j", "unknown"], vectors=True)
    assert same_image(back["i"], image("i", 3, winner=moved))
    assert same_image(back["j"], image("j", 3))
    assert set(back) == {"i", "j"}


def test_purge_removes_tombstones_and_nothing_else(index: VectorIndex) -> None:
    """An image that came back since its delete stays; repeats and unknown ids are fine."""
    index.apply([image("dead", 2, Kind.DELETED), image("back", 1, Kind.DELETED), image("alive")])
    index.apply([image("back", 2)])
    for _ in range(2):
        index.purge(["dead", "back", "alive", "unknown"])
        assert {i.image_id for i in index.scan()} == {"back", "alive"}
    index.purge([])


def test_scan_returns_every_image_once(index: VectorIndex) -> None:
    """Over several pages, with and without vectors."""
    stored = {f"i{n}": image(f"i{n}", kind=list(Kind)[n % len(Kind)]) for n in range(57)}
    index.apply(list(stored.values()))
    scanned = list(index.scan(vectors=True, batch=10))
    assert len(scanned) == len(stored)
    assert all(same_image(i, stored[i.image_id]) for i in scanned)
    assert all(i.vector is None for i in index.scan(batch=57))


def test_an_empty_index_answers(index: VectorIndex) -> None:
    """No images, no results, no error."""
    assert ids(index) == []
    assert list(index.scan()) == []
    assert index.get([]) == {}
    assert index.count() == index.count(listed_only=True) == 0
    index.apply([])
    index.relocate([])
    index.flush()


def test_concurrent_writers_of_the_same_images_converge(index: VectorIndex) -> None:
    """Four threads, each with all events in another order, end in the highest fences."""
    events = [
        image(f"i{n}", version, kind, event_id=f"e-{n}-{version}-{kind}")
        for n in range(12)
        for version in range(4)
        for kind in (Kind.PUBLIC, Kind.PRIVATE, Kind.DELETED)
    ]
    threads = [threading.Thread(target=_apply_shuffled, args=(index, events, s)) for s in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_contents(index, highest(events))


def _apply_shuffled(index: VectorIndex, events: list[IndexedImage], seed: int) -> None:
    random = Random(seed)
    shuffled = random.sample(events, len(events))
    while shuffled:
        size = random.randint(1, 7)
        index.apply(shuffled[:size])
        del shuffled[:size]


def highest(events: list[IndexedImage]) -> dict[str, IndexedImage]:
    """The oracle: per image the event of the highest fence."""
    return {e.image_id: e for e in sorted(events, key=lambda event: event.fence)}


def assert_contents(index: VectorIndex, wanted: dict[str, IndexedImage]) -> None:
    """The index holds exactly these images, and lists exactly the listed ones."""
    held = {i.image_id: i for i in index.scan(vectors=True)}
    assert set(held) == set(wanted)
    assert all(same_image(held[name], wanted[name]) for name in wanted)
    listed = {name for name, i in wanted.items() if i.listed}
    assert index.count(listed_only=True) == len(listed)
    assert set(ids(index, limit=1_000)) == listed


def test_a_reopened_index_holds_what_was_flushed(kept: Deployment) -> None:
    """Closing and opening again changes neither contents nor spec."""
    stored = {f"i{n}": image(f"i{n}", kind=list(Kind)[n % len(Kind)]) for n in range(40)}
    with closing(kept.open()) as first:
        first.apply(list(stored.values()))
        first.flush()
    with closing(kept.open()) as again:
        assert again.spec == SPEC
        assert_contents(again, stored)


def test_the_same_question_has_the_same_answer_after_a_restart(kept: Deployment) -> None:
    """While nothing is written: same ids, same order, same scores (docs/adr/0007)."""
    with closing(kept.open()) as first:
        first.apply([image(f"i{n:03}", vector=unit_vector(n // 3)) for n in range(600)])
        first.flush()
        pages = [_page(first, seed) for seed in range(20) for _ in range(5)]
    for _ in range(2):
        with closing(kept.open()) as again:
            assert [_page(again, seed) for seed in range(20) for _ in range(5)] == pages


def _page(index: VectorIndex, seed: int) -> list[tuple[str, float]]:
    hits = index.search(query(unit_vector(seed), limit=10))
    return [(hit.image.image_id, hit.score) for hit in hits]


@pytest.mark.parametrize(
    "change",
    [
        {"model_digest": "model-2"},
        {"preprocess_digest": "prep-2"},
        {"dimensions": 8},
        {"quantisation": "none"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_model_is_refused(deployment: Deployment, change: dict[str, Any]) -> None:
    """The message names the field; the index is left as it was."""
    with closing(deployment.open()) as index:
        index.apply([image("i")])
        index.flush()
        if isinstance(index, EdgeVectorIndex):
            index.close()
        with pytest.raises(GenerationMismatch, match=next(iter(change))):
            deployment.open(replace(SPEC, **change))


def test_another_name_of_the_same_model_opens_what_serves(deployment: Deployment) -> None:
    """The name is a label; the digests decide."""
    generations = deployment.generations()
    generations.create(SPEC)
    generations.switch(SPEC.name)
    with closing(deployment.open(replace(SPEC, name="other"))) as index:
        assert index.spec.name == SPEC.name
    generations.close()


def test_a_generation_fills_beside_the_one_that_serves(deployment: Deployment) -> None:
    """Create, fill, switch, switch back: each keeps its own images."""
    second = replace(SPEC, name="second", model_digest="model-2")
    with closing(deployment.generations()) as generations:
        assert generations.current() is None
        with closing(_first(generations)):
            for _ in range(2):
                generations.create(second)
            with closing(generations.open("second")) as other:
                other.apply([image("new")])
                other.flush()
                assert generations.current() == SPEC.name
                generations.switch("second")
                assert generations.current() == "second"
        assert generations.names() == ["first", "second"]
        assert generations.spec("second") == second
        with closing(generations.open("first")) as old:
            assert old.count() == 0
        generations.switch("first")
        generations.remove("second")
        generations.remove("unknown")
        assert generations.names() == ["first"]
        with pytest.raises(NotFound):
            generations.open("second")
        with pytest.raises(NotFound):
            generations.switch("second")


def _first(generations: Generations[Any]) -> VectorIndex:
    generations.create(SPEC)
    generations.switch(SPEC.name)
    opened: VectorIndex = generations.open(SPEC.name)
    return opened


def test_a_generation_name_is_a_plain_word(deployment: Deployment) -> None:
    """It becomes a directory and a collection: no separators."""
    with closing(deployment.generations()) as generations, pytest.raises(SettingsInvalid):
        generations.create(replace(SPEC, name="../up"))


def test_a_closed_index_says_so(deployment: Deployment) -> None:
    """Closing twice is fine; calls after it are refused as unavailable."""
    index = deployment.open()
    index.close()
    index.close()
    with pytest.raises(PartUnavailable, match="closed"):
        index.search(query())
    with pytest.raises(PartUnavailable, match="closed"):
        index.apply([image("i")])


def test_a_few_images_need_no_graph(index: VectorIndex) -> None:
    """Nothing is left to be built for them, so whoever waits for that goes on."""
    index.apply([image("a"), image("b")])
    assert index.wait_optimised(30)
