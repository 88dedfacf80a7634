"""Backfill: every file comes to one end, whatever is missing, known, interrupted or down."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.engine.clock import SystemClock
from sightline.engine.errors import Overloaded, Part, PartUnavailable
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.pictures.formats.signature import NO_PICTURE
from sightline.producers.backfill.ends import FileEnd
from sightline.producers.backfill.files import BackfillRefused
from sightline.producers.backfill.record import BackfillSummary, FileFailed
from sightline.producers.backfill.run import BackfillOptions, run_backfill
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.ids import id_of_file, id_of_object
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.upload_files import upload_files
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import Authority, ImageState, ImageUploaded
from sightline.schemas.registry import decode
from sightline.schemas.topics import IMAGES, IMAGES_BACKFILL
from tests.backfilling import OURS, publishing
from tests.worker_parts import MemoryLog

PUBLIC = Visibility.PUBLIC


class Log(MemoryLog):
    """A log that tells which states of images were published."""

    def states(self, topic: str = IMAGES_BACKFILL.name) -> dict[str, ImageState]:
        """What was published, by image."""
        return {s.image_id: s for s in (decode(m.value).data for m in self.records[topic])}


@pytest.fixture
def log() -> Log:
    """Where events go."""
    return Log(SystemClock())


@pytest.fixture
def publisher(tmp_path: Path, log: Log) -> Iterator[ImagePublisher]:
    """Publishes into a directory store and the log."""
    with publishing(tmp_path, log) as publisher:
        yield publisher


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one of them empty, and a text."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "deep" / "ü b.PNG").write_bytes(b"b")
    (folder / "empty.webp").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folder_is_published_at_version_0(
    publisher: ImagePublisher, log: Log, folder: Path
) -> None:
    """Pictures go to the backfill lane, what is none is counted, what is empty fails, by name."""
    seen: list[int] = []
    summary = run_backfill(
        publisher, folder, visibility=PUBLIC, progress=lambda s: seen.append(s.done)
    )
    assert summary.counts == {FileEnd.PUBLISHED: 2, FileEnd.UNSUPPORTED: 1, FileEnd.FAILED: 1}
    assert summary.failures == [FileFailed("empty.webp", "it is empty")]
    assert summary.unsupported == ["notes.txt"]
    assert seen == [1, 2, 3, 4]
    states = log.states()
    assert set(states) == {id_of_file("a.jpg"), id_of_file("deep/ü b.PNG")}
    state = states[id_of_file("a.jpg")]
    assert isinstance(state, ImageUploaded)
    assert (state.version, state.authority, state.visibility) == (0, Authority.BACKFILL, PUBLIC)
    assert publisher.store.get(OURS, state.object.key) == b"a"


def test_a_repeat_is_the_same_events(publisher: ImagePublisher, log: Log, folder: Path) -> None:
    """Backfilled twice, each image has one event id: the second changes nothing."""
    run_backfill(publisher, folder, visibility=PUBLIC)
    run_backfill(publisher, folder, visibility=PUBLIC)
    ids = [decode(message.value).id for message in log.records[IMAGES_BACKFILL.name]]
    assert (len(ids), len(set(ids))) == (4, 2)


def test_visibility_must_be_said(publisher: ImagePublisher, folder: Path) -> None:
    """Without a manifest nobody decides by accident who may see a catalogue."""
    with pytest.raises(BackfillRefused, match="public or private"):
        run_backfill(publisher, folder)


@pytest.mark.parametrize("source", ["s3://", "s3://sightline/images", "/never/there"])
def test_a_source_that_is_none_is_refused(publisher: ImagePublisher, source: str) -> None:
    """No bucket, our own bucket, no directory: nothing is published."""
    with pytest.raises(BackfillRefused):
        run_backfill(publisher, source, visibility=PUBLIC)


def test_a_manifest_decides(publisher: ImagePublisher, log: Log, folder: Path) -> None:
    """Only its rows, whatever their suffix; versions make them the owner's; misses are told."""
    manifest = folder.parent / "m.csv"
    manifest.write_text(
        "path,image_id,version,tags\na.jpg,cat,5,x\nnotes.txt,odd,1,\nnever.jpg,gone,1,\n"
        "../m.csv,out,1,\n"
    )
    summary = run_backfill(publisher, folder, manifest=manifest)
    states = log.states()
    assert set(states) == {"cat", "odd"}
    assert (states["cat"].version, states["cat"].authority) == (5, Authority.OWNER)
    assert states["cat"].visibility is Visibility.PRIVATE
    assert {failure.path for failure in summary.failures} == {"never.jpg", "../m.csv"}


