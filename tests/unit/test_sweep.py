"""What no state of an image needs any more is removed after some days, and nothing else."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue, CatalogueEntry
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records import GenerationSpec, ImageStage, IndexedImage, WinnerLocation
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.producers.images.originals import original_of
from sightline.producers.images.states import deleted
from sightline.schemas.envelope import Event
from sightline.schemas.images import ImageState, ImageUploaded
from sightline.schemas.indexed import Outcome
from sightline.stream_workers.sweeping.loop import SWEPT_KEY, SweepLoop
from sightline.stream_workers.sweeping.sweep import Sweeper, Swept, place_of_key

OURS, THEIRS = "sightline", "theirs"
WEEK = timedelta(days=7)
SPEC = GenerationSpec(name="g", model_digest="m", preprocess_digest="p", dimensions=4)


class World:
    """A bucket, an index and a catalogue, a week after everything in them was written."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryObjectStore(OURS, THEIRS, now=self.clock.now)
        self.index = MemoryVectorIndex(SPEC)
        self.logged: list[str] = []

    def upload(self, image_id: str, data: bytes, version: int = 1) -> ImageUploaded:
        """Store bytes and a rendition of them, and let the index have the state that names them."""
        state = self.stored(image_id, data, version)
        self.apply(state, state.object.sha256)
        return state

    def stored(self, image_id: str, data: bytes, version: int = 1) -> ImageUploaded:
        """Store bytes and a rendition of them; the state that names them is not applied."""
        reference = original_of(data, bucket=OURS, image_id=image_id).reference
        self.store.put(OURS, reference.key, data)
        assert reference.sha256 is not None
        self.store.put(OURS, f"thumbnails/{image_id}/{reference.sha256}-320.jpg", b"small")
        return ImageUploaded(image_id=image_id, version=version, object=reference)

    def apply(self, state: ImageState, sha256: str | None) -> None:
        """Let the index have the state."""
        now = self.clock.now()
        outcome = Outcome.HIDDEN if state.object else Outcome.DELETED
        self.index.apply(
            [
                IndexedImage(
                    state=state,
                    event_id=f"{state.image_id}-{state.version}",
                    event_source="/test",
                    tie=0,
                    stage=ImageStage.FINAL,
                    outcome=outcome,
                    occurred=now,
                    appended=now,
                    applied=now,
                    winner=WinnerLocation("images.v1", 0, 0),
                    content_sha256=sha256,
                )
            ]
        )

    def delete(self, state: ImageState) -> None:
        """Let the index have its tombstone."""
        self.apply(deleted(state, version=state.version + 1), None)

    def sweeper(self, keep: timedelta = WEEK) -> Sweeper:
        """Keeps for a week what nothing needs, unless told otherwise."""
        return Sweeper(
            self.store,
            OURS,
            index=self.index,
            catalogue=Catalogue(self.store, OURS),
            logged=lambda: self.logged,
            keep=keep,
            clock=self.clock,
        )

    def sweep(self) -> Swept:
        """Sweep once."""
        return self.sweeper().sweep()

    def held(self, bucket: str = OURS) -> list[str]:
        """What the bucket holds."""
        return [item.key for item in self.store.list(bucket, "")]


@pytest.fixture
def world() -> World:
    """Empty."""
    return World()


def later(world: World, days: float) -> None:
    """Let days pass."""
    world.clock.advance(days * 86_400)


def test_a_deleted_images_bytes_go_after_their_days_and_not_before(world: World) -> None:
    """Original and rendition; a second sweep finds nothing to do."""
    doomed, kept = world.upload("doomed", b"of a person"), world.upload("kept", b"a lamp")
    later(world, 30)
    world.delete(doomed)
    later(world, 6.9)
    assert world.sweep().removed == 0
    later(world, 0.2)
    assert world.sweep() == Swept(looked_at=4, removed=2, removed_bytes=len(b"of a personsmall"))
    assert all(key.split("/")[1] == "kept" for key in world.held())
    assert world.sweep() == Swept(looked_at=2)
    assert kept.object.key in world.held()


def test_replaced_bytes_go_and_the_present_ones_stay(world: World) -> None:
    """A change of tags every day does not keep the old ones for ever."""
    old, new = world.upload("a", b"old"), world.upload("a", b"new", version=2)
    for version in range(3, 13):
        later(world, 1)
        world.apply(new.model_copy(update={"version": version}), new.object.sha256)
    world.sweep()
    assert old.object.key not in world.held()
    assert new.object.key in world.held()
    assert len(world.held()) == 2


def test_bytes_whose_state_is_not_applied_yet_stay(world: World) -> None:
    """The log knows the image; the index lags, or is being built anew."""
    state = world.stored("late", b"data")
    world.logged = ["late"]
    later(world, 40)
    assert world.sweep().removed == 0
    assert state.object.key in world.held()


