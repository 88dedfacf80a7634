"""Erased people and hidden images: what is hit, from when, in any order, killed anywhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.engine.clock import ManualClock
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.label_data.triple_table import read_triples
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.records import Message, ProducerRecord, StoredObject
from sightline.engine.settings import SinkSettings
from sightline.schemas.documents.examples import example
from sightline.schemas.envelope import EventData
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import ImageChanged, ImageDeleted, ObjectReference
from sightline.schemas.interactions import UserErased
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.labels import RetractionCause, TripleRetracted
from sightline.schemas.registry import decode
from sightline.schemas.searches import ImageQuery, ResultsShown, UploadQuery
from sightline.schemas.topics import (
    IMAGES,
    INTERACTIONS,
    INTERACTIONS_IMPORTED,
    JUDGEMENTS,
    TRAINING_TRIPLES,
    TRAINING_TRIPLES_V1,
)
from sightline.stream_workers.labels.sink.causes import Causes, TripleSubject, causes_in
from sightline.stream_workers.labels.sink.erasure import erase_user
from sightline.stream_workers.labels.sink.last_retraction import RetractionReport
from sightline.stream_workers.labels.sink.partition import PartitionSink
from sightline.stream_workers.labels.sink.retraction import Retraction
from tests.label_rows import at, encoded, message, triple, triple_id
from tests.worker_parts import MemoryLog

BUCKET = "sightline"
LATENESS = timedelta(minutes=5)
NOW = at(600)
THEN = at(3)


def erased(name: str, when: datetime, *, logged: datetime | None = None) -> Message:
    """A record of an erasure."""
    value = encoded(UserErased(user_pseudonym=name, erased_at=when), f"erased-{name}")
    return message(value, 0, topic=INTERACTIONS.name, timestamp=logged or when)


def changed(
    image_id: str,
    version: int,
    when: datetime,
    *,
    logged: datetime | None = None,
    visibility: Visibility = Visibility.PRIVATE,
    moderation: Moderation = Moderation.ALLOWED,
) -> Message:
    """A record of an image's new state."""
    state = ImageChanged(
        image_id=image_id,
        version=version,
        object=ObjectReference(bucket="b-b", key="k", size_bytes=1),
        visibility=visibility,
        moderation=moderation,
    )
    value = encoded(state, f"{image_id}-v{version}", when)
    return message(value, version, topic=IMAGES.name, timestamp=logged or when)


def deleted(image_id: str, version: int, when: datetime) -> Message:
    """A record of a delete."""
    value = encoded(ImageDeleted(image_id=image_id, version=version), f"{image_id}-deleted", when)
    return message(value, version, topic=IMAGES.name, timestamp=when)


def causes(*messages: Message) -> Causes:
    """What they come to."""
    return causes_in(messages, lateness=LATENESS)


def hit(found: Causes, when: datetime, *images: str, people: tuple[str, ...] = ()) -> str | None:
    """The cause that takes back a triple issued then."""
    cause = found.hit(TripleSubject(when, people, images))
    return None if cause is None else cause.kind.value


def test_the_example_of_the_documentation() -> None:
    """`p4` is deleted at 15:00: triples of `s1` go, a search of 15:05 has nothing to do with it."""
    found = causes(deleted("p4", 3, at(180)))
    assert hit(found, at(3), "a", "p3", "p4") == "image_deleted"
    assert hit(found, at(185), "a", "p3", "p4") is None
    assert hit(found, at(3), "a", "p3", "p5") is None


def test_an_erasure_hits_actor_and_user_before_its_instant() -> None:
    """At the instant itself nothing; the latest of two erasures holds."""
    found = causes(erased("ann", at(20)), erased("ann", at(10)))
    assert hit(found, at(19), people=("ann",)) == "user_erased"
    assert hit(found, at(19), people=("session", "ann")) == "user_erased"
    assert hit(found, at(20), people=("ann",)) is None
    assert hit(found, at(19), people=("bob",)) is None


def test_no_instant_lies_beyond_its_record_and_the_lateness() -> None:
    """An erasure from the future takes back no future."""
    found = causes(erased("ann", at(500), logged=at(20)))
    assert hit(found, at(24), people=("ann",)) == "user_erased"
    assert hit(found, at(25), people=("ann",)) is None


