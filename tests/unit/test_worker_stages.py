"""Each stage of the index worker: values in, the moves that it returns out."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry

from sightline.engine.clock import ManualClock
from sightline.engine.errors import ObjectDenied, ObjectRefused, Part
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.ports import Clock
from sightline.engine.records import (
    ImageStage,
    IndexedImage,
    ProducerRecord,
    StoredObject,
    TagFilter,
)
from sightline.engine.settings import WorkerSettings
from sightline.engine.vector_index.packed_features import Packing
from sightline.schemas.envelope import Event
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageDeleted, ImageState, ImageUploaded
from sightline.schemas.indexed import Lane, Outcome
from sightline.schemas.topics import IMAGES
from sightline.stream_workers.delivery.dead_letters import DeadLetters
from sightline.stream_workers.delivery.letter_limit import LetterLimit, LetterRate
from sightline.stream_workers.delivery.offsets import LaneOffsets, PartitionLedger
from sightline.stream_workers.delivery.outbox import Outbox
from sightline.stream_workers.delivery.retries import Patience
from sightline.stream_workers.indexing.apply import Applier
from sightline.stream_workers.indexing.byte_budget import ByteBudget, HeldBytes
from sightline.stream_workers.indexing.clusters import Clusters
from sightline.stream_workers.indexing.commit import Durability
from sightline.stream_workers.indexing.context import StageContext
from sightline.stream_workers.indexing.decisions import facts_of
from sightline.stream_workers.indexing.embed import BackfillThreads, Embedding
from sightline.stream_workers.indexing.fetch import Fetcher
from sightline.stream_workers.indexing.lane_queue import LaneQueue
from sightline.stream_workers.indexing.lane_room import LaneRoom
from sightline.stream_workers.indexing.moves import (
    Again,
    Applied,
    Embed,
    End,
    Expired,
    Fetch,
    FetchNow,
    Hide,
    Move,
    Plan,
    Share,
    Unforeseen,
    Wait,
    Write,
)
from sightline.stream_workers.indexing.outcomes import Outcomes
from sightline.stream_workers.indexing.plan import Planner
from sightline.stream_workers.indexing.router import Router
from sightline.stream_workers.indexing.task import (
    Fetched,
    ImageTask,
    Judged,
    PictureFacts,
    Polled,
    Rejection,
)
from sightline.stream_workers.indexing.turns import Turns
from tests.conftest import ROOT
from tests.patience import patient
from tests.worker_parts import SPEC, MemoryIndex, MemoryLog, TinyEmbedder, tiny_decode
from tests.worker_world import public, reference

SETTINGS = WorkerSettings(object_grace_s=5.0)


class AnsweringStore(MemoryObjectStore):
    """A store that answers every read with an error about the object, if it has one."""

    answer: Exception | None = None
    closed: Collection[str] = ()
    """Keys that we may not read."""
    listed = True
    """Whether we may list its buckets."""
    lists = 0

    def get(self, bucket: str, key: str, *, max_bytes: int | None = None) -> bytes:
        """See `ObjectStore.get`."""
        if self.answer is not None:
            raise self.answer
        if key in self.closed:
            raise ObjectDenied(f"{bucket}/{key}: AccessDenied")
        return super().get(bucket, key, max_bytes=max_bytes)

    def list(self, bucket: str, prefix: str, *, start_after: str = "") -> Iterator[StoredObject]:
        """See `ObjectStore.list`."""
        self.lists += 1
        if not self.listed:
            raise ObjectDenied(f"list {bucket}: AccessDenied")
        yield from super().list(bucket, prefix, start_after=start_after)


class Bench:
    """One of each stage, none of which knows another, on parts in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = metrics = Metrics(CollectorRegistry())
        self.index = MemoryIndex()
        self.store = AnsweringStore("pictures")
        self.log = MemoryLog(self.clock)
        self.budget = ByteBudget(1_000)
        self.turns = Turns()
        self.patience = patience = Patience(SETTINGS, Health(self.clock), metrics)
        context = StageContext(patience=patience, clock=self.clock, metrics=metrics)
        self.room = LaneRoom(dict.fromkeys(Lane, 9), parked_limit=9, live_share=2, clock=self.clock)
        self.planner = Planner(self.index, turns=self.turns, patience=patience)
        self.fetcher = Fetcher(
            self.store,
            settings=SETTINGS,
            max_bytes=100,
            budget=self.budget,
            context=context,
        )
        self.embedding = Embedding(
            TinyEmbedder(),
            tiny_decode,
            packing=Packing.of(SPEC),
            backfill=BackfillThreads(self.room, threads=2, max_batch=8),
            context=context,
        )
        clusters = Clusters(self.index, bits=40, context=context)
        self.applier = Applier(self.index, clusters=clusters, again_s=0.1, context=context)
        outbox = Outbox(self.log, patience)
        awaited = threading.Event()
        rate = LetterRate(limit=9, window_s=60.0, setting="worker.dead_letter_limit")
        dead_letters = DeadLetters(outbox, LetterLimit(rate), metrics)
        self.router = Router(
            clock=self.clock,
            embedders=1,
            room=self.room,
            turns=self.turns,
            outcomes=Outcomes(outbox, dead_letters, index=self.index, context=context),
            durability=Durability(
                self.index,
                outbox,
                offsets={lane: LaneOffsets(awaited) for lane in Lane},
                awaited=awaited,
                context=context,
            ),
        )

    def polled(self, key: str, value: bytes | None, *, lane: Lane = Lane.LIVE) -> Polled:
        """Append a record and poll it."""
        message = self.log.append(ProducerRecord(IMAGES.name, key, value)).result()
        return Polled(message, lane, PartitionLedger(), self.clock.now())

    def upload(self, state: ImageState, *, lane: Lane = Lane.LIVE) -> Polled:
        """Append the event of a state and poll it."""
        event = Event[ImageState].of(
            state, event_id=f"e{state.version}", source="/test", time=self.clock.now()
        )
        return self.polled(state.image_id, event.encode(), lane=lane)

    def task(self, state: ImageState, *, lane: Lane = Lane.LIVE) -> ImageTask:
        """Make the task of a state's event, not planned yet."""
        polled = self.upload(state, lane=lane)
        event = Event[ImageState].of(
            state, event_id=f"e{state.version}", source="/test", time=self.clock.now()
        )
        return ImageTask(polled, event)

    def fetched(self, task: ImageTask, data: bytes) -> Fetched:
        """Give a task its bytes, counted in the budget."""
        self.budget.acquire(len(data), threading.Event())
        held = HeldBytes(data, self.budget)
        digest = reference(data).sha256
        assert digest is not None
        return Fetched(task, digest, held, self.clock.now())

    def indexed(self, state: ImageState, data: bytes, *, lane: Lane = Lane.LIVE) -> ImageTask:
        """Bring a state into the index."""
        task = self.task(state, lane=lane)
        moves = self.embedding.embed([self.fetched(task, data)])
        self.applier.apply([Write(share.judged) for share in moves if isinstance(share, Share)])
        return task


