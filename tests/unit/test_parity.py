"""Two generations compared: every planted difference is found, and what only moved is none."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.errors import ObjectDenied, ObjectMissing, ObjectRefused, RejectReason
from sightline.engine.pacing import Pace
from sightline.engine.records import Hit, IndexedImage, SearchRequest
from sightline.engine.vector_index.memory.index import MemoryVectorIndex
from sightline.infra.reporting.reindex_lines import parity_lines
from sightline.schemas.fields import Moderation
from sightline.schemas.indexed import Outcome
from sightline.stream_workers.reindexing.comparing import PAGE, Comparison
from sightline.stream_workers.reindexing.parity import (
    LEAST_COSINE,
    NAMED,
    Compared,
    Parity,
    Reason,
    RecallLine,
    Reproduced,
)
from sightline.stream_workers.reindexing.proving import prove
from sightline.stream_workers.reindexing.recall import AT, QUERIES, Sample, recall_lines
from sightline.stream_workers.reindexing.reindexing import Done
from sightline.stream_workers.reindexing.reproduction import reproduce
from tests.indexed_images import DIMENSIONS, NOON, SPEC, Kind, decision, image, unit_vector
from tests.steps import ended, told
from tests.worker_parts import TinyEmbedder, tiny_decode

NEW = replace(SPEC, name="second", model_digest="model-2")


class Pair:
    """An old and a new generation that hold the same; a test changes one of them."""

    def __init__(self, images: Sequence[IndexedImage] | None = None) -> None:
        self.old, self.new = MemoryVectorIndex(SPEC), MemoryVectorIndex(NEW)
        self.clock = ManualClock(NOON)
        self.settled = 0
        self.stop = threading.Event()
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while the comparison waits."""
        held = [image(f"{k}-1", 3, k) for k in Kind] if images is None else images
        for index in (self.old, self.new):
            index.apply(held)
            index.moderate([decision("public-1", 2, Moderation.ALLOWED), decision("nobody", 1)])

    def settle(self) -> None:
        """Wait a moment."""
        self.settled += 1
        self.meanwhile()

    def pace(self) -> Pace:
        """As fast as it goes."""
        return Pace(None, clock=self.clock, stop=threading.Event())

    def compare(self) -> Compared:
        """What differs now."""
        comparison = Comparison(
            self.old,
            self.new,
            settle=self.settle,
            pace=self.pace(),
            clock=self.clock,
            stop=self.stop,
            sample=Sample(1),
        )
        return ended(comparison.compare())

    def found(self) -> dict[str, Reason]:
        """What differs now, by image."""
        compared = self.compare()
        assert sum(compared.differing.values()) == len(compared.first)
        return {one.image_id: one.reason for one in compared.first}


def forget(index: MemoryVectorIndex, image_id: str) -> None:
    """Lose an image, as no call of the port does."""
    del index.generation.images[image_id]


def damage(index: MemoryVectorIndex, image_id: str, **fields: object) -> None:
    """Change what an index holds, past its fence and its checks."""
    held = index.generation.images
    held[image_id] = replace(held[image_id], **fields)  # type: ignore[arg-type]


def test_equal_generations_have_no_difference() -> None:
    """Everything is counted, and nothing is looked at twice."""
    here = Pair()
    compared = here.compare()
    assert (compared.images, compared.listed, compared.hidden) == (6, 2, 4)
    assert (compared.decisions, compared.looked_again, compared.differing) == (2, 0, {})
    assert here.settled == 0


PLANTED: dict[Reason, Callable[[Pair], object]] = {
    Reason.MISSING: lambda here: forget(here.new, "deleted-1"),
    Reason.EXTRA: lambda here: forget(here.old, "public-1"),
    Reason.VERSION: lambda here: here.new.apply([image("public-1", 4)]),
    Reason.STATE: lambda here: damage(
        here.new, "public-1", state=image("public-1", 3, tags=("other",)).state
    ),
    Reason.OUTCOME: lambda here: damage(here.new, "private-1", outcome=Outcome.INDEXED),
    Reason.DECISION: lambda here: here.old.moderate([decision("nobody", 2)]),
    Reason.LISTING: lambda here: damage(here.new, "public-1", vector=None),
    Reason.VECTOR: lambda here: damage(here.new, "private-1", vector=None),
}


