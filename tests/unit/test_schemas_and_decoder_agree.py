"""Whatever the published JSON Schema of an event allows, the decoder reads, for every event type.

Other teams generate their code from the schemas: a document that fits must never be a dead letter.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightline.schemas.documents.json_schemas import schema_of
from sightline.schemas.registry import EVENT_TYPES, decode
from tests.matching import matching

LARGEST = 10**6
MOST_ITEMS = 3
times = st.datetimes(timezones=st.just(None)).map(lambda t: f"{t.isoformat()}+00:00")


def documents_of(schema: Any, root: Any) -> st.SearchStrategy[Any]:
    """Documents that fit a schema of the kind that we generate."""
    if "$ref" in schema:
        return documents_of(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return st.one_of([documents_of(option, root) for option in options])
    return typed(schema, root)


def typed(schema: Any, root: Any) -> st.SearchStrategy[Any]:
    """Documents of a schema that says a plain type."""
    kind = schema.get("type")
    if kind == "object":
        return objects_of(schema, root)
    if kind == "array":
        least, most = schema.get("minItems", 0), min(schema.get("maxItems", MOST_ITEMS), MOST_ITEMS)
        return st.lists(documents_of(schema["items"], root), min_size=least, max_size=most)
    if kind == "string":
        return strings_of(schema)
    if kind == "integer":
        least = schema.get("minimum", -LARGEST)
        most = min(schema.get("maximum", LARGEST), schema.get("exclusiveMaximum", LARGEST) - 1)
        return st.integers(least, most)
    if kind == "number":
        return st.floats(
            schema.get("minimum", schema.get("exclusiveMinimum", -1e9)),
            schema.get("maximum", 1e9),
            exclude_min="exclusiveMinimum" in schema,
            # A library that other tests load flushes subnormal numbers to zero.
            allow_subnormal=False,
        )
    return {"null": st.none(), "boolean": st.booleans()}.get(kind or "", st.integers())


def strings_of(schema: Any) -> st.SearchStrategy[str]:
    """Text of a pattern, a time, or of a length."""
    if schema.get("format") == "date-time":
        return times
    if "pattern" in schema:
        return matching(schema["pattern"])
    letters = st.characters(exclude_categories=["Cs"])
    return st.text(letters, min_size=schema.get("minLength", 0), max_size=40)


def objects_of(schema: Any, root: Any) -> st.SearchStrategy[Any]:
    """Objects with all that is required and some of the rest."""
    fields = schema.get("properties", {})
    must = schema.get("required", ())
    strategies = {name: documents_of(field, root) for name, field in fields.items()}
    required = {name: strategies[name] for name in must}
    optional = {name: strategies[name] for name in fields if name not in must}
    whole = st.fixed_dictionaries(required, optional=optional)
    return whole.map(_halved) if {"x", "y", "w", "h"} == set(fields) else whole


def _halved(box: dict[str, float]) -> dict[str, float]:
    """A box within the image: what no JSON Schema can say."""
    return {name: value / 2 for name, value in box.items()}


@lru_cache
def documents(event_type: str) -> st.SearchStrategy[Any]:
    """Whole documents of an event type."""
    schema: Any = schema_of(EVENT_TYPES[event_type])
    return documents_of(schema, schema)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@settings(max_examples=25)
@given(data=st.data())
def test_what_the_schema_allows_the_decoder_reads(event_type: str, data: st.DataObject) -> None:
    """Documents drawn from the schema decode, and say the same when they are encoded again."""
    document = data.draw(documents(event_type))
    said = EVENT_TYPES[event_type].model_validate(document["data"])
    document["subject"] = said.subject
    event = decode(json.dumps(document).encode())
    assert event.data == said
    assert decode(event.encode()) == event