@pytest.fixture
def bench() -> Bench:
    """Stages on parts in memory, nothing stored, nothing indexed."""
    return Bench()


def kinds(moves: list[Move]) -> list[type]:
    """Name what each move is."""
    return [type(move) for move in moves]


def private(image_id: str, version: int, data: bytes) -> ImageState:
    """Make a private upload."""
    return public(image_id, version, data).model_copy(update={"visibility": Visibility.PRIVATE})


@pytest.mark.parametrize("move", get_args(Move))
def test_every_move_is_explained(move: type) -> None:
    """The architecture's table says who returns it and what the router does with it."""
    page = (ROOT / "docs/architecture.md").read_text()
    assert f"| `{move.__name__}(" in page


def test_new_bytes_are_fetched_and_what_hides_is_hidden_first(bench: Bench) -> None:
    """A public upload asks for its bytes; a private one leaves the results before that."""
    moves = bench.planner.plan([bench.upload(public("a", 1, b"one"))])
    assert kinds(moves) == [Fetch]
    hide, fetch = bench.planner.plan([bench.upload(private("b", 1, b"one"))])
    assert isinstance(hide, Hide)
    assert fetch == Fetch(hide.task)


def test_a_delete_needs_no_bytes(bench: Bench) -> None:
    """Its final state is written at once, whether or not the image is known."""
    (move,) = bench.planner.plan([bench.upload(ImageDeleted(image_id="a", version=1))])
    assert isinstance(move, Write)
    assert (move.judged.verdict, move.settled) == (None, False)