@pytest.mark.parametrize("reason", PLANTED)
def test_a_planted_difference_is_found(reason: Reason) -> None:
    """Each kind alone, with the image that it is about."""
    here = Pair()
    PLANTED[reason](here)
    assert list(here.found().values()) == [reason]


def test_a_report_names_images_and_nothing_that_was_said_of_them() -> None:
    """It outlives them: ids of what differs, and no tag, owner or attribute of any image."""
    said = "of-a-person-1979"
    held = [image(f"i{n}", owner_id=said, tags=(f"{said}-{n}",)) for n in range(9)]
    here = Pair([*held, image("public-1", 3), image("private-1", 3, Kind.PRIVATE)])
    for reason in (Reason.STATE, Reason.DECISION, Reason.VECTOR):
        PLANTED[reason](here)
    damage(here.new, "i1", state=image("i1").state)
    forget(here.new, "i2")
    told = report(here, Reproduced()).model_dump_json()
    named = set(re.findall(r'"image_id":"(.*?)"', told))
    assert named == {"i1", "i2", "public-1", "private-1", "nobody"}
    assert "one tag (" in told
    assert said not in told


@pytest.mark.parametrize(
    "vector",
    [
        unit_vector(1, DIMENSIONS + 1),
        unit_vector(1) * 2,
        np.full(DIMENSIONS, np.nan, np.float32),
    ],
    ids=["of another length", "not of norm 1", "not finite"],
)
def test_a_vector_that_is_not_the_models_is_found(vector: np.ndarray) -> None:
    """Its form is looked at before anything is searched by it."""
    here = Pair()
    damage(here.new, "private-1", vector=vector)
    assert here.found() == {"private-1": Reason.VECTOR}


def test_a_hidden_image_that_a_search_returns_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter of a search is tried for every hidden image, by the image's own vector."""
    here = Pair()
    [leak] = here.new.get(["blocked-1"]).values()
    monkeypatch.setattr(here.new, "search", lambda _: [Hit(image=leak, score=1.0)])
    assert here.found() == {"blocked-1": Reason.SHOWN}


def test_a_listed_image_that_the_filter_passes_over_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is listed by its state and not by the index's own field would be lost to searches."""
    here, get = Pair(), MemoryVectorIndex.get
    monkeypatch.setattr(
        here.new,
        "get",
        lambda ids, **asked: {} if "sight" in asked else get(here.new, ids, **asked),
    )
    assert set(here.found().values()) == {Reason.UNSHOWN}


def test_what_is_on_its_way_is_no_difference() -> None:
    """A version that the new generation gets a moment later was looked at again."""
    here = Pair()
    here.old.apply([image("public-1", 4)])
    here.meanwhile = lambda: here.new.apply([image("public-1", 4)])
    compared = here.compare()
    assert (compared.differing, compared.looked_again, here.settled) == ({}, 1, 1)


def test_what_changes_all_the_time_is_no_difference() -> None:
    """The new generation is always one version behind, and always comes to it."""
    here, version = Pair(), iter(range(4, 100))

    def goes_on() -> None:
        at = next(version)
        here.old.apply([image("public-1", at + 1)])
        here.new.apply([image("public-1", at)])

    here.old.apply([image("public-1", 4)])
    here.meanwhile = goes_on
    compared = here.compare()
    assert (compared.differing, compared.moving) == ({}, 1)


def test_what_stands_still_is_a_difference_whatever_the_other_does() -> None:
    """A worker that stopped is found, though the image changes in the old generation."""
    here, version = Pair(), iter(range(4, 100))
    here.meanwhile = lambda: here.old.apply([image("public-1", next(version))])
    here.old.apply([image("public-1", 4)])
    assert here.found() == {"public-1": Reason.VERSION}


def test_a_tombstone_past_its_retention_may_be_in_one_only() -> None:
    """The old generation's was removed; the new one's will be."""
    here = Pair()
    forget(here.old, "deleted-1")
    assert here.found() == {"deleted-1": Reason.EXTRA}
    here.clock.advance(timedelta(days=31).total_seconds())
    assert here.found() == {}


