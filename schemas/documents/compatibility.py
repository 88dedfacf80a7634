"""Two versions of a contract in, what would break between their readers and writers out.

Both directions count, since consumers and platform services are never deployed at once: new
readers meet old events (they stay in compacted topics for years), old readers meet new events.
One check does both: does a reader's schema accept everything that a writer's schema allows? It
covers the JSON Schema that our contracts generate and calls anything else it cannot prove a break.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

Schema = Any
"""A parsed JSON Schema: what it holds is looked up by keyword, not by type."""


class Direction(StrEnum):
    """Which side fails when a contract changes: its readers, or those of the old version."""

    NEW_READS_OLD = "new readers fail on old events"
    OLD_READS_NEW = "old readers fail on new events"


class BreakKind(StrEnum):
    """What a change of a contract did that one side cannot read."""

    EVENT_REMOVED = "event type removed"
    FIELD_REMOVED = "field removed"
    REQUIRED_ADDED = "required field added"
    NO_LONGER_REQUIRED = "field no longer required"
    UNKNOWN_REFUSED = "unknown fields refused"
    TYPE_CHANGED = "type changed"
    VALUE_REMOVED = "value removed"
    VALUE_ADDED = "value added"
    BOUND_NARROWED = "bound narrowed"
    BOUND_WIDENED = "bound widened"
    PATTERN_CHANGED = "pattern changed"
    FORMAT_CHANGED = "format changed"
    DEFAULT_CHANGED = "default changed"
    TOPIC_REMOVED = "topic removed"
    TOPIC_CHANGED = "key, partitions or cleanup of a topic changed"


@dataclass(frozen=True, slots=True)
class Break:
    """One change of a contract that one side cannot read, and where it is."""

    kind: BreakKind
    where: str
    """The event type and the path of the field, or the topic."""
    who: Direction

    def __str__(self) -> str:
        return f"{self.where}: {self.kind} ({self.who})"


class _Node(NamedTuple):
    """A schema and the document that its references resolve in."""

    schema: Schema
    root: Schema

    def of(self, schema: Schema) -> _Node:
        """Another place of the same document, references followed."""
        while isinstance(schema, dict) and "$ref" in schema:
            target = self.root["$defs"][schema["$ref"].rpartition("/")[2]]
            schema = target | {name: part for name, part in schema.items() if name != "$ref"}
        return _Node(schema, self.root)

    @property
    def branches(self) -> list[_Node]:
        """The alternatives that a value may match."""
        options = self.schema.get("anyOf") or self.schema.get("oneOf") or [self.schema]
        return [self.of(option) for option in options]

    def field(self, name: str) -> _Node:
        """Finds the schema of the property `name` of this object."""
        return self.of(self.schema["properties"][name])


_Complaint = tuple[str, str]
"""An aspect (a key of `_KINDS`) and the path where reader and writer differ in it."""

_KINDS: dict[str, tuple[BreakKind, BreakKind]] = {
    "unknown to the writer": (BreakKind.REQUIRED_ADDED, BreakKind.FIELD_REMOVED),
    "not always written": (BreakKind.REQUIRED_ADDED, BreakKind.NO_LONGER_REQUIRED),
    "closed": (BreakKind.UNKNOWN_REFUSED, BreakKind.UNKNOWN_REFUSED),
    "type": (BreakKind.TYPE_CHANGED, BreakKind.TYPE_CHANGED),
    "values": (BreakKind.VALUE_REMOVED, BreakKind.VALUE_ADDED),
    "bound": (BreakKind.BOUND_NARROWED, BreakKind.BOUND_WIDENED),
    "pattern": (BreakKind.PATTERN_CHANGED, BreakKind.PATTERN_CHANGED),
    "format": (BreakKind.FORMAT_CHANGED, BreakKind.FORMAT_CHANGED),
    "default": (BreakKind.DEFAULT_CHANGED, BreakKind.DEFAULT_CHANGED),
}
"""What an aspect is called where new reads old, and where old reads new."""

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "x-max-bytes", "x-max-depth")
_NEW_BOUNDS = frozenset({"x-max-depth"})
"""Bounds that held before they were stated: the older contract may be silent of them."""


def schema_breaks(old: Schema, new: Schema) -> list[Break]:
    """What breaks between an old and a new schema of one event type; `new` empty: it is gone."""
    name = old.get("title", "")
    if not new:
        return [Break(BreakKind.EVENT_REMOVED, name, Direction.NEW_READS_OLD)]
    older, newer = _Node(old, old), _Node(new, new)
    found = [
        Break(_KINDS[aspect][0], f"{name} {path}", Direction.NEW_READS_OLD)
        for aspect, path in _complaints(newer, older, "", old_reads_new=False)
    ] + [
        Break(_KINDS[aspect][1], f"{name} {path}", Direction.OLD_READS_NEW)
        for aspect, path in _complaints(older, newer, "", old_reads_new=True)
    ]
    return list(dict.fromkeys(found))


def topic_breaks(old: Schema, new: Schema) -> list[Break]:
    """What breaks between two topic lists; new topics and new event types on one break nothing."""
    found = []
    for name, facts in old.items():
        if name not in new:
            found.append(Break(BreakKind.TOPIC_REMOVED, name, Direction.OLD_READS_NEW))
        elif any(facts[fact] != new[name][fact] for fact in ("key", "partitions", "cleanup")):
            found.append(Break(BreakKind.TOPIC_CHANGED, name, Direction.NEW_READS_OLD))
        found += [
            Break(BreakKind.EVENT_REMOVED, f"{name} {event}", Direction.NEW_READS_OLD)
            for event in facts["events"]
            if event not in new.get(name, facts)["events"]
        ]
    return found


def _complaints(
    reader: _Node, writer: _Node, path: str, *, old_reads_new: bool
) -> Iterator[_Complaint]:
    """Where the writer may write what the reader does not accept.

    Every alternative of the writer must fit one of the reader's; where none fits, the complaints
    of the nearest one are told.
    """
    for written in writer.branches:
        attempts = [
            list(_mismatches(option, written, path, old_reads_new=old_reads_new))
            for option in reader.branches
        ]
        yield from min(attempts, key=_distance)


def _distance(complaints: list[_Complaint]) -> tuple[bool, int]:
    return any(aspect == "type" for aspect, _ in complaints), len(complaints)


def _mismatches(
    reader: _Node, writer: _Node, path: str, *, old_reads_new: bool
) -> Iterator[_Complaint]:
    read, written = reader.schema, writer.schema
    if not _type_fits(read.get("type"), written.get("type")):
        yield "type", path
        return
    yield from ((aspect, path) for aspect in _scalar_aspects(read, written))
    if "properties" in read:
        yield from _fields(reader, writer, path, old_reads_new=old_reads_new)
    if "items" in read:
        items = reader.of(read["items"]), writer.of(written.get("items", {}))
        yield from _complaints(*items, f"{path}[]", old_reads_new=old_reads_new)


def _type_fits(read: str | None, written: str | None) -> bool:
    return read in (None, written) or (read == "number" and written == "integer")


def _scalar_aspects(read: Schema, written: Schema) -> Iterator[str]:
    if not _values_fit(read, written):
        yield "values"
    if any(not _bound_fits(read, written, name) for name in (*_LOWER, *_UPPER)):
        yield "bound"
    for aspect in ("pattern", "format"):
        if aspect in read and read[aspect] != written.get(aspect):
            yield aspect


def _values_fit(read: Schema, written: Schema) -> bool:
    allowed, possible = _values(read), _values(written)
    return allowed is None or (possible is not None and possible <= allowed)


def _values(schema: Schema) -> frozenset[str] | None:
    listed = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if listed is None else frozenset(map(repr, listed))


def _bound_fits(read: Schema, written: Schema, name: str) -> bool:
    if name not in read:
        return True
    if name not in written:
        return name in _NEW_BOUNDS
    lower = name in _LOWER
    return bool(read[name] <= written[name] if lower else read[name] >= written[name])


def _fields(
    reader: _Node, writer: _Node, path: str, *, old_reads_new: bool
) -> Iterator[_Complaint]:
    known, written = reader.schema["properties"], writer.schema.get("properties", {})
    must = set(reader.schema.get("required", ()))
    always = set(writer.schema.get("required", ()))
    if reader.schema.get("additionalProperties") is False and set(written) - set(known):
        yield "closed", path
    for name, field in known.items():
        inner = f"{path}.{name}".lstrip(".")
        if name not in written:
            if name in must or old_reads_new:
                yield "unknown to the writer", inner
            continue
        if name in must - always:
            yield "not always written", inner
        if name not in must and field.get("default") != written[name].get("default"):
            yield "default", inner
        yield from _complaints(
            reader.field(name), writer.field(name), inner, old_reads_new=old_reads_new
        )