def test_what_the_index_is_past_is_settled(bench: Bench) -> None:
    """Nothing is written, but how it stands is read back and told."""
    bench.indexed(public("a", 2, b"one"), b"one")
    (move,) = bench.planner.plan([bench.upload(public("a", 1, b"two"))])
    assert isinstance(move, Write)
    assert move.settled


def test_bytes_that_the_index_has_looked_at_are_not_fetched(bench: Bench) -> None:
    """A change of tags takes the stored facts and vector as its verdict."""
    bench.indexed(public("a", 1, b"one"), b"one")
    (move,) = bench.planner.plan([bench.upload(public("a", 2, b"one"))])
    assert isinstance(move, Write)
    assert isinstance(move.judged.verdict, PictureFacts)


def test_a_lower_version_waits_for_a_higher_one_before_it(bench: Bench) -> None:
    """It is given back, as it was planned, when the higher one has ended."""
    first, second = public("a", 5, b"one"), public("a", 3, b"two")
    fetch, wait = reversed(bench.planner.plan([bench.upload(first), bench.upload(second)]))
    assert isinstance(fetch, Fetch)
    assert isinstance(wait, Wait)
    assert bench.turns.leave(fetch.task) == [wait.item]


def test_a_null_passes_unless_an_event_of_its_image_is_before_it(bench: Bench) -> None:
    """Only then is known whether it lies behind a living image."""
    alone = bench.polled("b", None)
    assert bench.planner.plan([alone]) == [End(alone, Expired())]
    upload, null = bench.upload(public("a", 1, b"one")), bench.polled("a", None)
    assert Wait(null) in bench.planner.plan([upload, null])


def test_a_record_that_breaks_its_contract_ends_there(bench: Bench) -> None:
    """It is no image event, so a dead letter tells of it."""
    polled = bench.polled("a", b"{")
    (end,) = bench.planner.plan([polled])
    assert isinstance(end, End)
    assert end.item is polled
    assert isinstance(end.ending, Unforeseen)
    assert end.ending.stage == "read"


def test_bytes_in_hand_are_embedded_and_bytes_let_go_fetched_again(bench: Bench) -> None:
    """Planned again, it does not hide a second time."""
    task = bench.task(private("a", 1, b"one"))
    fetched = bench.fetched(task, b"one")
    assert bench.planner.plan([fetched]) == [Embed(fetched)]
    fetched.held.let_go()
    assert bench.planner.plan([fetched]) == [Fetch(task)]


def test_fetched_bytes_are_embedded_or_planned_with(bench: Bench) -> None:
    """Where the event did not promise the digest, the index may know what was read."""
    bench.store.put("pictures", reference(b"one").key, b"one")
    (embed,) = bench.fetcher.fetch([Fetch(bench.task(public("a", 1, b"one")))])
    assert isinstance(embed, Embed)
    assert embed.fetched.held.data == b"one"
    unsaid = public("b", 1, b"one").model_copy(update={"object": reference(b"one", promised=False)})
    (again,) = bench.fetcher.fetch([Fetch(bench.task(unsaid))])
    assert isinstance(again, Again)
    assert isinstance(again.item, Fetched)
    assert again.item.content_sha256 == reference(b"one").sha256
    assert bench.budget.held == 2 * len(b"one")


def test_a_missing_object_is_looked_for_until_its_grace_is_over(bench: Bench) -> None:
    """Then it is rejected; meanwhile no bytes are counted for it."""
    task = bench.task(public("a", 1, b"late"))
    (later,) = bench.fetcher.fetch([Fetch(task)])
    assert isinstance(later, Fetch)
    assert (later.task, later.attempts, later.missing_since_s) == (task, 1, 0.0)
    assert 0 < later.after_s <= 0.5
    bench.clock.advance(SETTINGS.object_grace_s)
    (write,) = bench.fetcher.fetch([later])
    assert isinstance(write, Write)
    assert isinstance(write.judged.verdict, Rejection)
    assert write.judged.verdict.reason == "object_missing"
    assert bench.budget.held == 0


