"""Event types in, their JSON Schemas out: the whole CloudEvents document of each."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any, cast

from pydantic import JsonValue

from sightline.schemas.envelope import Event, EventData

DIALECT = "https://json-schema.org/draft/2020-12/schema"
JsonObject = dict[str, JsonValue]


def schema_of(data: type[EventData], *, ref_template: str = "#/$defs/{model}") -> JsonObject:
    """The JSON Schema of one event type, draft 2020-12.

    What pydantic leaves out is added: the type is a constant, `specversion` and the field that
    tells the kinds of a union apart must be there. The caller may change what it gets.
    """
    return deepcopy(_schema_of(data, ref_template))


@cache
def _schema_of(data: type[EventData], ref_template: str) -> JsonObject:
    generated: Any = Event[data].model_json_schema(ref_template=ref_template)  # type: ignore[valid-type]
    for kind in set(_kinds(generated)):
        definition = generated["$defs"][kind.rpartition("/")[2]]
        definition["required"] = ["kind", *definition["required"]]
    envelope: JsonObject = _plain(generated)
    properties = cast("dict[str, JsonObject]", envelope["properties"])
    properties["type"]["const"] = data.TYPE
    envelope["required"] = ["specversion", *cast("list[JsonValue]", envelope["required"])]
    about: JsonObject = {"title": data.TYPE, "description": (data.__doc__ or "").strip()}
    return about | envelope


def standalone(data: type[EventData]) -> JsonObject:
    """The same as a document of its own."""
    return {"$schema": DIALECT, "$id": f"urn:{data.TYPE.replace('.', ':')}"} | schema_of(data)


def _kinds(schema: Any) -> Iterator[str]:
    """References to the models of every union that a field called `kind` tells apart."""
    parts = schema.values() if isinstance(schema, dict) else schema
    if isinstance(schema, dict) and isinstance(schema.get("discriminator"), dict):
        yield from schema["discriminator"]["mapping"].values()
    for part in parts:
        if isinstance(part, dict | list):
            yield from _kinds(part)


def _plain(schema: Any) -> Any:
    """Without pydantic's titles, which repeat field names, and OpenAPI's discriminators."""
    if isinstance(schema, list):
        return [_plain(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _plain(part)
        for name, part in schema.items()
        if not (name == "title" and isinstance(part, str)) and name != "discriminator"
    }
