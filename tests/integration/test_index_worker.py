"""The index worker on a real broker, a real object store and the embedded index."""

from __future__ import annotations

import csv
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sightline.engine.errors import DeadLetterLimit, GenerationMismatch
from sightline.engine.pictures.prepare import prepare
from sightline.engine.records import ImageStage, SearchRequest
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings, KafkaSettings, StoreSettings
from sightline.schemas.dead_letters import DeadLetterFacts
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageChanged, ImageDeleted
from sightline.schemas.indexed import Lane, Outcome
from tests.indexing import FAST, Indexing, Killed
from tests.patience import patient
from tests.waiting import eventually
from tests.worker_parts import SIZE, TinyEmbedder, TinyPicture, tiny_decode


@pytest.fixture
def indexing(
    kafka_settings: KafkaSettings, store_settings: StoreSettings, tmp_path: Path
) -> Iterator[Indexing]:
    """Everything but a worker."""
    with Indexing(kafka_settings, store_settings, tmp_path / "index") as world:
        yield world


def test_an_upload_is_found_as_its_own_nearest_neighbour(indexing: Indexing) -> None:
    """Uploaded, changed, deleted: the index follows, and each version's outcome is told."""
    indexing.worker()
    for number in range(5):
        indexing.publish(indexing.public(f"i{number}", 1, f"picture {number}".encode()))
    indexing.wait_listed(5)
    whole = indexing.index.get(["i3"], vectors=True)["i3"]
    assert whole.vector is not None
    hits = indexing.index.search(SearchRequest(vector=np.asarray(whole.vector), limit=1))
    assert hits[0].image.image_id == "i3"
    changed = ImageChanged(**dict(whole.state) | {"version": 2, "tags": ("red",)})
    indexing.publish(changed)
    indexing.publish(ImageDeleted(image_id="i4", version=2))
    indexing.wait_outcome("i4", Outcome.DELETED)
    eventually(lambda: (image := indexing.image("i3")) and image.version == 2)
    eventually(lambda: len(indexing.told()) == 7)
    outcomes = Counter((told.outcome, told.version) for told in indexing.told())
    assert outcomes == {
        (Outcome.INDEXED, 1): 5,
        (Outcome.INDEXED, 2): 1,
        (Outcome.DELETED, 2): 1,
    }
    times = [told.times for told in indexing.told()]
    assert all(t.searchable and t.appended <= t.consumed <= t.searchable for t in times)
    assert isinstance(indexing.embedder, TinyEmbedder)
    assert indexing.embedder.embedded == 5


def test_what_is_malformed_is_dead_lettered_and_the_partition_goes_on(indexing: Indexing) -> None:
    """Not JSON, no CloudEvent, unknown type, an id that no URL can hold; a null passes by."""
    good = indexing.public("good", 1, b"good")
    bad = {
        b"{": "",
        b'{"specversion": "0.3"}': "specversion",
        b'{"specversion": "1.0", "type": "sightline.image.sung.v1"}': "type",
    }
    for value in bad:
        indexing.append("good", value)
    indexing.append("good", None)
    indexing.publish(good.model_copy(update={"image_id": ".."}))
    indexing.publish(good)
    indexing.worker()
    indexing.wait_listed(1)
    letters = eventually(lambda: found if len(found := indexing.dead_letters()) == 4 else None)
    assert letters is not None
    facts = [DeadLetterFacts.parse(list(letter.headers)) for letter in letters]
    assert {letter.value for letter in letters if letter.key == b"good"} == set(bad)
    assert {fact.error for fact in facts} == {"ContractError"}
    [dots] = [fact for fact, letter in zip(facts, letters, strict=True) if letter.key == b".."]
    assert dots.message.startswith("data.image_id: ")