def test_a_bucket_is_referred_to_in_place(publisher: ImagePublisher, log: Log) -> None:
    """Objects stay where they are; their ids are those of the bucket bridge."""
    publisher.store.put("shop", "new/ü 1.jpg", b"123", content_type="image/jpeg")
    publisher.store.put("shop", "old/2.jpg", b"1")
    summary = run_backfill(publisher, "s3://shop/new/", visibility=PUBLIC)
    [(image_id, state)] = log.states().items()
    assert image_id == id_of_object("shop", "new/ü 1.jpg")
    assert isinstance(state, ImageUploaded)
    assert (state.object.bucket, state.object.key) == ("shop", "new/ü 1.jpg")
    assert (state.object.size_bytes, state.object.content_type) == (3, "image/jpeg")
    assert summary.counts[FileEnd.PUBLISHED] == summary.total == 1
    assert not list(publisher.store.list(OURS, ""))


def known_of(log: Log) -> dict[str, ImageState]:
    """The index, once it has applied what was published."""
    return log.states() | log.states(IMAGES.name)


def test_what_is_known_is_counted(publisher: ImagePublisher, log: Log, folder: Path) -> None:
    """Known and alike, known and different: neither is published without `--replace`."""
    run_backfill(publisher, folder, visibility=PUBLIC)
    known = known_of(log)
    (folder / "a.jpg").write_bytes(b"other")
    summary = run_backfill(publisher, folder, visibility=PUBLIC, known=known.get)
    assert (
        summary.counts[FileEnd.KNOWN],
        summary.counts[FileEnd.DIFFERS],
        summary.counts[FileEnd.PUBLISHED],
    ) == (
        1,
        1,
        0,
    )


def test_replace_keeps_what_people_decided(
    publisher: ImagePublisher, log: Log, folder: Path
) -> None:
    """Known and different images get the new bytes at previous + 1, their other facts stay."""
    cat = id_of_file("a.jpg")
    run_backfill(publisher, folder, visibility=PUBLIC)
    known = known_of(log)
    blocked = known[cat].model_copy(update={"version": 0, "moderation": Moderation.BLOCKED})
    known[cat] = blocked
    (folder / "a.jpg").write_bytes(b"other")
    options = BackfillOptions(visibility=PUBLIC, replace=True)
    summary = run_backfill(publisher, folder, options=options, known=known.get)
    assert summary.counts[FileEnd.PUBLISHED] == 1
    state = log.states()[cat]
    assert isinstance(state, ImageUploaded)
    assert (state.version, state.moderation) == (1, Moderation.BLOCKED)
    assert publisher.store.get(OURS, state.object.key) == b"other"


def test_replace_counts_in_the_catalogue_where_that_counts(
    publisher: ImagePublisher, log: Log, folder: Path
) -> None:
    """An image of ours is replaced through the catalogue, so that its next patch is higher."""
    catalogue = Catalogue(publisher.store, OURS)
    cat = id_of_file("a.jpg")
    run_backfill(publisher, folder, visibility=PUBLIC)
    images = CataloguedImages(catalogue, publisher, known=known_of(log).get)
    images.patch(cat, {"tags": ["kept"]})
    (folder / "a.jpg").write_bytes(b"other")
    options = BackfillOptions(visibility=PUBLIC, replace=True)
    known = known_of(log)
    summary = run_backfill(publisher, folder, options=options, known=known.get, catalogued=images)
    assert summary.counts[FileEnd.PUBLISHED] == 1
    assert (log.states()[cat].version, log.states()[cat].tags) == (2, ("kept",))
    assert images.patch(cat, {"tags": ("new",)}).version == 3
    with pytest.raises(BackfillRefused, match="index"):
        run_backfill(publisher, folder, options=options)


