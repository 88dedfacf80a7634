"""Whatever the order, repetition, interleaving and crashes: one end, in index and topics alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.engine.records import ImageStage, ProducerRecord, TopicPartition
from sightline.engine.vector_index.packed_features import Packing
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import (
    ImageChanged,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    hiding_rank,
    tie,
)
from sightline.schemas.indexed import Lane, Outcome
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES
from sightline.stream_workers.delivery.offsets import PartitionLedger
from sightline.stream_workers.image_log import winners
from sightline.stream_workers.indexing.moves import Hide, Move
from sightline.stream_workers.indexing.router import Router
from sightline.stream_workers.indexing.task import ImageTask, Polled
from sightline.stream_workers.indexing.turns import Turns
from tests.patience import patient
from tests.worker_parts import DIMENSIONS, MemoryIndex
from tests.worker_world import PICTURES, STEPS, Null, Published, World, public, reference


@st.composite
def histories(draw: st.DrawFn) -> list[Published]:
    """Events of two images, versions in any order, some sent twice, on both lanes."""
    events = []
    for number in range(draw(st.integers(1, 7))):
        common = {
            "image_id": draw(st.sampled_from(["a", "b"])),
            "version": draw(st.integers(0, 4)),
            "visibility": draw(st.sampled_from(Visibility)),
            "moderation": draw(st.sampled_from([Moderation.ALLOWED, *Moderation])),
        }
        kinds: list[type[ImageState]] = [ImageUploaded, ImageChanged, ImageDeleted]
        kind = draw(st.sampled_from(kinds))
        if kind is not ImageDeleted:
            data = draw(st.sampled_from([*PICTURES, b"missing"]))
            common["object"] = reference(data, promised=draw(st.booleans()))
        lane = draw(st.sampled_from(Lane))
        copies = draw(st.sampled_from([1, 1, 2]))
        events += [(kind(**common), f"e{number}", lane)] * copies
    return draw(st.permutations(events))


@st.composite
def histories_with_nulls(draw: st.DrawFn) -> list[Published | Null]:
    """The same, with nulls of an older life of the images anywhere between."""
    nulls = st.builds(Null, st.sampled_from(["a", "b"]), st.sampled_from(Lane))
    history: list[Published | Null] = list(draw(histories()))
    for null in draw(st.lists(nulls, min_size=1, max_size=3)):
        history.insert(draw(st.integers(0, len(history))), null)
    return history


def interleavings() -> st.SearchStrategy[list[str]]:
    """Draw turns of stages in any order; at least half of the time enough to get through."""
    step = st.sampled_from(STEPS)
    return st.lists(step, max_size=60) | st.lists(step, min_size=12, max_size=60)


@settings(max_examples=150)
@given(histories_with_nulls(), interleavings())
def test_no_null_makes_a_living_image_be_forgotten(
    history: list[Published | Null], steps: list[str]
) -> None:
    """Wherever nulls of an older life lie: where the winner is no delete, compaction keeps it."""
    world = World(max_batch=2)
    feed = iter(history)
    for step in steps:
        if step.startswith(("poll", "round")) and (item := next(feed, None)) is not None:
            world.add(item)
        world.step(step)
    for item in feed:
        world.add(item)
    world.run_to_the_end()
    events = [item for item in history if not isinstance(item, Null)]
    kept = {image_id: event.id for image_id, event in world.compacted().items()}
    for image_id, (state, event_id) in winners_of(events).items():
        assert world.index.images[image_id].event_id == event_id
        if not isinstance(state, ImageDeleted):
            assert kept[image_id] == event_id


@settings(max_examples=300)
@given(histories(), interleavings(), st.integers(1, 3))
def test_any_history_ends_in_the_highest_version_everywhere(
    history: list[Published], steps: list[str], max_batch: int
) -> None:
    """Index and compacted topics agree on the winner, and each version has been told an outcome."""
    assert_converges(history, steps, max_batch)


def assert_converges(history: list[Published], steps: Sequence[str], max_batch: int = 2) -> None:
    """Feed the history while the steps are taken, then run to the end, and look at it all."""
    world = World(max_batch=max_batch)
    feed = iter(history)
    for step in steps:
        if step.startswith(("poll", "round")) and (event := next(feed, None)) is not None:
            world.publish(*event)
        world.step(step)
        assert_nothing_hidden_is_listed(world)
    for event in feed:
        world.publish(*event)
    world.run_to_the_end()
    winners = winners_of(history)
    assert {i: image.event_id for i, image in world.index.images.items()} == {
        i: event_id for i, (_, event_id) in winners.items()
    }
    assert {i: event.id for i, event in world.compacted().items()} == {
        i: event_id for i, (_, event_id) in winners.items()
    }
    for image_id, (state, _) in winners.items():
        image = world.index.images[image_id]
        assert image.stage is ImageStage.FINAL
        assert image.outcome is expected_outcome(state)
        assert image.listed == (image.outcome is Outcome.INDEXED)
    assert_outcomes(world, history)


def winners_of(
    history: list[Published],
) -> dict[str, tuple[ImageState, str]]:
    """The highest (version, tie) of each image."""
    winners: dict[str, tuple[ImageState, str]] = {}
    for state, event_id, _ in history:
        known = winners.get(state.image_id)
        order = (state.version, tie(state, event_id))
        if known is None or (known[0].version, tie(*known)) < order:
            winners[state.image_id] = (state, event_id)
    return winners


def expected_outcome(state: ImageState) -> Outcome:
    """What becomes of a state that nothing overtakes."""
    if isinstance(state, ImageDeleted):
        return Outcome.DELETED
    known = {reference(data).key for data in PICTURES if not data.startswith(b"bad")}
    if state.object is not None and state.object.key not in known:
        return Outcome.REJECTED
    return Outcome.HIDDEN if hiding_rank(state) else Outcome.INDEXED


def assert_nothing_hidden_is_listed(world: World) -> None:
    """What the index lists is of a state that hides nothing."""
    assert all(hiding_rank(i.state) == 0 for i in world.index.images.values() if i.listed)


def assert_outcomes(world: World, history: list[Published]) -> None:
    """Each version has an outcome, and at most one besides superseded per event of it."""
    told = world.outcomes()
    assert set(told) == {(state.image_id, state.version) for state, _, _ in history}
    for key, outcomes in told.items():
        events = {e for s, e, _ in history if (s.image_id, s.version) == key}
        if len(events) == 1:
            assert len(outcomes - {Outcome.SUPERSEDED}) <= 1


@pytest.fixture
def world() -> World:
    """A world with pictures in its store."""
    return World(max_batch=8)


def test_private_leaves_the_results_before_its_bytes_are_looked_at(world: World) -> None:
    """A private version with other bytes hides the image while the store is down."""
    assert_hidden_before_its_bytes_are_read(world)


def assert_hidden_before_its_bytes_are_read(world: World) -> None:
    """Publish an image, then a private version of it that cannot be read."""
    world.publish(public("a", 1, b"one"), "e1")
    world.run_to_the_end()
    assert world.index.images["a"].listed
    world.store.down = True
    hidden = public("a", 2, b"two").model_copy(update={"visibility": Visibility.PRIVATE})
    world.publish(hidden, "e2")
    for step in ("poll live", "plan", "fetch", "apply"):
        world.step(step)
    assert not world.index.images["a"].listed
    assert world.index.images["a"].stage is ImageStage.PROVISIONAL


route = Router.route


def without_hiding_first(router: Router, moves: Iterable[Move]) -> None:
    """Carry out all moves but those that hide."""
    route(router, [move for move in moves if not isinstance(move, Hide)])


STAGES = ("plan", "fetch", "embed", "apply")
LOWER_BEHIND = [
    (public("a", 5, b"one"), "e5", Lane.LIVE),
    (ImageDeleted(image_id="a", version=3), "e3", Lane.LIVE),
]


@pytest.mark.parametrize(
    ("where", "name", "instead", "check"),
    [
        pytest.param(
            winners,
            "winners_to_append_again",
            lambda *_: {},
            lambda: assert_converges(LOWER_BEHIND, ()),
            id="appending the winner again",
        ),
        pytest.param(
            Turns,
            "enter",
            lambda *_: True,
            lambda: assert_converges(
                LOWER_BEHIND, ("poll live", "poll live", "plan", "apply", "durability")
            ),
            id="taking turns",
        ),
        pytest.param(
            Router,
            "route",
            without_hiding_first,
            lambda: assert_hidden_before_its_bytes_are_read(World()),
            id="hiding first",
        ),
        pytest.param(
            MemoryIndex,
            "flush",
            lambda _: None,
            lambda: assert_converges(
                LOWER_BEHIND[:1],
                ("poll live", *STAGES, "durability", "poll live", "power cut"),
            ),
            id="committing after the flush",
        ),
    ],
)
def test_these_tests_notice_when_a_guard_is_switched_off(
    monkeypatch: pytest.MonkeyPatch,
    where: object,
    name: str,
    instead: Callable[..., object],
    check: Callable[[], None],
) -> None:
    """With the guard all is well, without it the same history ends wrongly."""
    check()
    monkeypatch.setattr(where, name, instead)
    with pytest.raises(AssertionError):
        check()


def test_unchanged_bytes_are_embedded_once(world: World) -> None:
    """A change of tags, even right behind its upload, and a copy under another id cost nothing."""
    upload = public("a", 1, b"one")
    world.publish(upload, "e1")
    world.publish(
        ImageChanged(**dict(upload) | {"version": 2, "tags": ("x",)}),
        "e2",
    )
    world.publish(public("b", 1, b"one"), "e3")
    world.run_to_the_end()
    world.publish(ImageChanged(**dict(upload) | {"version": 3}), "e4")
    world.run_to_the_end()
    assert world.embedder.embedded == 1
    assert world.index.images["a"].version == 3
    assert world.index.count(listed_only=True) == 2
    for image in world.index.scan(vectors=True, features=True):
        assert image.features is not None, "kept with the vector that needed no second look"
        assert image.vector is not None
        told = world.embedder.project(Packing(DIMENSIONS, 8).unpack(image.features[None]))
        assert np.abs(told[0] - image.vector).max() < 0.01


@pytest.mark.parametrize("together", [True, False])
def test_bytes_that_need_no_decoding_are_let_go(world: World, *, together: bool) -> None:
    """Known only once they were read: else the bytes held between fetch and decode fill up."""
    for version, image_id in enumerate("abcd", 1):
        state = public(image_id, version, b"one")
        unsaid = state.model_copy(update={"object": reference(b"one", promised=False)})
        world.publish(unsaid, f"{image_id}1")
        if not together:
            world.run_to_the_end()
    world.run_to_the_end()
    assert world.embedder.embedded == 1
    assert world.index.count(listed_only=True) == 4


@pytest.mark.parametrize("stored", [None, b"two"])
@pytest.mark.parametrize("known", ["embedded before", "embedded meanwhile"])
def test_a_digest_that_is_only_claimed_gets_nobody_elses_vector(
    world: World, known: str, stored: bytes | None
) -> None:
    """An object that is missing, or is another, is rejected though its event names known bytes."""
    victim, digest = public("victim", 1, b"one"), reference(b"one").sha256
    claimed = reference(b"one").model_copy(update={"key": "images/elsewhere"})
    thief = public("thief", 1, b"one").model_copy(update={"object": claimed})
    if stored is not None:
        world.store.put("pictures", claimed.key, stored)
    world.publish(victim, "e1")
    if known == "embedded before":
        world.run_to_the_end()
        assert world.index.images["victim"].content_sha256 == digest
    world.publish(thief, "e2")
    world.run_to_the_end()
    image = world.index.images["thief"]
    reason = "object_missing" if stored is None else "object_changed"
    assert (image.outcome, image.reason) == (Outcome.REJECTED, reason)
    if stored is None:
        assert "the object store has no pictures/images/elsewhere" in (image.message or "")
    assert (image.content_sha256, image.perceptual_hash) == (None, None)
    assert image.vector is None
    assert not image.listed
    assert world.index.images["victim"].listed, "the claim takes nothing from whom it names"
    assert world.embedder.embedded == 1


def test_a_rejected_version_is_applied_as_a_version(world: World) -> None:
    """Version 3 does not stay public because version 5 has a broken file."""
    world.publish(public("a", 3, b"one"), "e1")
    world.publish(public("a", 5, b"bad three"), "e2")
    world.run_to_the_end()
    image = world.index.images["a"]
    assert (image.version, image.outcome, image.reason) == (5, Outcome.REJECTED, "corrupt")
    assert not image.listed
    assert world.outcomes()["a", 5] == {Outcome.REJECTED}


def test_a_late_lower_version_makes_the_winner_be_appended_again_once(world: World) -> None:
    """Private 5, then public 3 twice: the topic ends in 5, and the index knows where."""
    winner = public("a", 5, b"one").model_copy(update={"visibility": Visibility.PRIVATE})
    world.publish(winner, "e5")
    world.publish(public("a", 3, b"two"), "e3")
    world.publish(public("a", 3, b"two"), "e3")
    world.run_to_the_end()
    log = world.log.records[IMAGES.name]
    assert [decode(m.value).id for m in log] == ["e5", "e3", "e3", "e5"]
    assert decode(log[-1].value) == decode(log[0].value)
    assert world.index.images["a"].winner.offset == 3


def test_a_winner_that_lies_where_it_was_read_is_not_looked_up_to_commit_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read back after its write said so already: each image would be read once more."""
    asked: list[object] = []
    world.publish(public("a", 1, b"one"), "e1")
    for step in ("poll live", *STAGES):
        world.step(step)
    monkeypatch.setattr(world.index, "get", asked.append)
    for step in ("durability", "poll live"):
        world.step(step)
    assert asked == []
    assert world.log.committed["g-live", TopicPartition(IMAGES.name, 0)] == 1


