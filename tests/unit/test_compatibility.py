"""What counts as a break between two versions of a contract, in either direction."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from sightline.schemas.documents.all_documents import topic_facts
from sightline.schemas.documents.compatibility import (
    Break,
    BreakKind,
    Direction,
    schema_breaks,
    topic_breaks,
)
from sightline.schemas.documents.json_schemas import standalone
from sightline.schemas.images import ImageUploaded
from sightline.schemas.registry import EVENT_TYPES

Edit = Callable[[Any], None]
NEW_FAILS, OLD_FAILS = Direction.NEW_READS_OLD, Direction.OLD_READS_NEW


def data_of(schema: Any) -> Any:
    """The part of the schema that describes `data`."""
    return schema["$defs"]["ImageUploaded"]


def edited(edit: Edit) -> list[Break]:
    """The breaks of one edit of the upload event's schema."""
    old: Any = standalone(ImageUploaded)
    new = copy.deepcopy(old)
    edit(new)
    return schema_breaks(old, new)


def remove(name: str) -> Edit:
    """Remove a field of the data."""

    def edit(schema: Any) -> None:
        del data_of(schema)["properties"][name]
        required = data_of(schema)["required"]
        data_of(schema)["required"] = [other for other in required if other != name]

    return edit


def change(name: str, **keywords: Any) -> Edit:
    """Change keywords of a field of the data."""
    return lambda schema: data_of(schema)["properties"][name].update(keywords)


def require(name: str) -> Edit:
    """Make a field required."""
    return lambda schema: data_of(schema)["required"].append(name)


def add(name: str, *, required: bool) -> Edit:
    """Add a field to the data."""

    def edit(schema: Any) -> None:
        data_of(schema)["properties"][name] = {"type": "string", "default": ""}
        if required:
            data_of(schema)["required"].append(name)

    return edit


def relax(name: str) -> Edit:
    """Make a required field optional."""
    return lambda schema: data_of(schema)["required"].remove(name)


def values(name: str, listed: list[str]) -> Edit:
    """Replace the values of an enumeration."""
    return lambda schema: schema["$defs"][name].update(enum=listed)


def close(schema: Any) -> None:
    """Refuse unknown fields, and add one."""
    data_of(schema)["additionalProperties"] = False


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_contract_is_compatible_with_itself(event_type: str) -> None:
    """No false alarm: every event type agrees with itself in both directions."""
    schema = standalone(EVENT_TYPES[event_type])
    assert schema_breaks(schema, copy.deepcopy(schema)) == []


def test_a_new_optional_field_breaks_nobody() -> None:
    """This is how a contract grows: old readers ignore it, new readers do without."""
    assert edited(add("colour", required=False)) == []


@pytest.mark.parametrize(
    ("edit", "kind", "who", "field"),
    [
        (remove("image_id"), BreakKind.FIELD_REMOVED, OLD_FAILS, "image_id"),
        (remove("tags"), BreakKind.FIELD_REMOVED, OLD_FAILS, "tags"),
        (add("colour", required=True), BreakKind.REQUIRED_ADDED, NEW_FAILS, "colour"),
        (require("owner_id"), BreakKind.REQUIRED_ADDED, NEW_FAILS, "owner_id"),
        (relax("version"), BreakKind.NO_LONGER_REQUIRED, OLD_FAILS, "version"),
        (change("version", type="string"), BreakKind.TYPE_CHANGED, NEW_FAILS, "version"),
        (change("version", type="number"), BreakKind.TYPE_CHANGED, OLD_FAILS, "version"),
        (change("version", maximum=99), BreakKind.BOUND_NARROWED, NEW_FAILS, "version"),
        (change("version", maximum=2**60), BreakKind.BOUND_WIDENED, OLD_FAILS, "version"),
        (change("version", minimum=1), BreakKind.BOUND_NARROWED, NEW_FAILS, "version"),
        (change("version", minimum=-1), BreakKind.BOUND_WIDENED, OLD_FAILS, "version"),
        (change("tags", maxItems=65), BreakKind.BOUND_WIDENED, OLD_FAILS, "tags"),
        (change("attributes", **{"x-max-bytes": 9}), BreakKind.BOUND_NARROWED, NEW_FAILS, "attr"),
        (
            change("tags", items={"type": "string", "minLength": 1, "maxLength": 65}),
            BreakKind.BOUND_WIDENED,
            OLD_FAILS,
            "tags[]",
        ),
        (values("Visibility", ["public"]), BreakKind.VALUE_REMOVED, NEW_FAILS, "visibility"),
        (
            values("Visibility", ["public", "private", "friends"]),
            BreakKind.VALUE_ADDED,
            OLD_FAILS,
            "visibility",
        ),
        (change("image_id", pattern=".*"), BreakKind.PATTERN_CHANGED, OLD_FAILS, "image_id"),
        (change("visibility", default="public"), BreakKind.DEFAULT_CHANGED, NEW_FAILS, "visib"),
        (
            change("owner_id", anyOf=[{"type": "string"}, {"type": "null"}]),
            BreakKind.PATTERN_CHANGED,
            OLD_FAILS,
            "owner_id",
        ),
    ],
)
def test_each_kind_of_break_is_named(
    edit: Edit, kind: BreakKind, who: Direction, field: str
) -> None:
    """What breaks, where, and for whom, is in the report."""
    found = edited(edit)
    assert any(
        b.kind is kind and b.who is who and b.where.startswith(f"{ImageUploaded.TYPE} data.{field}")
        for b in found
    ), list(map(str, found))


def test_a_changed_format_is_a_break() -> None:
    """A time that becomes any text is no time for an old reader."""
    found = edited(lambda schema: schema["properties"]["time"].pop("format"))
    assert [(b.kind, b.who) for b in found] == [(BreakKind.FORMAT_CHANGED, OLD_FAILS)]


def test_a_closed_object_refuses_what_others_add() -> None:
    """An old contract that refuses unknown fields cannot read a grown one."""
    old: Any = standalone(ImageUploaded)
    close(old)
    new: Any = standalone(ImageUploaded)
    add("colour", required=False)(new)
    assert BreakKind.UNKNOWN_REFUSED in {b.kind for b in schema_breaks(old, new)}


def test_an_event_type_that_is_gone_is_a_break() -> None:
    """Old events of it still lie in the topics."""
    found = schema_breaks(standalone(ImageUploaded), {})
    assert [b.kind for b in found] == [BreakKind.EVENT_REMOVED]


def test_a_topic_keeps_key_partitions_and_cleanup() -> None:
    """Any of the three changed under a living topic sends one key to two places, or loses it."""
    old: Any = topic_facts()
    assert topic_breaks(old, old) == []
    for fact, value in (("partitions", 99), ("key", "other"), ("cleanup", "delete")):
        new = copy.deepcopy(old)
        new["images.v1"][fact] = value
        assert [b.kind for b in topic_breaks(old, new)] == [BreakKind.TOPIC_CHANGED]


def test_a_removed_topic_and_a_removed_event_are_named() -> None:
    """Topics and event types may be added, not taken away."""
    old: Any = topic_facts()
    fewer = copy.deepcopy(old)
    fewer["images.v1"]["events"].pop()
    assert [b.kind for b in topic_breaks(old, fewer)] == [BreakKind.EVENT_REMOVED]
    del fewer["images.v1"]
    assert [b.kind for b in topic_breaks(old, fewer)] == [BreakKind.TOPIC_REMOVED]
    assert topic_breaks(fewer, old) == []