@pytest.mark.parametrize(
    ("visibility", "moderation", "wanted"),
    [
        (Visibility.PRIVATE, Moderation.ALLOWED, "image_hidden"),
        (Visibility.PUBLIC, Moderation.BLOCKED, "image_hidden"),
        (Visibility.PUBLIC, Moderation.ALLOWED, None),
    ],
)
def test_private_and_blocked_images_are_hit(
    visibility: Visibility, moderation: Moderation, wanted: str | None
) -> None:
    """Public and allowed ones are not."""
    found = causes(changed("p4", 2, at(10), visibility=visibility, moderation=moderation))
    assert hit(found, at(3), "p4") == wanted


def test_the_newest_version_hits_until_the_log_had_it() -> None:
    """Between event and log the image may still have been shown."""
    found = causes(changed("p4", 2, at(10), logged=at(12)))
    assert hit(found, at(11), "p4") == "image_hidden"
    assert hit(found, at(12), "p4") is None


def test_an_old_version_that_comes_late_says_nothing_about_searches_since() -> None:
    """Private v2 of 12:10, logged at 14:00 after public v3, hits what was before 12:10."""
    public = changed("p4", 3, at(30), visibility=Visibility.PUBLIC)
    found = causes(public, changed("p4", 2, at(10), logged=at(120)))
    assert hit(found, at(9), "p4") == "image_hidden"
    assert hit(found, at(60), "p4") is None


def test_unreadable_records_are_passed_over() -> None:
    """They are somebody else's dead letters."""
    found = causes(message(b"image.deleted", 0), message(None, 1), erased("ann", at(20)))
    assert set(found.people) == {"ann"}


