"""The topic list in, one Markdown page per topic out, and their index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sightline.schemas.dead_letters import HEADER_PREFIX, DeadLetterFacts
from sightline.schemas.documents.examples import example
from sightline.schemas.documents.json_schemas import schema_of
from sightline.schemas.envelope import EventData
from sightline.schemas.topics import ALL_TOPICS, DAY_MS, Cleanup, Topic

GENERATED = "<!-- Generated from schemas/ by `make golden`; edit the code. -->"
_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "minLength": "≥ {} chars",
    "maxLength": "≤ {} chars",
    "maxItems": "≤ {} items",
    "x-max-bytes": "≤ {} bytes of JSON",
    "x-max-depth": "≤ {} levels deep",
    "pattern": "`{}`",
    "const": "always `{}`",
}


def pages() -> dict[str, str]:
    """Builds the pages of `docs/topics/`: the name of each file, and its text."""
    return {"README.md": _index()} | {f"{topic.name}.md": topic_page(topic) for topic in ALL_TOPICS}


def topic_page(topic: Topic) -> str:
    """One topic: what it is for, how it is kept, what it carries."""
    sections = [_dead_letters()] if topic.dead_letters_of else map(_event, topic.events)
    return "\n".join([GENERATED, "", f"# {topic.name}", "", *_head(topic), *sections])


def _index() -> str:
    rows = [
        f"| [{topic.name}]({topic.name}.md) | {topic.key} | {topic.partitions} | {_kept(topic)} "
        f"| {topic.summary} |"
        for topic in ALL_TOPICS
    ]
    table = ["| topic | key | partitions | kept | what for |", "|---|---|---|---|---|", *rows]
    prose = (
        "Names are without the deployment's prefix (`SIGHTLINE_KAFKA__TOPIC_PREFIX`). Every event\n"
        "is one CloudEvents 1.0 JSON document; a `traceparent` header (W3C) may come along.\n"
        "Machine-readable: [AsyncAPI](../../schemas/golden/asyncapi.json), "
        "[JSON Schemas and examples](../../schemas/golden/).\n"
    )
    return "\n".join([GENERATED, "", "# Topics", "", prose, *table, ""])


def _kept(topic: Topic) -> str:
    if topic.config["retention.ms"] == "-1":
        compacted = topic.cleanup is Cleanup.COMPACT
        return "compacted: the last event of each key" if compacted else "for ever"
    days = f"{topic.retention_ms // DAY_MS} days"
    return days if topic.cleanup is Cleanup.DELETE else f"compacted, {days}"


def _head(topic: Topic) -> list[str]:
    config = ", ".join(f"`{name}={value}`" for name, value in topic.config.items())
    return [
        topic.summary,
        "",
        f"- Key: {topic.key} (murmur2-partitioned)",
        f"- Partitions: {topic.partitions}, fixed for the life of the topic",
        f"- Kept: {_kept(topic)}",
        f"- Written by: {', '.join(topic.producers)}",
        f"- Read by: {', '.join(topic.consumers)}",
        f"- Broker configuration: {config}",
        *([f"- Dead letters of: `{topic.dead_letters_of}`"] if topic.dead_letters_of else []),
        "",
    ]


def _dead_letters() -> str:
    rows = [
        f"| `{HEADER_PREFIX}{name}` | {field.description} |"
        for name, field in DeadLetterFacts.model_fields.items()
    ]
    prose = (
        "The value is the original message's, byte for byte, and so is the key. The facts are\n"
        "headers, as text. `sightline dlq list|show|replay` reads them.\n"
    )
    return "\n".join(["## Headers", "", prose, "| header | meaning |", "|---|---|", *rows, ""])


def _event(data: type[EventData]) -> str:
    shown = json.dumps(
        example(data.TYPE).model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False
    )
    lines = [f"## {data.TYPE}", "", (data.__doc__ or "").strip(), ""]
    lines += ["| field of `data` | type | bounds | default | meaning |", "|---|---|---|---|---|"]
    lines += _rows(schema_of(data), data.__name__)
    return "\n".join([*lines, "", "```json", shown, "```", ""])


def _rows(schema: Any, name: str) -> Iterator[str]:
    definitions = schema["$defs"]
    yield from _fields(definitions[name], definitions, "")


def _fields(model: Any, definitions: Any, prefix: str) -> Iterator[str]:
    required = set(model.get("required", ()))
    for name, field in model["properties"].items():
        default = "required" if name in required else f"`{json.dumps(_default(field))}`"
        types, bounds, nested = _read(field, definitions)
        path = prefix + name
        yield f"| `{path}` | {types} | {bounds} | {default} | {_meaning(field, definitions)} |"
        for inner in nested:
            yield from _fields(inner, definitions, f"{path}.")


def _default(field: Any) -> object:
    """Pydantic leaves out a default that a factory makes: an empty object."""
    return field.get("default", {} if field.get("type") == "object" else None)


def _meaning(field: Any, definitions: Any) -> str:
    said = field.get("description") or _resolve(field, definitions).get("description", "")
    return " ".join(str(said).split())


def _resolve(field: Any, definitions: Any) -> Any:
    return definitions[field["$ref"].rpartition("/")[2]] if "$ref" in field else field


def _read(field: Any, definitions: Any) -> tuple[str, str, list[Any]]:
    """A field's types and bounds as table cells, and the models inside it."""
    types, bounds, nested = [], [], []
    for branch in field.get("anyOf") or field.get("oneOf") or [field]:
        one = _resolve(branch, definitions)
        items = _resolve(one.get("items", {}), definitions)
        bounds += [
            text.format(_cell(part[key]))
            for part in (one, items)
            for key, text in _BOUNDS.items()
            if key in part
        ]
        bounds += [", ".join(f"`{value}`" for value in one.get("enum", ()))]
        nested += [part for part in (one, items) if "properties" in part]
        types.append(_type(one, items))
    return " or ".join(types), "; ".join(filter(None, bounds)), nested


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|")


def _type(one: Any, items: Any) -> str:
    if one.get("type") == "array":
        return f"array of {items.get('type', 'anything')}"
    return str(one.get("format") or one.get("type", "anything"))