def test_an_interrupted_run_resumes(publisher: ImagePublisher, log: Log, tmp_path: Path) -> None:
    """A part that stays down stops the run; the next one leaves out what was finished."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.jpg").write_bytes(b"%d" % number)
    state = tmp_path / "state.jsonl"

    def breaks(summary: BackfillSummary) -> None:
        if summary.done == 10:
            log.broker.down = True

    options = BackfillOptions(visibility=PUBLIC, threads=1, patience_s=0)
    with pytest.raises(PartUnavailable):
        run_backfill(publisher, folder, options=options, state_file=state, progress=breaks)
    log.broker.down = False
    with state.open("a") as lines:
        lines.write('"half a li')
    summary = run_backfill(publisher, folder, options=options, state_file=state)
    assert summary.counts[FileEnd.RESUMED] >= 10
    assert summary.done == summary.total == 30
    assert len(log.states()) == 30
    assert not state.exists()


def test_a_state_file_of_another_job_is_refused(
    publisher: ImagePublisher, folder: Path, tmp_path: Path
) -> None:
    """Otherwise a second folder would be skipped by the paths of the first."""
    state = tmp_path / "state.jsonl"
    state.write_text('{"source": "elsewhere"}\n"a.jpg"\n')
    with pytest.raises(BackfillRefused, match="another backfill"):
        run_backfill(publisher, folder, visibility=PUBLIC, state_file=state)


def test_overload_is_waited_out(publisher: ImagePublisher, log: Log, folder: Path) -> None:
    """A log that is too busy, or away for a moment, costs time and no image."""
    log.refusals = [Overloaded(Part.BROKER, "busy"), PartUnavailable(Part.BROKER, "blip")]
    assert run_backfill(publisher, folder, visibility=PUBLIC).counts[FileEnd.PUBLISHED] == 2


def test_a_stopped_run_says_how_far_it_came(publisher: ImagePublisher, folder: Path) -> None:
    """Stopped before it begins: nothing is published, nothing is called done."""
    stop = threading.Event()
    stop.set()
    summary = run_backfill(publisher, folder, visibility=PUBLIC, stop=stop)
    assert (summary.done, summary.total) == (0, 4)


def test_the_rate_is_kept(publisher: ImagePublisher, tmp_path: Path) -> None:
    """Twenty images at fifty a second take at least 0.38 s."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.jpg").write_bytes(b"%d" % number)
    clock = SystemClock()
    started = clock.monotonic()
    run_backfill(publisher, folder, options=BackfillOptions(visibility=PUBLIC, rate_per_s=50))
    assert clock.monotonic() - started >= 19 / 50


def test_uploaded_files_each_have_an_end(publisher: ImagePublisher, log: Log, folder: Path) -> None:
    """Single files go live under new ids; what cannot be read is told and stops nothing."""
    images = CataloguedImages(Catalogue(publisher.store, OURS), publisher)
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff and so on")
    names = ("a.jpg", "never.jpg", "empty.webp", "notes.txt")
    files = [folder / name for name in names]
    ends = upload_files(images, files, visibility=PUBLIC, tags=["t"])
    assert [end.reason for end in ends] == [
        "",
        "cannot be read: No such file or directory",
        "it is empty",
        f"it is {NO_PICTURE}",
    ]
    assert len(log.states(IMAGES.name)) == 1
    published = ends[0].published
    assert published is not None
    assert log.states(IMAGES.name)[published.image_id].tags == ("t",)
    assert upload_files(images, files[:1], visibility=PUBLIC, image_id="cat")[0].published
    with pytest.raises(ValueError, match="exactly one"):
        upload_files(images, files, visibility=PUBLIC, image_id="cat")
    log.broker.down = True
    assert "switched off" in upload_files(images, files[:1], visibility=PUBLIC)[0].reason