def test_an_answer_about_one_object_ends_it_and_is_no_outage(bench: Bench) -> None:
    """Archived, or an impossible name: rejected after the grace, and the store counts as up."""
    bench.store.answer = ObjectRefused("pictures/k: InvalidObjectState")
    (later,) = bench.fetcher.fetch([Fetch(bench.task(public("a", 1, b"one")))])
    assert isinstance(later, Fetch)
    bench.clock.advance(SETTINGS.object_grace_s)
    (write,) = bench.fetcher.fetch([later])
    assert isinstance(write, Write)
    assert isinstance(write.judged.verdict, Rejection)
    assert write.judged.verdict.reason == "object_refused"
    assert "InvalidObjectState" in write.judged.verdict.message
    assert not bench.patience.is_down(Part.STORE)


def test_an_object_that_we_may_not_read_waits_and_keeps_nobody_else(bench: Bench) -> None:
    """Somebody has to open that door; the store is not down for it, and nothing is given up."""
    bench.store.answer = ObjectDenied("theirs/k: AccessDenied")
    (later,) = bench.fetcher.fetch([Fetch(bench.task(public("a", 1, b"one")))])
    bench.clock.advance(10 * SETTINGS.object_grace_s)
    assert isinstance(later, Fetch)
    assert kinds(bench.fetcher.fetch([later])) == [Fetch]
    assert not bench.patience.is_down(Part.STORE)


def test_one_object_that_we_may_not_read_among_others_is_rejected(bench: Bench) -> None:
    """After the grace, once its neighbour was read; the store counts as up."""
    task = bench.task(public("a", 1, b"one"))
    bench.store.closed = {key_of(task)}
    bench.store.put("pictures", "neighbour", b"its bytes")
    (later,) = bench.fetcher.fetch([Fetch(task)])
    assert isinstance(later, Fetch)
    bench.clock.advance(SETTINGS.object_grace_s - 1)
    (still,) = bench.fetcher.fetch([later])
    assert isinstance(still, Fetch)
    bench.clock.advance(1)
    (write,) = bench.fetcher.fetch([still])
    assert isinstance(write, Write)
    assert isinstance(write.judged.verdict, Rejection)
    assert write.judged.verdict.reason == "object_refused"
    assert "AccessDenied" in write.judged.verdict.message
    assert not bench.patience.is_down(Part.STORE)
    assert bench.budget.held == 0


def test_where_a_bucket_may_not_be_listed_a_read_of_another_image_tells(bench: Bench) -> None:
    """Only one since the object was denied: rights that were taken away are waited for."""
    task, other = bench.task(public("a", 1, b"one")), bench.task(public("b", 1, b"two"))
    bench.store.closed, bench.store.listed = {key_of(task)}, False
    bench.store.put("pictures", key_of(other), b"two")
    bench.fetcher.fetch([Fetch(other)])
    bench.clock.advance(1)
    (waiting,) = bench.fetcher.fetch([Fetch(task)])
    for _ in range(3):
        assert isinstance(waiting, Fetch)
        bench.clock.advance(10 * SETTINGS.object_grace_s)
        (waiting,) = bench.fetcher.fetch([waiting])
    assert isinstance(waiting, Fetch)
    bench.fetcher.fetch([Fetch(other)])
    assert kinds(bench.fetcher.fetch([waiting])) == [Write]


def test_many_objects_of_a_closed_bucket_look_at_it_once(bench: Bench) -> None:
    """Each of them waits, and asks again later."""
    tasks = [bench.task(public(f"i{n}", 1, b"one")) for n in range(20)]
    bench.store.answer = ObjectDenied("theirs/k: AccessDenied")
    waiting = bench.fetcher.fetch(map(Fetch, tasks))
    for looks in (1, 2):
        bench.clock.advance(10 * SETTINGS.object_grace_s)
        waiting = bench.fetcher.fetch(one for one in waiting if isinstance(one, Fetch))
        assert kinds(waiting) == [Fetch] * len(tasks)
        assert bench.store.lists == looks


def key_of(task: ImageTask) -> str:
    """Where the task's bytes lie."""
    assert task.state.object is not None
    return task.state.object.key