def test_missing_and_different_objects_are_rejected_after_a_while(indexing: Indexing) -> None:
    """Each with its reason, while the others go on."""
    missing = indexing.public("good", 1, b"good").model_copy(
        update={"image_id": "missing", "object": indexing.reference(b"nowhere")}
    )
    there = indexing.put(b"there")
    other = missing.model_copy(
        update={
            "image_id": "other",
            "object": there.model_copy(update={"sha256": "0" * 64}),
        }
    )
    short = other.model_copy(
        update={"image_id": "short", "object": there.model_copy(update={"size_bytes": 3})}
    )
    broken = indexing.public("broken", 1, b"bad picture")
    for state in (missing, other, short, broken, indexing.public("good", 1, b"good")):
        indexing.publish(state)
    indexing.worker()
    indexing.wait_listed(1)
    reasons = {
        image_id: indexing.wait_outcome(image_id, Outcome.REJECTED).reason
        for image_id in ("missing", "other", "short", "broken")
    }
    assert reasons == {
        "missing": "object_missing",
        "other": "object_changed",
        "short": "object_changed",
        "broken": "corrupt",
    }
    eventually(lambda: len(indexing.told()) == 5)
    assert not indexing.dead_letters()


@pytest.mark.parametrize("interval_s", [FAST.commit_interval_s, 3600.0])
def test_a_worker_that_vanishes_loses_and_doubles_nothing(
    indexing: Indexing, interval_s: float
) -> None:
    """A second worker starts from what was committed, or from nothing; every image is there, once.

    In an hour nothing is flushed: the first worker vanishes between applying and flushing.
    """
    states = [indexing.public(f"i{n}", 1, f"picture {n}".encode()) for n in range(60)]
    for state in states[:40]:
        indexing.publish(state)
    first = indexing.worker(FAST.model_copy(update={"commit_interval_s": interval_s}))
    eventually(lambda: indexing.index.count() >= 10)
    first.vanish()
    assert interval_s == FAST.commit_interval_s or isinstance(first.failure, Killed)
    for state in states[40:]:
        indexing.publish(state)
    indexing.worker()
    indexing.wait_listed(60)
    eventually(lambda: len({t.image_id for t in indexing.told()}) == 60)
    assert {t.outcome for t in indexing.told()} == {Outcome.INDEXED}


def test_two_workers_share_the_partitions_and_one_leaves(indexing: Indexing) -> None:
    """Cooperative rebalancing in the middle of work, without loss."""
    states = [indexing.public(f"i{n}", 1, f"picture {n}".encode()) for n in range(90)]
    first = indexing.worker()
    for state in states[:30]:
        indexing.publish(state)
    second = indexing.worker()
    for state in states[30:60]:
        indexing.publish(state)
    eventually(second.worker.pipe.pollers[Lane.LIVE].offsets.held, reason="a share")
    first.stop()
    for state in states[60:]:
        indexing.publish(state)
    indexing.wait_listed(90)
    eventually(lambda: len({t.image_id for t in indexing.told()}) == 90)
    assert {t.outcome for t in indexing.told()} == {Outcome.INDEXED}
    assert first.failure is None
    assert second.failure is None


def test_live_goes_before_backfill(indexing: Indexing) -> None:
    """A live upload does not wait for the backfill that was there before it."""
    gate = threading.Semaphore(0)

    def slow(data: bytes) -> TinyPicture:
        assert gate.acquire(timeout=patient(15))
        return tiny_decode(data)

    for number in range(40):
        indexing.publish(indexing.public(f"b{number}", 0, f"old {number}".encode()), Lane.BACKFILL)
    embed = indexing.worker(decode_with=slow).worker.pipe.router.queues["embed"]
    eventually(lambda: embed.depth(Lane.BACKFILL) > 5)
    indexing.publish(indexing.public("now", 1, b"new"))
    eventually(lambda: embed.depth(Lane.LIVE) == 1)
    gate.release(2 * FAST.max_batch + 1)  # what both threads held, and one more
    eventually(lambda: indexing.image("now"))
    assert indexing.index.count() <= 2 * FAST.max_batch + 1
    gate.release(100)
    indexing.wait_listed(41)