def test_the_first_hundred_are_told_and_all_are_counted() -> None:
    """In the order of their ids."""
    here = Pair([image(f"i{n:03}") for n in range(NAMED + 30)])
    for n in range(NAMED + 30):
        forget(here.new, f"i{n:03}")
    compared = here.compare()
    assert compared.differing == {Reason.MISSING: NAMED + 30}
    assert [one.image_id for one in compared.first] == [f"i{n:03}" for n in range(NAMED)]


def tagged(n: int) -> IndexedImage:
    """Of three hundred images every tenth is red and every hundredth blue."""
    red, blue = ("red",) if n % 10 == 0 else (), ("blue",) if n % 100 == 0 else ()
    return image(f"i{n:03}", tags=("all", *red, *blue))


@pytest.fixture
def sampled() -> tuple[MemoryVectorIndex, Sample]:
    """Three hundred images, and a sample of them."""
    here = Pair([tagged(n) for n in range(300)])
    sample = Sample(20)
    sample.take(here.new.scan(vectors=True))
    return here.new, sample


def pace() -> Pace:
    """As fast as it goes."""
    return Pace(None, clock=ManualClock(), stop=threading.Event())


def test_recall_is_measured_with_and_without_filters(
    sampled: tuple[MemoryVectorIndex, Sample],
) -> None:
    """An exact index finds everything, under tags of a tenth and a hundredth of the images."""
    index, sample = sampled
    lines = ended(recall_lines(index, sample, pace(), threading.Event()))
    assert [line.of for line in lines] == ["all", "one tag (10.0%)", "one tag (1.0%)"]
    assert [(line.queries, line.recall) for line in lines] == [(20, 1.0)] * 3
    assert all(line.passed for line in lines)


