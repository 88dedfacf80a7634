"""Where pictures lie: the newest public state of each image, and kept uploads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.label_data.judgements import HeldJudgements, judgements_of, latest_of
from sightline.engine.records import Message
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import ImageChanged, ImageDeleted, ImageUploaded, ObjectReference
from sightline.schemas.interactions import UserErased
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.moderation import ImageModerated
from sightline.schemas.searches import CropBox
from sightline.training.datasets.judgements import verdicts_of
from sightline.training.datasets.pictures import Picture, public_pictures, uploaded_pictures
from tests.label_rows import at, encoded, message
from tests.training_rows import judgement, table, triple

OBJECT = ObjectReference(bucket="bucket", key="k", size_bytes=1, sha256="a" * 64)
PUBLIC = Visibility.PUBLIC


def log(*data: Any) -> list[Message]:
    """Events in the order of the log, with a record between that cannot be read."""
    told = [message(encoded(one, f"e{n}"), n) for n, one in enumerate(data)]
    return [message(b"nonsense", 99), *told, message(None, 100)]


def uploaded(version: int = 1, **changes: Any) -> ImageUploaded:
    """A public image `i`."""
    told = {"object": OBJECT, "visibility": PUBLIC, "image_id": "i"} | changes
    return ImageUploaded(version=version, **told)


def test_an_image_lies_where_its_newest_event_says() -> None:
    """Whatever comes last in the log."""
    moved = ObjectReference(bucket="other", key="new", size_bytes=1)
    newest = ImageChanged(
        image_id="i", version=3, object=moved, visibility=PUBLIC, group_id="thing"
    )
    assert public_pictures(log(uploaded(1), newest, uploaded(2))) == {
        "i": Picture(bucket="other", key="new", group="thing")
    }


@pytest.mark.parametrize(
    "later",
    [
        ImageDeleted(image_id="i", version=2),
        uploaded(2, visibility=Visibility.PRIVATE),
        uploaded(2, moderation=Moderation.BLOCKED),
        ImageModerated(image_id="i", version=1, moderation=Moderation.BLOCKED, decided_by="admin"),
    ],
)
def test_what_is_hidden_teaches_nothing(later: Any) -> None:
    """Deleted, private, blocked by its owner or by the operator, in either order."""
    seen = uploaded(1, image_id="j")
    assert set(public_pictures(log(uploaded(1), seen, later))) == {"j"}
    assert set(public_pictures(log(later, seen, uploaded(1)))) == {"j"}


def test_an_image_that_is_allowed_again_is_back() -> None:
    """The newest decision holds, not the last in the log."""
    allowed, blocked = (
        ImageModerated(image_id="i", version=version, moderation=moderation, decided_by="admin")
        for version, moderation in ((2, Moderation.ALLOWED), (1, Moderation.BLOCKED))
    )
    assert set(public_pictures(log(uploaded(), allowed, blocked))) == {"i"}


def test_uploaded_queries_lie_where_their_triples_say() -> None:
    """Crop included; queries whose picture was not kept, and images, are not among them.

    Nor is what a forged impression names: a private image's original.
    """
    upload: dict[str, Any] = {
        "query_kind": "upload",
        "query_image_id": None,
        "query_bucket": "bucket",
    }
    box: dict[str, Any] = {"query_x": 0.1, "query_y": 0.2, "query_w": 0.3, "query_h": 0.4}
    rows = [
        triple(
            "s1", "q-1", "p", "n", query_key="queries/1", query_sha256="a" * 64, **upload, **box
        ),
        triple(
            "s1", "q-1", "p", "m", query_key="queries/1", query_sha256="a" * 64, **upload, **box
        ),
        triple("s2", "q-2", "p", "n", query_key="queries/2", **upload),
        triple("s3", "q-3", "p", "n", **{**upload, "query_bucket": None}),
        triple("s4", "i", "p", "n"),
        triple("s5", "q-5", "p", "n", query_key="images/private/0", **upload),
    ]
    crop = CropBox(x=0.1, y=0.2, w=0.3, h=0.4)
    assert uploaded_pictures(table(rows)) == {
        "q-1": Picture(bucket="bucket", key="queries/1", sha256="a" * 64, crop=crop),
        "q-2": Picture(bucket="bucket", key="queries/2"),
    }


def judged(grade: int, judge: str, minutes: float = 0) -> RelevanceJudged:
    """A grade of image `i` for anchor `a`."""
    return RelevanceJudged(
        anchor_id="a", image_id="i", grade=grade, judge_id=judge, judged_at=at(minutes)
    )


def test_grades_of_an_erased_judge_are_left_out() -> None:
    """Those from before the erasure; later ones and others' count."""
    erased = UserErased(user_pseudonym="p-ann", erased_at=at(5))
    told = log(judged(5, "key~p-ann", 4), erased, judged(1, "key~p-ann", 6), judged(3, "k~p-bob"))
    assert [(j.grade, j.judge) for j in judgements_of(told)] == [
        (1, "key~p-ann"),
        (3, "k~p-bob"),
    ]


def test_an_erasure_of_the_future_is_one_of_when_it_was_recorded() -> None:
    """By a clock that is wrong, or by a stranger: what its judge says from then on counts."""
    told = log(
        UserErased(user_pseudonym="p-ann", erased_at=at(10_000_000)),
        judged(5, "key~p-ann", 0),
        judged(1, "key~p-ann", 60 * 24 * 365),
    )
    held = HeldJudgements()
    for record in told:
        held.add(record)
    assert [j.grade for j in judgements_of(told)] == [1]
    assert held.of([("a", "i")])["a", "i"]["key~p-ann"].grade == 1


def test_a_verdict_is_the_mean_of_latest_grades() -> None:
    """A judge who thinks again counts once; equal instants are settled by event id."""
    verdict = verdicts_of(
        [
            judgement("a", "i", 5, minute=2),
            judgement("a", "i", 0, minute=1),
            judgement("a", "i", 2, judge="key~bob", minute=3, event="1"),
            judgement("a", "i", 3, judge="key~bob", minute=3, event="2"),
        ]
    )["a", "i"]
    assert (verdict.grade, verdict.judged_at_ms) == (4.0, 180_000)
    assert (verdict.relevant, verdict.irrelevant) == (True, False)


@given(st.permutations(range(5)))
def test_followed_judgements_hold_as_read_ones_do(order: list[int]) -> None:
    """Whatever the order of the records: each judge's latest, none from before an erasure."""
    told = (
        judged(5, "key~p-ann", 4),
        UserErased(user_pseudonym="p-ann", erased_at=at(5)),
        judged(1, "key~p-ann", 6),
        judged(2, "key~p-ann", 7),
        judged(3, "k~p-bob"),
    )
    messages = log(*(told[at] for at in order))
    held = HeldJudgements()
    for record in (*messages, *messages):
        held.add(record)
    pair = ("a", "i")
    assert held.of([pair, ("a", "other")]) == latest_of(judgements_of(messages))
    assert {j: said.grade for j, said in held.of([pair])[pair].items()} == {
        "key~p-ann": 2,
        "k~p-bob": 3,
    }