def test_what_hides_does_not_wait_for_bytes(indexing: Indexing) -> None:
    """Private and deleted apply while the objects cannot be read; public waits."""
    indexing.worker(FAST.model_copy(update={"object_grace_s": 60.0}))
    for name in ("a", "b", "c"):
        indexing.publish(indexing.public(name, 1, name.encode()))
    indexing.wait_listed(3)
    absent = indexing.public("a", 2, b"a").model_copy(
        update={"object": indexing.reference(b"never stored")}
    )
    indexing.publish(absent.model_copy(update={"visibility": Visibility.PRIVATE}))
    indexing.publish(ImageDeleted(image_id="b", version=2))
    indexing.publish(absent.model_copy(update={"image_id": "c"}))
    indexing.wait_listed(1)
    hidden, waiting = indexing.image("a"), indexing.image("c")
    assert hidden is not None
    assert hidden.stage is ImageStage.PROVISIONAL
    assert waiting is not None
    assert waiting.version == 1


def test_a_winner_is_appended_again_on_the_real_log(indexing: Indexing) -> None:
    """Private 5, late public 3: the topic ends in 5 again, and the index has its new place."""
    winner = indexing.public("a", 5, b"a").model_copy(update={"visibility": Visibility.PRIVATE})
    indexing.publish(winner)
    indexing.publish(indexing.public("a", 3, b"b"))
    indexing.worker()
    image = indexing.wait_outcome("a", Outcome.HIDDEN)
    assert image.version == 5
    moved = eventually(lambda: (i := indexing.image("a")) and i.winner.offset == 2 and i)
    assert moved
    assert not moved.listed


def test_too_many_dead_letters_stop_the_worker(indexing: Indexing) -> None:
    """The limit refuses to go on, and nothing past it is committed: the next start sees it too."""
    for _ in range(8):
        indexing.append("a", b"rubbish")
    strict = FAST.model_copy(update={"dead_letter_limit": 3})
    for _ in range(2):
        running = indexing.worker(strict)
        eventually(running.ended)
        assert isinstance(running.failure, DeadLetterLimit)
        assert "dlq" in str(running.failure)
    indexing.publish(indexing.public("good", 1, b"good"))
    indexing.worker()
    indexing.wait_listed(1)
    offsets = {
        DeadLetterFacts.parse(list(letter.headers)).offset for letter in indexing.dead_letters()
    }
    assert offsets == set(range(8))


def test_an_index_of_another_model_is_refused(indexing: Indexing) -> None:
    """One vector space at a time: a clear refusal before anything is read."""
    other = TinyEmbedder()
    other.digest = "another"
    indexing.embedder = other
    with pytest.raises(GenerationMismatch, match="re-indexing"):
        indexing.worker()


def test_every_nasty_file_gets_its_verdict(indexing: Indexing, nasty: Path) -> None:
    """Through log, store, worker and index: accepted, or rejected with a reason and a sentence."""
    with (nasty / "manifest.csv").open(newline="") as manifest:
        rows = list(csv.DictReader(manifest))
    for number, row in enumerate(rows):
        data = (nasty / row["file"]).read_bytes()
        indexing.publish(indexing.public(f"n{number}", 1, data))
    decode = partial(prepare, limits=DecodeSettings(), framing=Framing(SIZE))
    indexing.worker(decode_with=decode, max_bytes=DecodeSettings().max_bytes)
    eventually(lambda: indexing.index.count() == len(rows), timeout_s=60)
    verdicts = {f"n{number}": row["expect"] for number, row in enumerate(rows)}
    wrong = []
    for image in indexing.index.scan():
        outcome = {"accept": Outcome.INDEXED, "reject": Outcome.REJECTED}
        if image.outcome is not outcome.get(verdicts[image.image_id], image.outcome):
            wrong.append((image.image_id, image.outcome, image.reason))
        assert image.outcome is Outcome.INDEXED or (image.reason and image.message)
    assert not wrong
    assert not indexing.dead_letters()