def test_a_graph_that_finds_less_is_seen(
    sampled: tuple[MemoryVectorIndex, Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that lacks two of its 24 has a recall of 22 / 24."""
    index, sample = sampled
    search = MemoryVectorIndex.search

    def forgetful(request: SearchRequest) -> list[Hit]:
        return search(index, request)[0 if request.exact else 2 :]

    monkeypatch.setattr(index, "search", forgetful)
    every, red, blue = ended(recall_lines(index, sample, pace(), threading.Event()))
    assert every.recall == pytest.approx(22 / 24)
    assert red.recall == pytest.approx(22 / 24)
    assert blue.recall == pytest.approx(1 / 3)
    assert not any(line.passed for line in (every, red, blue))


def test_without_such_tags_it_says_so() -> None:
    """Nothing is claimed of filters that no image could be asked for by."""
    here, sample = Pair([image(f"i{n}") for n in range(5)]), Sample(5)
    sample.take(here.new.scan(vectors=True))
    every, *tags = ended(recall_lines(here.new, sample, pace(), threading.Event()))
    assert every.recall == 1.0
    assert [(line.of, line.recall) for line in tags] == [
        ("a tag of 10%", None),
        ("a tag of 1%", None),
    ]


def test_where_no_tag_is_as_rare_several_make_the_filter() -> None:
    """Any of the rare ones; where all are frequent, none of them."""
    rare = [image(f"i{n:03}", tags=(f"t{n}",) if n % 2 else ()) for n in range(300)]
    of = [line.of for line in measured(rare)]
    assert of == ["all", "any of 30 tags (at most 10.0%)", "one tag (0.3%)"]
    frequent = [image(f"i{n:03}", tags=("red",) if n % 2 else ("blue",)) for n in range(270)]
    bare = [image(f"j{n:03}") for n in range(30)]
    [every, most, fewest] = measured([*frequent, *bare])
    assert (every.recall, most.recall, fewest.recall) == (1.0, 1.0, None)
    assert re.fullmatch(r"none of 2 tags \(about \d+%\)", most.of)


def measured(images: Sequence[IndexedImage]) -> tuple[RecallLine, ...]:
    """The recall of an exact index with these images."""
    here, sample = Pair(list(images)), Sample(QUERIES)
    sample.take(here.new.scan(vectors=True))
    return ended(recall_lines(here.new, sample, pace(), threading.Event()))


def test_a_proof_says_what_it_could_not_measure() -> None:
    """Nothing stands in the way by that, and nobody takes it for a measurement."""
    here = Pair([image(f"i{n}") for n in range(5)])
    proven = report(here, Reproduced(unread=1))
    assert proven.passed
    assert proven.passed_by() == (
        "proven equal to first: 5 images compared; not measured: recall@24 of a tag of 10%, "
        "recall@24 of a tag of 1%, no picture could be embedded again (5 gone)"
    )
    whole = report(Pair([tagged(n) for n in range(300)]), Reproduced(pictures=1, worst_cosine=1.0))
    assert whole.passed_by() == "proven equal to first: 300 images compared"


def test_every_listed_image_has_the_same_chance_to_be_sampled() -> None:
    """Whatever the order in which they come; hidden ones are never taken."""
    images = [image(f"i{n}") for n in range(10)]
    counts = dict.fromkeys((one.image_id for one in images), 0)
    for seed in range(400):
        sample = Sample(2, seed)
        sample.take([*images, image("hidden", kind=Kind.PRIVATE)])
        for taken in sample.images:
            counts[taken.image_id] += 1
    assert sum(counts.values()) == 800
    assert min(counts.values()) > 50
    assert max(counts.values()) < 110


PICTURES = {f"i{n}": f"picture {n}".encode() for n in range(4)}


def embedded(image_id: str) -> IndexedImage:
    """An image with the vector that the tiny model makes of its picture."""
    crop = tiny_decode(PICTURES[image_id]).crop
    return image(image_id, vector=TinyEmbedder().embed(crop[np.newaxis])[0])


UNREAD = {"gone": ObjectMissing, "closed": ObjectDenied, "archived": ObjectRefused}


def looked_at(images: Sequence[IndexedImage]) -> Reproduced:
    """What embedding their pictures anew says."""

    def read(known: IndexedImage) -> bytes:
        if known.image_id in UNREAD:
            raise UNREAD[known.image_id](known.image_id)
        return PICTURES[known.image_id]

    return reproduce(images, read=read, decode=tiny_decode, embedder=TinyEmbedder())


def test_vectors_are_reproduced_from_stored_pictures() -> None:
    """The worst of them counts; one that is gone or closed is said, and stands in nobody's way."""
    whole = [embedded(image_id) for image_id in PICTURES]
    gone = [image(image_id, vector=unit_vector(1, 8)) for image_id in UNREAD]
    good = looked_at([*whole, *gone])
    assert (good.pictures, good.unread, good.passed) == (4, 3, True)
    assert good.worst_cosine == pytest.approx(1.0)
    other = replace(whole[0], vector=whole[1].vector)
    assert not looked_at([other, *whole[1:]]).passed


def test_without_any_picture_nothing_is_claimed() -> None:
    """A cosine that was not measured is none, not a perfect one."""
    assert looked_at([image("gone")]) == Reproduced(pictures=0, worst_cosine=None, unread=1)


def report(here: Pair, reproduced: Reproduced) -> Parity:
    """The whole report on two generations."""
    proven = ended(proving(here, reproduced))
    assert proven is not None
    return proven


def proving(here: Pair, reproduced: Reproduced) -> Generator[Done, None, Parity | None]:
    """The steps of a proof of two generations."""
    return prove(
        here.old,
        here.new,
        settle=here.settle,
        reproduce=lambda _: reproduced,
        least_cosine=LEAST_COSINE,
        pace=here.pace(),
        clock=here.clock,
        stop=here.stop,
    )


PARTS = ("scan", "scan_decisions", "get", "search")


@pytest.mark.parametrize(
    ("side", "part"),
    [*(("old", part) for part in PARTS[:-1]), *(("new", part) for part in PARTS)],
)
def test_who_is_told_to_stop_waits_for_no_comparison(
    monkeypatch: pytest.MonkeyPatch, side: str, part: str
) -> None:
    """Wherever it is, little more is asked of the indexes, and no report is made of a part."""
    here = Pair([tagged(n) for n in range(400)])
    if part != "search":
        forget(here.new, "i001")
    asked = Counter[str]()

    def counted(name: str, index: MemoryVectorIndex) -> Callable[..., object]:
        known = getattr(index, name)

        def ask(*args: object, **more: object) -> object:
            asked["after"] += here.stop.is_set()
            if (name, index) == (part, getattr(here, side)):
                here.stop.set()
            return known(*args, **more)

        return ask

    for index in (here.old, here.new):
        for name in PARTS:
            monkeypatch.setattr(index, name, counted(name, index))
    pictures = list[IndexedImage]()

    def reproduce(images: Iterable[IndexedImage]) -> Reproduced:
        pictures.extend(images)
        return Reproduced()

    steps = prove(
        here.old,
        here.new,
        settle=here.settle,
        reproduce=reproduce,
        least_cosine=LEAST_COSINE,
        pace=here.pace(),
        clock=here.clock,
        stop=here.stop,
    )
    proven = ended(steps)
    assert here.stop.is_set()
    assert proven is None
    assert (pictures, here.settled <= 1) == ([], True)
    assert asked["after"] <= 12, "of some 900"


def test_a_proof_spreads_all_that_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Either generation's images, both pages of each query and each picture count for the rate."""
    here = Pair([tagged(n) for n in range(100)])
    most, began = [0], here.clock.monotonic()

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            here.clock.advance(timeout or 0.0)
            return False

    def get(image_ids: Collection[str], **asked: Any) -> dict[str, IndexedImage]:
        most[0] = max(most[0], len(image_ids))
        return known(image_ids, **asked)

    known = here.new.get
    monkeypatch.setattr(here.new, "get", get)
    monkeypatch.setattr(here, "pace", lambda: Pace(10.0, clock=here.clock, stop=Stop()))
    report(here, Reproduced())
    lines = 3 * QUERIES * 2 * AT
    assert here.clock.monotonic() - began >= (2 * 100 + lines) / 10 - 2 * AT
    assert most[0] <= 16, "in one look"


def test_a_proof_says_how_far_it_is() -> None:
    """Each batch, query and picture is a step; of a hundred images and tags all is looked at."""
    said, proven = told(proving(Pair([tagged(n) for n in range(100)]), Reproduced(pictures=1)))
    assert proven is not None
    total = 2 * 100 + 3 * QUERIES * 2 * AT + 32 * PAGE
    assert {step.total for step in said} == {total}
    assert [step.done for step in said[:3]] == [16, 32, 48]
    assert [step.done for step in said[-2:]] == [total - PAGE, total]
    assert all(before.done < after.done for before, after in pairwise(said))
    assert proven.reproduced.pictures == 32


def test_images_whose_bytes_are_gone_are_told_apart() -> None:
    """No model can index them anew: they stand in the way until somebody agrees to go without."""
    here, gone = Pair(), "private-1"
    damage(here.old, gone, outcome=Outcome.INDEXED)
    damage(here.new, gone, outcome=Outcome.REJECTED, reason=RejectReason.OBJECT_MISSING)
    whole = report(here, Reproduced())
    assert whole.compared.differing == {Reason.GONE: 1}
    assert whole.failures() == ["1 images: gone"]
    agreed = whole.model_copy(update={"without_missing": True})
    assert (whole.passed, agreed.passed) == (False, True)
    assert (whole.left_out, agreed.left_out) == (0, 1)
    assert agreed.failures() == []
    assert "left out, as agreed: 1 images whose bytes are gone" in list(parity_lines(agreed))
    damage(here.new, gone, reason=RejectReason.CORRUPT)
    other = report(here, Reproduced()).model_copy(update={"without_missing": True})
    assert (other.compared.differing, other.passed) == ({Reason.OUTCOME: 1}, False)


def test_the_report_says_what_stands_in_the_way() -> None:
    """Each failure is a line; without any it may serve; it survives being stored."""
    here, good = Pair([tagged(n) for n in range(100)]), Reproduced(pictures=1, worst_cosine=0.9999)
    whole = report(here, good)
    assert whole.passed
    assert whole.failures() == []
    assert (whole.old, whole.new) == ("first", "second")
    assert Parity.model_validate_json(whole.model_dump_json()) == whole
    forget(here.new, "i001")
    bad = report(here, Reproduced(pictures=1, worst_cosine=0.99))
    assert not bad.passed
    assert bad.failures() == [
        "1 images: missing",
        "a vector's cosine to the model's own is 0.99000, 0.999 needed",
    ]