class World:
    """A labelled topic, its sink, and retraction runs."""

    def __init__(self, store: DirectoryObjectStore) -> None:
        store.ensure_bucket(BUCKET)
        self.store = store
        self.clock = ManualClock(NOW)
        self.log = MemoryLog(self.clock)
        self.manifest = TripleManifest(store, BUCKET, TRAINING_TRIPLES.name)
        self.causes: list[Message] = []

    def mine(self, number: int, when: datetime = THEN, **changes: object) -> None:
        """A triple appears in the topic."""
        value = triple(number, issued_at=when, **changes)
        self.log.append(ProducerRecord(TRAINING_TRIPLES.name, "k", value))

    def sink(self) -> None:
        """A sink comes by."""
        sink = PartitionSink(
            self.manifest,
            0,
            limits=SinkSettings(max_rows=3),
            clock=self.clock,
            bury=lambda *_: None,
        )
        for record in self.log.records[TRAINING_TRIPLES.name][sink.start :]:
            sink.take(record)
            if sink.due():
                sink.flush()
        sink.flush()

    def retract(self) -> RetractionReport:
        """One batch."""
        retraction = Retraction(
            self.manifest, self.log, clock=self.clock, orphan_grace=timedelta(hours=1)
        )
        return retraction.run(causes(*self.causes))

    def ids(self) -> list[str]:
        """Of the triples that hold."""
        return list(read_triples(self.store, BUCKET)["triple_id"].to_pylist())

    def rows(self) -> int:
        """Of triples in files that entries list."""
        files = [file for stored in self.manifest.entries() for file in stored.entry.files]
        return sum(file.rows for file in files if file.kind == "triples")

    def retractions(self) -> list[TripleRetracted]:
        """In the topic."""
        events = [decode(record.value) for record in self.log.records[TRAINING_TRIPLES.name]]
        return [event.data for event in events if isinstance(event.data, TripleRetracted)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A fresh one."""
    return World(DirectoryObjectStore(tmp_path))


def test_what_is_hit_is_published_and_leaves_the_files(world: World) -> None:
    """Under a new version of its entry; the second run does nothing."""
    world.mine(1, actor_id="ann")
    world.mine(2, negative_id="p4")
    world.mine(3)
    world.mine(1, actor_id="ann")
    world.sink()
    world.causes = [erased("ann", at(20)), deleted("p4", 2, at(30))]
    report = world.retract()
    assert report.retracted == {"user_erased": 1, "image_deleted": 1}
    assert (report.rows_removed, report.entries_rewritten) == (3, 2)
    assert world.ids() == [triple_id(3)]
    assert world.rows() == 1
    assert [s.entry.version for s in world.manifest.entries()] == [2, 2]
    assert {data.cause for data in world.retractions()} == {
        RetractionCause.USER_ERASED,
        RetractionCause.IMAGE_DELETED,
    }
    assert not world.retract().changed
    world.sink()
    assert not world.retract().changed
    assert world.ids() == [triple_id(3)]


def test_the_bytes_of_what_was_erased_are_gone(world: World) -> None:
    """No object in the store holds the pseudonym any more."""
    world.mine(1, actor_id="ann-the-erased")
    world.mine(2)
    world.sink()
    world.causes = [erased("ann-the-erased", at(20))]
    world.retract()
    keys = [o.key for o in world.store.list(BUCKET, "labels/") if o.key.endswith(".parquet")]
    assert len(keys) == 1
    assert read_triples(world.store, BUCKET)["actor_id"].to_pylist() == ["user-5d41402abc4b2a76"]


def test_files_of_an_earlier_rules_version_are_cleaned_too(world: World) -> None:
    """What takes their triples back is told on the topic that is read today."""
    world.mine(1, actor_id="ann")
    world.mine(2)
    world.manifest = TripleManifest(world.store, BUCKET, TRAINING_TRIPLES_V1.name)
    world.sink()
    world.causes = [erased("ann", at(20))]
    assert world.retract().retracted == {"user_erased": 1}
    assert world.rows() == 1
    assert [data.triple_id for data in world.retractions()] == [triple_id(1)]


class Refusing(DirectoryObjectStore):
    """Dies at a chosen write."""

    writes_left: int | None = None

    def _write_allowed(self) -> None:
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left < 0:
                raise PartUnavailable(Part.STORE, "gone")

    def put(
        self, bucket: str, key: str, data: bytes, *, content_type: str = "application/octet-stream"
    ) -> StoredObject:
        """See `ObjectStore.put`."""
        self._write_allowed()
        return super().put(bucket, key, data, content_type=content_type)

    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """See `ObjectStore.put_if`."""
        self._write_allowed()
        return super().put_if(bucket, key, data, expected_etag=expected_etag)

    def delete(self, bucket: str, key: str) -> None:
        """See `ObjectStore.delete`."""
        self._write_allowed()
        super().delete(bucket, key)


@pytest.mark.parametrize("writes", range(3))
def test_killed_anywhere_the_next_run_finishes(tmp_path: Path, writes: int) -> None:
    """Before the new file, before the entry, before the old file is deleted."""
    store = Refusing(tmp_path)
    world = World(store)
    world.mine(1, actor_id="ann")
    world.mine(2)
    world.sink()
    world.causes = [erased("ann", at(20))]
    store.writes_left = writes
    with pytest.raises(PartUnavailable):
        world.retract()
    store.writes_left = None
    world.clock.advance(400 * 86_400)  # files are stamped by the machine's clock
    world.retract()
    assert world.ids() == [triple_id(2)]
    assert len({data.triple_id for data in world.retractions()}) == 1
    keys = [o.key for o in store.list(BUCKET, "labels/") if o.key.endswith(".parquet")]
    assert len(keys) == 1


STEPS = st.lists(
    st.sampled_from(
        ["mine ann", "mine bob", "mine p4", "mine late", "sink", "retract", "erase", "delete"]
    ),
    max_size=14,
)


def take_step(world: World, number: int, step: str) -> tuple[str, set[str]] | None:
    """Carry it out; of a triple its id and what takes it back."""
    match step.split():
        case ["mine", "late"]:
            world.mine(number, at(90), actor_id="ann", negative_id="p4")
            return triple_id(number), set()
        case ["mine", "p4"]:
            world.mine(number, negative_id="p4")
            return triple_id(number), {"delete"}
        case ["mine", who]:
            world.mine(number, actor_id=who)
            world.mine(number, actor_id=who)
            return triple_id(number), {"erase"} if who == "ann" else set()
        case ["erase"]:
            world.causes.append(erased("ann", at(20)))
        case ["delete"]:
            world.causes.append(deleted("p4", 2, at(30)))
        case _:
            world.sink() if step == "sink" else world.retract()
    return None


@settings(max_examples=40)
@given(STEPS)
def test_in_any_order_the_set_is_mined_less_hit(steps: list[str]) -> None:
    """However sink, retraction, events and repeats of triples interleave."""
    with TemporaryDirectory() as folder:
        world = World(DirectoryObjectStore(Path(folder)))
        taken = [take_step(world, number, step) for number, step in enumerate(steps)]
        world.sink()
        world.retract()
        happened = set(steps)
        wanted = {one[0] for one in taken if one is not None and not one[1] & happened}
        assert set(world.ids()) == wanted


OURS = ("catalogue/a.json", "images/a/0", "secrets/signing", "serving/photos/state.json")
"""Objects of our bucket that nobody asked by."""


def shown(search_id: str, actor: str, *, key: str | None, when: datetime = THEN) -> Message:
    """A record of a page asked for by an upload."""
    data = example(ResultsShown.TYPE).data
    assert isinstance(data, ResultsShown)
    kept = ObjectReference(bucket=BUCKET, key=key, size_bytes=1) if key else None
    query = UploadQuery(sha256="0" * 64, object=kept) if key else ImageQuery(image_id="a")
    page: EventData = data.model_copy(
        update={
            "search_id": search_id,
            "actor_id": actor,
            "user_pseudonym": None,
            "query": query,
            "issued_at": when,
        }
    )
    return message(encoded(page, search_id), 0, topic=INTERACTIONS.name)


def judged(judge_id: str) -> RelevanceJudged:
    """A grade before noon."""
    data = example(RelevanceJudged.TYPE).data
    assert isinstance(data, RelevanceJudged)
    return data.model_copy(update={"judge_id": judge_id, "judged_at": THEN})


def test_erasing_a_user_says_so_and_removes_what_only_they_asked_by(world: World) -> None:
    """A picture that somebody else asked by, too, stays; a repeat does no harm.

    So does whatever else an impression names as its picture: who may append one would remove it.
    """
    for key in ("queries/mine", "queries/shared", "queries/later", "queries/other", *OURS):
        world.store.put(BUCKET, key, b"picture")
    pages = [
        shown("s1", "ann", key="queries/mine"),
        shown("s2", "ann", key="queries/shared"),
        shown("s3", "bob", key="queries/shared"),
        shown("s4", "ann", key=None),
        shown("s5", "ann", key="queries/later", when=at(60)),
        shown("s6", "bob", key="queries/other"),
        *(shown(f"forged-{key[:3]}", "ann", key=key) for key in OURS),
        message(b"nonsense", 9, topic=INTERACTIONS.name),
    ]
    imported = shown("s7", "ann", key=None)
    pages.append(replace(imported, topic=INTERACTIONS_IMPORTED.name))
    grades = [
        message(encoded(judged(judge), judge), 0, topic=JUDGEMENTS.name)
        for judge in ("lab~ann", "shop~ann", "lab~bob")
    ]
    for _ in range(2):
        report = erase_user(
            "ann",
            producer=world.log,
            store=world.store,
            bucket=BUCKET,
            interactions=pages,
            judgements=grades,
            now=at(20),
        )
    assert report.searches == {INTERACTIONS.name: 3 + len(OURS), INTERACTIONS_IMPORTED.name: 1}
    assert report.judgements == 2
    assert report.queries_removed == ["queries/mine"]
    assert report.queries_shared == ["queries/shared"]
    left = [o.key for o in world.store.list(BUCKET, "")]
    assert left == sorted([*OURS, "queries/later", "queries/other", "queries/shared"])
    said = [decode(record.value).data for record in world.log.records[INTERACTIONS.name]]
    assert said == [UserErased(user_pseudonym="ann", erased_at=at(20))] * 2
    assert {record.key for record in world.log.records[INTERACTIONS.name]} == {b"ann"}
    assert len(world.log.records[JUDGEMENTS.name]) == 2
