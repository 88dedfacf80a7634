"""Events as bytes: what goes out comes back, what breaks a bound names its field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sightline.schemas.documents.examples import example
from sightline.schemas.envelope import ContractError, Event, EventData
from sightline.schemas.fields import MAX_VERSION, Moderation, Visibility
from sightline.schemas.images import (
    Authority,
    ImageChanged,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    ObjectReference,
)
from sightline.schemas.indexed import ImageIndexed, ImageRejected, Lane, Outcome, StageTimes
from sightline.schemas.registry import EVENT_TYPES, decode
from sightline.schemas.searches import CropBox, ImageQuery, ResultsShown, ShownImage, UploadQuery
from tests.matching import matching

UPLOADED = ImageUploaded.TYPE
SHOWN = ResultsShown.TYPE

ids = matching("[A-Za-z0-9._~-]{1,128}")
hashes = matching("[0-9a-f]{64}")
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)
zones = st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours)))
times = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=zones)  # noqa: DTZ001 - hypothesis adds the zone
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.builds(
    ObjectReference,
    bucket=matching("[a-z0-9][a-z0-9.-]{1,62}"),
    key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200),
    size_bytes=st.integers(0, 2**40),
    content_type=st.sampled_from(["image/jpeg", "application/octet-stream"]),
    sha256=st.none() | hashes,
)
state: dict[str, st.SearchStrategy[Any]] = {
    "image_id": ids,
    "version": st.integers(0, MAX_VERSION),
    "authority": st.sampled_from(Authority),
    "visibility": st.sampled_from(Visibility),
    "moderation": st.sampled_from(Moderation),
    "tags": st.lists(texts, max_size=8).map(tuple),
    "owner_id": st.none() | ids,
    "group_id": st.none() | ids,
    "attributes": st.dictionaries(texts, json_values, max_size=2),
}
stage_times = st.builds(
    StageTimes,
    occurred=times,
    appended=times,
    consumed=times,
    fetched=st.none() | times,
    embedded=st.none() | times,
    searchable=st.none() | times,
)
applied: dict[str, st.SearchStrategy[Any]] = {
    "image_id": ids,
    "version": st.integers(0, MAX_VERSION),
    "event_id": ids,
    "lane": st.sampled_from(Lane),
    "times": stage_times,
    "generation": ids,
    "model_digest": texts,
    "outcome": st.sampled_from(Outcome),
}
boxes = st.builds(
    CropBox, x=st.floats(0, 0.5), y=st.floats(0, 0.5), w=st.floats(0.1, 0.5), h=st.floats(0.1, 0.5)
)
queries = st.builds(ImageQuery, image_id=ids) | st.builds(
    UploadQuery, sha256=hashes, object=st.none() | objects, crop=st.none() | boxes
)
shown_images = st.builds(
    ShownImage, image_id=ids, position=st.integers(1, 100), score=finite, perceptual_hash=hashes
)
shown = st.builds(
    ResultsShown,
    search_id=ids,
    issued_at=times,
    actor_id=ids,
    session_id=ids,
    user_pseudonym=st.none() | ids,
    anchor_id=ids,
    query=queries,
    anchor_perceptual_hash=hashes,
    shown=st.lists(shown_images, max_size=3).map(tuple),
    model_digest=texts,
    generation=ids,
    variant=ids,
)
data: st.SearchStrategy[EventData] = st.one_of(
    st.builds(ImageUploaded, object=objects, **state),
    st.builds(ImageChanged, object=objects, **state),
    st.builds(ImageDeleted, **state),
    st.builds(ImageIndexed, embedded=st.booleans(), **applied),
    st.builds(ImageRejected, reason=texts, message=texts, **applied),
    shown,
)


def document(event_type: str) -> Any:
    """The canonical example of a type, parsed, for a test to spoil."""
    return json.loads(example(event_type).encode())


def spoilt(event_type: str, path: str, value: Any) -> bytes:
    """The canonical example with one field replaced."""
    whole = document(event_type)
    place, parts = whole, path.split(".")
    for part in parts[:-1]:
        place = place[int(part)] if part.isdigit() else place[part]
    place[parts[-1]] = value
    return json.dumps(whole).encode()


@given(said=data, event_id=ids, source=texts, time=times)
def test_whatever_is_published_is_read_back_equal(
    said: EventData, event_id: str, source: str, time: datetime
) -> None:
    """Encoding and decoding any event gives the same event, of the same class."""
    event: Event[Any] = Event[type(said)].of(  # type: ignore[misc]
        said, event_id=event_id, source=source, time=time
    )
    back = decode(event.encode())
    assert back == event
    assert type(back.data) is type(said)
    assert back.encode() == event.encode()


@given(said=data, extra=st.dictionaries(texts.map("x_".__add__), json_values, max_size=3))
def test_unknown_fields_are_ignored(said: EventData, extra: dict[str, Any]) -> None:
    """What a later release adds, at the top or in the data, changes nothing for this one."""
    event: Event[Any] = Event[type(said)].of(  # type: ignore[misc]
        said, event_id="e", source="s", time=datetime(2026, 1, 1, tzinfo=UTC)
    )
    whole = json.loads(event.encode())
    newer = whole | extra | {"data": whole["data"] | extra}
    assert decode(json.dumps(newer).encode()) == event


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_type_decodes_to_its_own_class(event_type: str) -> None:
    """The type in the envelope decides the class of the data."""
    assert type(decode(example(event_type).encode()).data) is EVENT_TYPES[event_type]


@pytest.mark.parametrize(
    ("event_type", "path", "value"),
    [
        (UPLOADED, "id", ""),
        (UPLOADED, "id", "a" * 129),
        (UPLOADED, "source", ""),
        (UPLOADED, "subject", ""),
        (UPLOADED, "time", "2026-01-01T00:00:00"),
        (UPLOADED, "time", 1_767_225_600),
        (UPLOADED, "datacontenttype", "text/plain"),
        (UPLOADED, "data.image_id", "with blank"),
        (UPLOADED, "data.image_id", "a\n"),
        (UPLOADED, "data.image_id", "../etc/passwd"),
        (UPLOADED, "data.image_id", 7),
        (UPLOADED, "data.version", -1),
        (UPLOADED, "data.version", MAX_VERSION + 1),
        (UPLOADED, "data.version", "1"),
        (UPLOADED, "data.version", 1.0),
        (UPLOADED, "data.version", True),
        (UPLOADED, "data.authority", "nobody"),
        (UPLOADED, "data.visibility", "Public"),
        (UPLOADED, "data.moderation", None),
        (UPLOADED, "data.tags", ["t"] * 65),
        (UPLOADED, "data.tags", "lamp"),
        (UPLOADED, "data.tags.0", ""),
        (UPLOADED, "data.tags.1", "t" * 65),
        (UPLOADED, "data.owner_id", "a/b"),
        (UPLOADED, "data.group_id", ""),
        (UPLOADED, "data.object", None),
        (UPLOADED, "data.object.bucket", "Bad Bucket"),
        (UPLOADED, "data.object.key", ""),
        (UPLOADED, "data.object.key", "k" * 1025),
        (UPLOADED, "data.object.size_bytes", -1),
        (UPLOADED, "data.object.sha256", "A" * 64),
        (UPLOADED, "data.attributes", {"k": "v" * 4096}),
        (UPLOADED, "data.attributes", ["no object"]),
        (ImageIndexed.TYPE, "data.times.appended", "yesterday"),
        (ImageIndexed.TYPE, "data.outcome", "lost"),
        (ImageIndexed.TYPE, "data.embedded", "true"),
        (ImageIndexed.TYPE, "data.lane", "fast"),
        (ImageRejected.TYPE, "data.reason", "r" * 65),
        (ImageRejected.TYPE, "data.message", "m" * 513),
        (SHOWN, "data.search_id", "s" * 513),
        (SHOWN, "data.shown.0.position", 0),
        (SHOWN, "data.shown.1.position", 101),
        (SHOWN, "data.shown.0.score", "0.9"),
        (SHOWN, "data.shown.0.perceptual_hash", "0" * 63),
        (SHOWN, "data.anchor_perceptual_hash", ""),
        (SHOWN, "data.location", {"country": "de"}),
        (SHOWN, "data.query.crop.w", 0),
        (SHOWN, "data.query.crop.x", 1.5),
    ],
)
def test_a_broken_bound_names_its_field(event_type: str, path: str, value: Any) -> None:
    """Whoever reads the dead letter learns which field was wrong."""
    spoilt_document = document(event_type)
    parts = path.split(".")
    place: Any = spoilt_document
    for part in parts[:-1]:
        place = place[int(part)] if part.isdigit() else place[part]
    last = int(parts[-1]) if parts[-1].isdigit() else parts[-1]
    place[last] = value
    with pytest.raises(ContractError) as caught:
        decode(json.dumps(spoilt_document).encode())
    # Pydantic puts the tag of a union's branch into the path: `query.upload.crop`.
    assert caught.value.field.replace(".upload", "").startswith(path)
    assert caught.value.reason


@pytest.mark.parametrize(
    "field", ["specversion", "id", "source", "type", "subject", "time", "data"]
)
def test_every_attribute_of_the_envelope_is_required(field: str) -> None:
    """A document that lacks a CloudEvents attribute is refused by that name."""
    whole = document(UPLOADED)
    del whole[field]
    with pytest.raises(ContractError) as caught:
        decode(json.dumps(whole).encode())
    assert caught.value.field == field


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{",
        b'{"specversion": "1.0", "type": "sightline.image.uploaded.v1", "data": NaN}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_document_is_a_contract_error(value: bytes | None) -> None:
    """Whatever the bytes are, the decoder raises its one error and nothing else."""
    with pytest.raises(ContractError):
        decode(value)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_decoder_raise_anything_else(value: bytes) -> None:
    """Random bytes are refused, never a crash."""
    with pytest.raises(ContractError):
        decode(value)


DOUBLED = {
    "a known field": ('"visibility":"public"', '"visibility":"private","visibility":"public"'),
    "of the envelope": ('"specversion":"1.0"', '"specversion":"1.0","specversion":"1.0"'),
    "the data": ('"data":', '"data":{"visibility":"private"},"data":'),
    "written another way": ('"visibility":', '"visib\\u0069lity":"private","visibility":'),
    "of the object": ('"bucket":', '"bucket":"other","bucket":'),
    "inside an attribute": ('"attributes":{', '"attributes":{"deep":[{"a":1,"a":2}],'),
    "that nobody knows": ('"data":{', '"data":{"new":1,"new":2,'),
}


@pytest.mark.parametrize("case", DOUBLED)
def test_a_doubled_key_is_malformed(case: str) -> None:
    """One reader takes the first, another the last: of private and public neither may win."""
    event = example(UPLOADED).encode()
    once, twice = DOUBLED[case]
    assert once.encode() in event
    with pytest.raises(ContractError, match="is there twice"):
        decode(event.replace(once.encode(), twice.encode(), 1))


@pytest.mark.parametrize("wrong", ["sightline.image.uploaded.v2", "com.example.thing", ""])
def test_an_unknown_type_or_version_is_named(wrong: str) -> None:
    """A type that this release does not know is refused as such."""
    with pytest.raises(ContractError, match="unknown event type") as caught:
        decode(spoilt(UPLOADED, "type", wrong))
    assert caught.value.field == "type"


def test_another_specversion_is_refused() -> None:
    """CloudEvents 0.3 is not read as 1.0."""
    with pytest.raises(ContractError) as caught:
        decode(spoilt(UPLOADED, "specversion", "0.3"))
    assert caught.value.field == "specversion"


def test_an_event_about_something_else_than_its_subject_is_refused() -> None:
    """Subject and data must agree: routing by one and applying the other would differ."""
    with pytest.raises(ContractError) as caught:
        decode(spoilt(UPLOADED, "subject", "another"))
    assert caught.value.field == "subject"


def test_a_box_that_leaves_the_image_is_refused() -> None:
    """X + w and y + h stay within the image."""
    with pytest.raises(ValidationError, match="leaves the image"):
        CropBox(x=0.6, y=0, w=0.5, h=0.5)


def test_what_is_not_said_is_private() -> None:
    """An image whose publisher says nothing of visibility is private."""
    whole = document(UPLOADED)
    del whole["data"]["visibility"]
    assert decode(json.dumps(whole).encode()).data.visibility is Visibility.PRIVATE


@pytest.mark.parametrize("known_as", [EventData, ImageState, ImageUploaded])
def test_an_event_known_by_a_base_class_is_written_whole(known_as: type[EventData]) -> None:
    """Code that handles any event never writes only the fields that its annotation has."""
    event = example(UPLOADED)
    said: EventData = event.data
    general: Event[Any] = Event[known_as].of(  # type: ignore[valid-type]
        said, event_id=event.id, source=event.source, time=event.time
    )
    assert general.encode() == event.encode()


def test_events_are_frozen() -> None:
    """What was decided about an event stays true: it cannot be changed in place."""
    with pytest.raises(ValidationError):
        example(UPLOADED).data.version = 9


def test_a_delete_is_read_as_a_tombstone_whatever_is_said_with_it() -> None:
    """Its tags, attributes, group and bytes are nobody's business any more."""
    said = json.loads(example(ImageDeleted.TYPE).encode())
    said["data"] |= json.loads(example(UPLOADED).encode())["data"] | {"version": 3}
    said["data"]["attributes"] = {"title": "of a person"}
    read = decode(json.dumps(said).encode())
    kept = {"image_id": "lamp-4711", "version": 3, "authority": "owner", "owner_id": "shop-12"}
    written = json.loads(read.encode())["data"]
    assert written | kept == written
    rest = {name: value for name, value in written.items() if name not in kept}
    assert not any(rest.get(name) for name in ("tags", "attributes", "group_id", "object"))
