"""Everything that is generated from the contracts: path in the checkout to text."""

from __future__ import annotations

import json
from typing import Any

from sightline.schemas.documents.asyncapi import asyncapi
from sightline.schemas.documents.examples import example
from sightline.schemas.documents.json_schemas import JsonObject, standalone
from sightline.schemas.documents.topic_pages import pages
from sightline.schemas.fields import Contract
from sightline.schemas.registry import EVENT_TYPES
from sightline.schemas.topics import ALL_TOPICS

GOLDEN = "schemas/golden"
FROZEN = f"{GOLDEN}/v1"
"""What was released, never rewritten by accident: the old side of every compatibility check."""


def documents() -> dict[str, str]:
    """The golden files and the topic pages."""
    contracts = {f"{GOLDEN}/{name}": text for name, text in contracts_now().items()}
    topic_pages = {f"docs/topics/{name}": text for name, text in pages().items()}
    return contracts | {f"{GOLDEN}/asyncapi.json": pretty(asyncapi())} | topic_pages


def contracts_now() -> dict[str, str]:
    """What a freeze keeps: a schema and examples of each event type, and the topic list."""
    files = {"topics.json": pretty(topic_facts())}
    for name, data in EVENT_TYPES.items():
        files[f"events/{name}.schema.json"] = pretty(standalone(data))
        for variant, text in _examples(name).items():
            files[f"examples/{name}.{variant}.json"] = text
    return files


def topic_facts() -> JsonObject:
    """What may not change in the life of a topic, and what it carries."""
    return {
        topic.name: {
            "key": topic.key,
            "partitions": topic.partitions,
            "cleanup": topic.cleanup.value,
            "events": [data.TYPE for data in topic.events],
        }
        for topic in ALL_TOPICS
    }


def pretty(document: Any) -> str:
    """JSON as it is committed: indented, in order, one newline at the end."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _examples(event_type: str) -> dict[str, str]:
    """The canonical one, one that says only what it must, and one from a newer publisher."""
    canonical = example(event_type).model_dump(mode="json", exclude_none=True)
    newer = canonical | {
        "comnewextension": "an extension attribute that no reader knows yet",
        "data": canonical["data"] | {"field_of_a_later_release": {"nested": [1, None]}},
    }
    return {
        "canonical": pretty(canonical),
        "minimal": pretty(_required(example(event_type))),
        "newer": pretty(newer),
    }


_TELLING = frozenset({"specversion", "kind"})
"""Fields with a default that a document must carry all the same: readers decide by them."""


def _required(contract: Contract) -> JsonObject:
    """Only the fields that must be there."""
    dumped = contract.model_dump(mode="json")
    return {
        name: _required(value) if isinstance(value, Contract) else dumped[name]
        for name, value in contract
        if name in _TELLING or type(contract).model_fields[name].is_required()
    }