def test_look_alikes_share_a_cluster_and_equal_bytes_keep_their_time(bench: Bench) -> None:
    """The first begins it; a change of tags does not make a picture any younger."""

    def stored(image_id: str) -> IndexedImage:
        return bench.index.get([image_id])[image_id]

    bench.indexed(public("a", 1, b"one"), b"one")
    bench.clock.advance(60)
    bench.indexed(public("b", 1, b"one"), b"one")
    first, copy = stored("a"), stored("b")
    assert first.cluster == copy.cluster == first.perceptual_hash
    assert first.since == first.appended
    assert copy.since == copy.appended
    assert copy.appended > first.appended
    (write,) = bench.planner.plan([bench.upload(public("a", 2, b"one"))])
    assert isinstance(write, Write)
    bench.applier.apply([write])
    again = stored("a")
    assert (again.version, again.cluster, again.since) == (2, first.cluster, first.since)
    bench.indexed(public("a", 3, b"two"), b"two")
    changed = stored("a")
    assert changed.cluster == changed.perceptual_hash != first.cluster
    assert changed.since == changed.appended


def test_how_near_new_pictures_are_to_what_is_listed_is_told_by_lane(bench: Bench) -> None:
    """Of each sixteenth that is embedded, before it is there itself, of each lane the first."""

    def told(lane: Lane, what: str) -> float | None:
        labels = {"lane": lane.value, "model": bench.index.spec.model_digest}
        name = f"sightline_nearest_similarity_{what}"
        return bench.metrics.registry.get_sample_value(name, labels)

    bench.indexed(private("hidden", 1, b"one"), b"one")
    bench.indexed(public("a", 1, b"one"), b"one")
    assert told(Lane.LIVE, "count") is None
    bench.indexed(public("b", 1, b"one"), b"one", lane=Lane.BACKFILL)
    assert (told(Lane.LIVE, "count"), told(Lane.BACKFILL, "count")) == (None, 1)
    assert told(Lane.BACKFILL, "sum") == pytest.approx(1, abs=1e-6)
    equal = bench.index.get(["b"], vectors=True)["b"]
    verdict = facts_of(equal)
    assert verdict is not None
    task = bench.task(public("equal", 1, b"one"), lane=Lane.BACKFILL)
    bench.applier.apply([Write(Judged(task, verdict._replace(cluster=None)))])
    for n in range(16):
        assert told(Lane.BACKFILL, "count") == 1
        bench.indexed(public(f"m{n}", 1, b"one"), b"one", lane=Lane.BACKFILL)
    assert told(Lane.BACKFILL, "count") == 2


def test_a_picture_kept_in_private_does_not_become_the_first_by_being_listed(bench: Bench) -> None:
    """Who listed it meanwhile was first; being hidden for a while costs the place, too."""

    def first() -> str:
        cluster = bench.index.get(["mine"])["mine"].cluster or ""
        return bench.index.earliest(cluster, TagFilter(), 1)[0].image_id

    def change(state: ImageUploaded) -> None:
        bench.clock.advance(60)
        moves = bench.planner.plan([bench.upload(state)])
        writes = [move for move in moves if isinstance(move, Write)]
        assert len(writes) == 1
        bench.applier.apply(writes)

    hidden = public("squatter", 1, b"one").model_copy(update={"visibility": Visibility.PRIVATE})
    bench.indexed(hidden, b"one")
    bench.clock.advance(60)
    bench.indexed(public("mine", 1, b"one"), b"one")
    change(public("squatter", 2, b"one"))
    assert first() == "mine"
    change(public("mine", 2, b"one").model_copy(update={"visibility": Visibility.PRIVATE}))
    change(public("mine", 3, b"one"))
    assert first() == "squatter"


def test_a_store_that_is_down_is_tried_later_and_its_return_told(bench: Bench) -> None:
    """An outage takes nothing from the grace of a missing object."""
    bench.store.put("pictures", reference(b"one").key, b"one")
    bench.store.down = True
    (later,) = bench.fetcher.fetch([Fetch(bench.task(public("a", 1, b"one")))])
    assert isinstance(later, Fetch)
    assert later.missing_since_s is None
    assert bench.budget.held == 0
    bench.store.down = False
    assert kinds(bench.fetcher.fetch([later])) == [FetchNow, Embed]
    assert kinds(bench.fetcher.fetch([Fetch(bench.task(public("b", 1, b"one")))])) == [Embed]


