"""Whatever a write accepts as attributes is read back, the same, from every place they come to."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import ValidationError
from pydantic_core import to_json

from sightline.engine.object_store.entries import Entry, decode_entry, encode_entry
from sightline.engine.vector_index.payload import to_payload
from sightline.engine.vector_index.stored_images import from_payload
from sightline.producers.backfill.manifest import ManifestInvalid, read_manifest
from sightline.schemas.envelope import Event
from sightline.schemas.fields import MAX_ATTRIBUTES_DEPTH
from sightline.schemas.images import ImageState, ImageUploaded, ObjectReference
from sightline.schemas.registry import decode
from tests.api_parts import ApiWorld, part, run
from tests.indexed_images import image

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**300), 10**300),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(st.characters(), max_size=5),  # lone surrogates and NUL among them
)
documents = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=12,
    ),
    max_size=4,
)


def nested(depth: int) -> dict[str, Any]:
    """An object in which so many levels nest, the outermost counted."""
    value: Any = 1
    for level in range(depth - 1):
        value = {"b": value} if level % 2 else [value]
    return {"a": value}


def uploaded(attributes: dict[str, Any]) -> ImageUploaded:
    """A write with these attributes. Raises `ValidationError` where they are refused."""
    reference = ObjectReference(bucket="images", key="k", size_bytes=1)
    return ImageUploaded(image_id="a", version=1, object=reference, attributes=attributes)


def exact(document: Any) -> str:
    """Text that tells 1 from 1.0 and from true, and keys in their order."""
    return repr(document)


@given(documents)
@example({"a": 10**400})
@example({"a": "\ud800"})
@example({"a": float("nan")})
@example({"a": -0.0, "b": 5e-324, "c": 1e22})
@example({"a": {"a": None}, "b": [None]})
@example(json.loads('{"a":' * 31 + "{}" + "}" * 31))
@example(json.loads('{"a":' + "[" * 31 + "]" * 31 + "}"))
def test_what_a_write_accepts_is_read_back_from_everywhere(attributes: dict[str, Any]) -> None:
    """Event, catalogue, payload of the index, and the answer that tells it."""
    try:
        state = uploaded(attributes)
    except ValidationError:
        return
    wanted = exact(attributes)
    event = Event[ImageState].of(state, event_id="e", source="/test", time=NOON)
    assert exact(decode(event.encode()).data.attributes) == wanted
    stored = encode_entry(Entry(event=event))
    assert exact(decode_entry(stored, ImageState, key="k", etag="e").state.attributes) == wanted
    payload = to_payload(replace(image(), state=state))
    assert exact(from_payload(payload).state.attributes) == wanted
    assert exact(json.loads(to_json({"attributes": state.attributes}))["attributes"]) == wanted


@settings(max_examples=25)
@given(documents)
def test_what_a_manifest_accepts_is_what_it_says(
    tmp_path_factory: pytest.TempPathFactory, attributes: dict[str, Any]
) -> None:
    """In CSV, JSON lines and Parquet, as text, alike."""
    try:
        uploaded(attributes)
        text = json.dumps(attributes)
        text.encode()
    except (ValidationError, ValueError):
        return
    folder = tmp_path_factory.mktemp("manifest")
    for file in _manifests(folder, text):
        [row] = read_manifest(file)
        assert exact(row.attributes) == exact(json.loads(text))


@settings(max_examples=25, deadline=None)
@given(documents)
@example({"a": "\ud800"})
@example({"a": float("nan")})
@example({"a": -0.0, "b": 5e-324, "c": 1e22, "d": 10**300})
@example(json.loads('{"a":' + "[" * 31 + "]" * 31 + "}"))
def test_what_a_form_accepts_is_told_as_its_status(
    forms: ApiWorld, attributes: dict[str, Any]
) -> None:
    """On its way and indexed; a form refuses exactly what the contract does."""
    try:
        wanted = exact(uploaded(attributes).attributes)
    except ValidationError:
        wanted = None

    async def scenario(client: httpx.AsyncClient) -> None:
        sent = {"attributes": json.dumps(attributes), "visibility": "public"}
        answer = await client.post("/v1/images", files=part(), data=sent)
        if wanted is None:
            assert answer.status_code in (400, 422), answer.text
            return
        assert answer.status_code == 202, answer.text
        for _ in ("pending", "indexed"):
            told = await client.get(answer.headers["location"])
            assert exact(json.loads(told.content)["attributes"]) == wanted
            forms.work()

    run(forms, scenario)


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiWorld]:
    """An API that takes uploads, and its index."""
    world = ApiWorld.open(tmp_path_factory.mktemp("forms"))
    yield world
    world.index.close()


def _manifests(folder: Path, text: str) -> list[Path]:
    table = io.StringIO()
    csv.writer(table).writerows([["path", "attributes"], ["a.png", text]])
    (folder / "m.csv").write_text(table.getvalue(), newline="")
    (folder / "m.jsonl").write_text(f'{{"path":"a.png","attributes":{text}}}\n')
    columns = pa.table({"path": ["a.png"], "attributes": [text]})
    parquet.write_table(columns, folder / "m.parquet")
    return [folder / "m.csv", folder / "m.jsonl", folder / "m.parquet"]


@pytest.mark.parametrize("depth", [1, 2, MAX_ATTRIBUTES_DEPTH])
def test_attributes_may_nest_to_the_bound(depth: int) -> None:
    """The outermost object counts."""
    assert uploaded(nested(depth)).attributes == nested(depth)


@pytest.mark.parametrize("depth", [MAX_ATTRIBUTES_DEPTH + 1, 190, 199, 200, 260, 5_000])
def test_attributes_never_nest_deeper(depth: int, tmp_path: Path) -> None:
    """By whichever way they come, the refusal is one of the contract, never the stack's end."""
    with pytest.raises(ValidationError):
        uploaded(nested(depth))
    text = '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
    for file in _manifests(tmp_path, text):
        with pytest.raises(ManifestInvalid):
            read_manifest(file)


def test_an_entry_with_deeper_attributes_is_read_without_them() -> None:
    """A release that had no bound wrote it; the image matters more."""
    event = Event[ImageState].of(uploaded({"a": 1}), event_id="e", source="/test", time=NOON)
    stored = encode_entry(Entry(event=event)).decode()
    deep = stored.replace('{"a":1}', '{"a":' + "[" * 190 + "]" * 190 + "}")
    assert deep != stored
    entry = decode_entry(deep.encode(), ImageState, key="k", etag="e")
    assert entry.state == uploaded({})
    payload = to_payload(replace(image(), state=uploaded({"a": 1})))
    old = payload | {
        "state": payload["state"].replace('{"a":1}', '{"a":' + "[" * 90 + "]" * 90 + "}")
    }
    assert from_payload(old).state == uploaded({})