def test_an_offset_is_committed_only_after_the_flush(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the index flushes, a poller has nothing to commit; afterwards no power cut hurts."""
    flush, committed = world.index.flush, []

    def slow_flush() -> None:
        world.step("poll live")
        committed.append(dict(world.log.committed))
        flush()

    monkeypatch.setattr(world.index, "flush", slow_flush)
    world.publish(public("a", 1, b"one"), "e1")
    for step in ("poll live", *STAGES, "durability", "poll live", "power cut"):
        world.step(step)
    assert committed == [{}]
    assert world.log.committed["g-live", TopicPartition(IMAGES.name, 0)] == 1
    assert world.index.images["a"].listed


def test_a_rebalance_does_not_wait_for_the_next_round(world: World) -> None:
    """What is taken from us is made durable and committed now, not at the end of an interval."""
    world.publish(public("a", 1, b"one"), "e1")
    for step in ("poll live", "plan", "fetch", "embed", "apply"):
        assert world.step(step)
    place = TopicPartition(IMAGES.name, 0)
    with ThreadPoolExecutor(2) as pool:
        durable = pool.submit(world.pipe.durability.turn, 10 * patient(10))
        revoked = pool.submit(world.pipe.pollers[Lane.LIVE].revoked, [place])
        try:
            assert durable.result(patient(10))
            revoked.result(patient(10))
        finally:
            world.pipe.patience.giving_up.set()
            world.pipe.durability.hurry()
    assert world.log.committed["g-live", place] == 1


def test_a_store_that_is_back_is_read_at_once(world: World) -> None:
    """The first answer is enough: no other read waits for its own time."""
    for number in range(3):
        world.publish(public(f"i{number}", 1, b"one"), f"e{number}")
    world.store.down = True
    while any(world.step(step) for step in ("poll live", "plan", "fetch")):
        pass
    world.store.down = False
    while not world.step("fetch"):
        world.clock.advance(0.01)
    assert world.step("fetch")
    assert world.step("fetch")


def test_what_a_power_cut_takes_from_the_index_is_delivered_again(world: World) -> None:
    """Applied and told, but neither flushed nor committed."""
    world.publish(public("a", 1, b"one"), "e1")
    for step in ("poll live", *STAGES, "poll live"):
        world.step(step)
    assert world.index.images["a"].listed
    world.step("power cut")
    assert not world.index.images
    world.run_to_the_end()
    assert world.index.images["a"].listed


def test_an_object_that_comes_late_is_waited_for(world: World) -> None:
    """An event may outrun its object: it is looked for again, and nothing is rejected."""
    world.publish(public("a", 1, b"late"), "e1")
    for step in ("poll live", "plan", "fetch", "time", "fetch"):
        world.step(step)
    world.store.put("pictures", reference(b"late").key, b"late")
    world.run_to_the_end()
    assert world.index.images["a"].outcome is Outcome.INDEXED


def test_a_poisonous_picture_is_dead_lettered_alone(world: World) -> None:
    """What fails in an unforeseen way goes to the dead letters, its batch goes on."""
    world.store.put("pictures", reference(b"poison").key, b"poison")
    world.publish(public("a", 1, b"poison"), "e1")
    world.publish(public("b", 1, b"one"), "e2")
    world.run_to_the_end()
    letter = world.log.records["images.dlq.v1"][0]
    assert letter.value == world.log.records[IMAGES.name][0].value
    assert dict(letter.headers)["sightline-dlq-error"] == b"ZeroDivisionError"
    assert set(world.index.images) == {"b"}


def test_tombstones_of_the_log_pass(world: World) -> None:
    """A Kafka null, written once a delete's retention is over, changes nothing."""
    world.log.append(ProducerRecord(IMAGES.name, "a", None))
    world.publish(public("b", 1, b"one"), "e2")
    world.run_to_the_end()
    assert set(world.index.images) == {"b"}


def test_a_null_behind_a_living_image_is_not_the_last_word(world: World) -> None:
    """An expired tombstone's null that a new upload overtook must not make compaction forget it."""
    world.publish(public("a", 7, b"one"), "e7")
    world.log.append(ProducerRecord(IMAGES.name, "a", None))
    world.run_to_the_end()
    assert world.compacted()["a"].id == "e7"


def test_a_null_waits_for_the_upload_before_it(world: World) -> None:
    """Or it would not see that it lies behind a living image, and compaction would forget that."""
    world.publish(ImageDeleted(image_id="a", version=6), "e6")
    world.run_to_the_end()
    world.publish(public("a", 7, b"one"), "e7")
    world.log.append(ProducerRecord(IMAGES.name, "a", None))
    world.index.purge(["a"])  # as reconciling does, once it has written the null
    for step in ("poll live", "plan", "durability", "poll live"):
        world.step(step)
    assert world.log.committed["g-live", TopicPartition(IMAGES.name, 0)] == 1
    world.run_to_the_end()
    assert world.index.images["a"].listed
    assert world.compacted()["a"].id == "e7"


def test_a_null_does_not_wait_for_what_comes_after_it(world: World) -> None:
    """An upload behind it needs nothing of it: compaction keeps the upload."""
    world.log.append(ProducerRecord(IMAGES.name, "a", None))
    world.publish(public("a", 7, b"one"), "e7")
    for step in ("poll live", "plan", "durability", "poll live"):
        world.step(step)
    assert world.log.committed["g-live", TopicPartition(IMAGES.name, 0)] == 1
    world.run_to_the_end()
    assert len(world.log.records[IMAGES.name]) == 2


def test_two_deliveries_of_one_event_are_two_tasks() -> None:
    """A task is told from another by identity: equal ones would share what is kept of each."""
    world = World()
    world.publish(public("a", 1, b"one"), "e1")
    message = world.log.records[IMAGES.name][0]
    polled = Polled(message, Lane.LIVE, PartitionLedger(), world.clock.now())
    first, second = (ImageTask(polled, decode(message.value)) for _ in range(2))
    assert (first.polled, first.event) == (second.polled, second.event)
    assert first != second
    assert len({first, second}) == 2


def test_an_upload_under_way_never_survives_a_later_delete(world: World) -> None:
    """Nor does one whose delete's retention passes meanwhile: the null lets nothing through."""
    world.publish(public("a", 7, b"late"), "e7")
    world.publish(ImageDeleted(image_id="a", version=8), "e8")
    world.log.append(ProducerRecord(IMAGES.name, "a", None))
    for step in ("poll live", "plan", "fetch", "apply", "durability"):
        world.step(step)
    world.store.put("pictures", reference(b"late").key, b"late")
    world.run_to_the_end()
    assert world.index.images["a"].outcome is Outcome.DELETED
    assert world.outcomes()["a", 7] == {Outcome.SUPERSEDED}
    assert world.log.records[IMAGES.name][-1].value is None, "nothing brought it back"