def test_a_file_that_is_too_large_is_rejected_unread(bench: Bench) -> None:
    """The event says how large it is."""
    (write,) = bench.fetcher.fetch([Fetch(bench.task(public("a", 1, b"x" * 101)))])
    assert isinstance(write, Write)
    assert isinstance(write.judged.verdict, Rejection)
    assert bench.store.reads == 0


def test_a_batch_gives_each_its_own_verdict(bench: Bench) -> None:
    """One is no picture, one fails in an unforeseen way, one is embedded; all bytes are let go."""
    datas = (b"bad", b"poison", b"one")
    tasks = [bench.task(public(f"i{n}", 1, data)) for n, data in enumerate(datas)]
    batch = [bench.fetched(task, data) for task, data in zip(tasks, datas, strict=True)]
    refused, failed, embedded = bench.embedding.embed(batch)
    assert isinstance(refused, Share)
    assert isinstance(refused.judged.verdict, Rejection)
    assert isinstance(failed, End)
    assert failed.item is tasks[1]
    assert isinstance(embedded, Share)
    assert isinstance(embedded.judged.verdict, PictureFacts)
    assert embedded.judged.embedded == bench.clock.now()
    assert bench.budget.held == 0


def test_a_vector_that_no_index_takes_fails_for_its_picture_alone(bench: Bench) -> None:
    """As any other fault of one item: the thread goes on, and the rest of the batch is embedded."""
    datas = (b"one", b"odd", b"two")
    tasks = [bench.task(public(f"i{n}", 1, data)) for n, data in enumerate(datas)]
    batch = [bench.fetched(task, data) for task, data in zip(tasks, datas, strict=True)]
    first, failed, last = bench.embedding.embed(batch)
    assert isinstance(failed, End)
    assert failed.item is tasks[1]
    assert isinstance(failed.ending, Unforeseen)
    assert failed.ending.stage == "embed"
    for move in (first, last):
        assert isinstance(move, Share)
        assert isinstance(move.judged.verdict, PictureFacts)


def test_a_provisional_write_ends_nothing_and_a_final_one_does(bench: Bench) -> None:
    """A private image counts as hidden from its provisional write on."""
    task = bench.task(private("a", 1, b"one"))
    assert bench.applier.apply([Hide(task)]) == []
    assert bench.index.images["a"].stage is ImageStage.PROVISIONAL
    hidden = bench.clock.now()
    bench.clock.advance(3.0)
    (share,) = bench.embedding.embed([bench.fetched(task, b"one")])
    assert isinstance(share, Share)
    (end,) = bench.applier.apply([Write(share.judged)])
    assert isinstance(end, End)
    assert isinstance(end.ending, Applied)
    assert (end.ending.outcome, end.ending.times.searchable) == (Outcome.HIDDEN, hidden)


def test_what_a_higher_version_overtook_is_superseded(bench: Bench) -> None:
    """The index keeps the higher one, and the lower one is told as superseded."""
    bench.indexed(public("a", 2, b"one"), b"one")
    (end,) = bench.applier.apply([Write(Judged(bench.task(ImageDeleted(image_id="a", version=1))))])
    assert isinstance(end, End)
    assert isinstance(end.ending, Applied)
    assert end.ending.outcome is Outcome.SUPERSEDED


def test_what_the_index_does_not_show_is_planned_again(bench: Bench) -> None:
    """Settled when it was planned, and purged since."""
    known = Judged(bench.task(public("a", 1, b"one")))
    assert bench.applier.apply([Write(known, settled=True)]) == [Again(known, 0.1)]


def test_equal_bytes_are_embedded_once_and_the_verdict_is_shared(bench: Bench) -> None:
    """The second waits without its bytes, and is written with the first one's verdict."""
    first, second = (bench.fetched(bench.task(public(i, 1, b"one")), b"one") for i in "ab")
    bench.router.route([Embed(first), Embed(second)])
    batch = bench.router.to_embed.take(8, 0)
    assert batch == [first]
    assert second.held.data is None
    bench.router.route(bench.embedding.embed(batch))
    writes = bench.router.to_write.take(8, 0)
    assert [write.judged.task for write in writes if isinstance(write, Write)] == [
        first.task,
        second.task,
    ]
    assert bench.budget.held == 0


