"""The topic list in, an AsyncAPI 3.0 document out: channels, keys, headers, payloads."""

from __future__ import annotations

from typing import cast

from pydantic import JsonValue

from sightline.schemas.dead_letters import HEADER_PREFIX, MAX_FACT_CHARS, DeadLetterFacts
from sightline.schemas.documents.examples import example
from sightline.schemas.documents.json_schemas import JsonObject, schema_of
from sightline.schemas.envelope import EventData
from sightline.schemas.topics import ALL_TOPICS, Topic

_BINDING = "0.5.0"
_COMPONENTS = "#/components/schemas/{model}"
_LISTS = {"cleanup.policy"}
_TEXTS = {"message.timestamp.type"}
TRACEPARENT: JsonObject = {
    "type": "string",
    "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    "description": "W3C trace context; optional.",
}


def asyncapi() -> JsonObject:
    """The whole document; names are without the deployment's topic prefix."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sightline",
            "version": "1",
            "description": "Every topic of the event loop. Generated from schemas/topics.py.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic.name: _channel(topic) for topic in ALL_TOPICS},
        "operations": _operations(),
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _event_types() -> list[type[EventData]]:
    return list(dict.fromkeys(data for topic in ALL_TOPICS for data in topic.events))


def _message_names(topic: Topic) -> list[str]:
    if topic.dead_letters_of is not None:
        return ["deadLetter"]
    return [data.TYPE for data in topic.events] or ["foreign"]


def _channel(topic: Topic) -> JsonObject:
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in _message_names(topic)}
    return {
        "address": topic.name,
        "summary": topic.summary,
        "messages": cast("JsonValue", messages),
        "x-key": topic.key,
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": _configuration(topic),
                "bindingVersion": _BINDING,
            }
        },
    }


def _configuration(topic: Topic) -> JsonObject:
    return {name: _typed(name, value) for name, value in topic.config.items()}


def _typed(name: str, value: str) -> JsonValue:
    if name in _LISTS:
        return list(value.split(","))
    return value if name in _TEXTS else int(value)


def _operations() -> JsonObject:
    operations: JsonObject = {}
    for topic in ALL_TOPICS:
        channel: JsonObject = {"$ref": f"#/channels/{topic.name}"}
        for action, who in (("send", topic.producers), ("receive", topic.consumers)):
            operations[f"{action}-{topic.name}"] = {
                "action": action,
                "channel": channel,
                "summary": f"By: {', '.join(who)}.",
            }
    return operations


def _messages() -> JsonObject:
    events: JsonObject = {data.TYPE: _event_message(data) for data in _event_types()}
    return events | {"deadLetter": _dead_letter(), "foreign": _foreign()}


def _event_message(data: type[EventData]) -> JsonObject:
    shown = example(data.TYPE).model_dump(mode="json", exclude_none=True)
    return {
        "name": data.TYPE,
        "summary": (data.__doc__ or "").strip(),
        "contentType": "application/cloudevents+json",
        "headers": {"type": "object", "properties": {"traceparent": TRACEPARENT}},
        "payload": {"$ref": f"#/components/schemas/{data.TYPE}"},
        "examples": [{"name": "canonical", "payload": shown}],
    }


def _dead_letter() -> JsonObject:
    facts = {
        HEADER_PREFIX + name: {
            "type": "string",
            "maxLength": MAX_FACT_CHARS,
            "description": field.description or "",
        }
        for name, field in DeadLetterFacts.model_fields.items()
    }
    headers: JsonObject = {
        "type": "object",
        "required": list(facts),
        "properties": cast("JsonValue", facts | {"traceparent": TRACEPARENT}),
    }
    return {
        "name": "deadLetter",
        "summary": "The original bytes, whatever they are; the facts are headers.",
        "contentType": "application/octet-stream",
        "headers": headers,
        "payload": {"description": "Unchanged."},
    }


def _foreign() -> JsonObject:
    return {
        "name": "foreign",
        "summary": "In the format of the system that writes it, not ours.",
        "contentType": "application/json",
        "payload": {"type": "object"},
    }


def _schemas() -> JsonObject:
    schemas: JsonObject = {}
    for data in _event_types():
        schema = schema_of(data, ref_template=_COMPONENTS)
        schemas.update(cast("JsonObject", schema.pop("$defs", {})))
        schemas[data.TYPE] = schema
    return dict(sorted(schemas.items()))