@pytest.mark.parametrize("known", [False, True], ids=["unknown", "known with other bytes"])
def test_bytes_that_the_catalogue_names_stay(world: World, known: bool) -> None:  # noqa: FBT001
    """Their state is written, and the index does not have it yet."""
    if known:
        world.upload("late", b"old")
    state = world.stored("late", b"data", version=2)
    event = Event[ImageState].of(state, event_id="e", source="/test", time=world.clock.now())
    Catalogue(world.store, OURS).write(CatalogueEntry(event=event))
    later(world, 40)
    world.sweep()
    assert state.object.key in world.held()


def test_bytes_of_an_upload_that_was_never_published_go(world: World) -> None:
    """Nobody has heard of the image: its publisher died in between."""
    world.store.put(OURS, original_of(b"x", bucket=OURS, image_id="never").reference.key, b"x")
    later(world, 6)
    assert world.sweep().removed == 0
    later(world, 2)
    assert world.sweep().removed == 1


@pytest.mark.parametrize("state_of_before", ["none", "deleted", "other bytes"])
def test_bytes_of_an_upload_in_flight_stay_though_nothing_is_kept(
    world: World, state_of_before: str
) -> None:
    """They are put before anything names them; an hour later nobody is about to."""
    if state_of_before != "none":
        before = world.upload("new", b"old")
        if state_of_before == "deleted":
            world.delete(before)
    later(world, 1)
    reference = world.stored("new", b"data", version=9).object
    for days, is_kept in ((0.001, True), (0.04, True), (0.001, False)):
        later(world, days)
        world.sweeper(keep=timedelta(0)).sweep()
        assert (reference.key in world.held()) == is_kept


def test_bytes_that_were_put_again_stay(world: World) -> None:
    """The old upload is repeated after its delete, and its event is still on its way."""
    state = world.upload("back", b"data")
    world.delete(state)
    later(world, 8)
    world.store.put(OURS, state.object.key, b"data")
    world.sweep()
    assert state.object.key in world.held()


def test_nothing_else_is_touched(world: World) -> None:
    """Other prefixes and buckets of others, however old."""
    for key in ("queries/a", "catalogue/a.json", "labels/x", "models/m", "images/odd", "other"):
        world.store.put(OURS, key, b"x")
    world.store.put(THEIRS, "images/a/" + 64 * "0", b"x")
    before = world.held(), world.held(THEIRS)
    later(world, 400)
    world.sweep()
    assert (world.held(), world.held(THEIRS)) == before


@pytest.mark.parametrize(
    ("key", "image_id"),
    [
        ("images/a/" + 64 * "0", "a"),
        ("thumbnails/a/" + 64 * "0" + "-320.jpg", "a"),
        ("images/odd", None),
        ("images/a/short", None),
        ("thumbnails/" + 64 * "0" + "-320.jpg", None),
    ],
)
def test_a_key_names_its_image(key: str, image_id: str | None) -> None:
    """Or none, and then it is not an original."""
    place = place_of_key(key)
    assert (place and place.image_id) == image_id


class OneLook(threading.Event):
    """Stops whoever waits for it."""

    def wait(self, timeout: float | None = None) -> bool:
        """See `threading.Event.wait`."""
        del timeout
        self.set()
        return True


class Loop:
    """Looks whether a day has passed since the last sweep; counts what it did."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.metrics = Metrics(CollectorRegistry())
        self.expired: list[int] = []
        self.fails = False

    def look(self) -> int:
        """Look once; how many sweeps that was."""
        before = len(self.expired)
        SweepLoop(
            self._world.sweeper(),
            self._expire,
            store=self._world.store,
            bucket=OURS,
            every_s=86_400,
            clock=self._world.clock,
            metrics=self.metrics,
        ).run(OneLook())
        return len(self.expired) - before

    def _expire(self) -> int:
        if self.fails:
            raise PartUnavailable(Part.BROKER, "gone")
        self.expired.append(2)
        return 2

    def counted(self, what: str) -> float:
        """Read a figure of what was removed."""
        figure: float = self.metrics.swept.labels(what)._value.get()
        return figure


def test_a_sweep_is_made_when_one_is_due_and_counted(world: World) -> None:
    """By whichever process looks first; one that failed is made at the next look."""
    loop = Loop(world)
    world.upload("a", b"old")
    world.upload("a", b"new", 2)
    later(world, 8)
    loop.fails = True
    assert loop.look() == 0
    loop.fails = False
    assert [loop.look(), loop.look()] == [1, 0]
    assert (loop.counted("tombstones"), loop.counted("objects")) == (2, 2)
    later(world, 0.9)
    assert Loop(world).look() == 0
    later(world, 0.1)
    assert Loop(world).look() == 1


@pytest.mark.parametrize(
    "mark", [b"2027-01-01T00:00:00+00:00", b"2026-01-01T00:00:00", b"yesterday", b"\xff"]
)
def test_a_mark_that_tells_nothing_puts_no_sweep_off(world: World, mark: bytes) -> None:
    """One of the future, of a clock that was wrong; one without a zone; no time at all."""
    world.store.put(OURS, SWEPT_KEY, mark)
    assert [Loop(world).look(), Loop(world).look()] == [1, 0]