def test_followers_of_one_that_came_to_no_verdict_look_for_themselves(bench: Bench) -> None:
    """The dead letter is that of the leader alone."""
    first, second = (bench.fetched(bench.task(public(i, 1, b"one")), b"one") for i in "ab")
    error = ZeroDivisionError("once")
    bench.router.route([Embed(first), Embed(second), End(first.task, Unforeseen("embed", error))])
    assert bench.router.to_plan.take(8, 0) == [second]
    assert len(bench.log.records["images.dlq.v1"]) == 1


def test_a_live_upload_does_not_follow_a_backfill_one(bench: Bench) -> None:
    """Which may wait long: it takes the lead over."""
    old = bench.fetched(bench.task(public("a", 1, b"one"), lane=Lane.BACKFILL), b"one")
    new = bench.fetched(bench.task(public("b", 1, b"one")), b"one")
    bench.router.route([Embed(old), Embed(new)])
    assert bench.router.to_embed.take(8, 0) == [new]


def test_a_read_that_is_put_off_is_parked_until_it_is_taken(bench: Bench) -> None:
    """So that what waits for the store keeps nothing from coming in."""
    task = bench.task(public("a", 1, b"one"))
    bench.room.enter(Lane.LIVE, 1)
    bench.router.route([Fetch(task, attempts=1, after_s=2.0)])
    assert bench.room.free(Lane.LIVE) == 9
    assert bench.router.take_to_fetch(9, 0) == []
    bench.clock.advance(2.0)
    assert [fetch.task for fetch in bench.router.take_to_fetch(9, 0)] == [task]
    assert bench.room.free(Lane.LIVE) == 8


def test_reads_that_were_put_off_are_taken_once_the_store_is_back(bench: Bench) -> None:
    """None of them waits for its own time any longer."""
    task = bench.task(public("a", 1, b"one"))
    bench.room.enter(Lane.LIVE, 1)
    bench.router.route([Fetch(task, attempts=1, after_s=1_000.0)])
    assert bench.router.take_to_fetch(9, 0) == []
    bench.router.route([FetchNow()])
    assert [fetch.task for fetch in bench.router.take_to_fetch(9, 0)] == [task]


def test_what_was_polled_is_counted_and_planned_together(bench: Bench) -> None:
    """The planner asks the index once for all of them."""
    polled = [bench.upload(public(image_id, 1, b"one")) for image_id in "ab"]
    bench.router.route([Plan(Lane.LIVE, polled)])
    assert bench.room.in_flight(Lane.LIVE) == 2
    assert bench.router.to_plan.take(8, 0) == polled


class AskedQueue(LaneQueue[Fetched]):
    """Tells when it is asked how much waits in it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked = threading.Semaphore(0)

    def depth(self, lane: Lane) -> int:
        """See `LaneQueue.depth`."""
        depth = super().depth(lane)
        self.asked.release()
        return depth


def test_a_batch_that_is_taken_lets_more_backfill_be_fetched(bench: Bench) -> None:
    """The thread that waits to fetch looks again at once: there is room ahead of it now."""
    bench.router.to_embed = ahead = AskedQueue(bench.clock)
    ready, wanted = (bench.task(public(i, 1, b"one"), lane=Lane.BACKFILL) for i in "ab")
    bench.router.route([Embed(bench.fetched(ready, b"one")), Fetch(wanted)])
    with ThreadPoolExecutor(1) as pool:
        fetching = pool.submit(bench.router.take_to_fetch, 1, 10 * patient(10))
        try:
            assert ahead.asked.acquire(timeout=patient(10)), "as much is ahead as may be"
            bench.router.take_to_embed(8, lambda: 8, 0)
            assert [fetch.task for fetch in fetching.result(patient(10))] == [wanted]
        finally:
            bench.router.to_fetch.close()


def test_what_hides_goes_before_what_was_there(bench: Bench) -> None:
    """Both its provisional and its final write."""
    shown = Write(Judged(bench.task(public("a", 1, b"one"))))
    hidden = bench.task(private("b", 1, b"one"))
    bench.router.route([shown, Hide(hidden), Write(Judged(hidden))])
    assert bench.router.to_write.take(8, 0) == [Hide(hidden), Write(Judged(hidden)), shown]
