"""Committed schemas, examples and pages: up to date, and readable by old and new alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from sightline.infra.generating.generate import (
    CHECKOUT,
    breaks,
    freeze,
    generated,
    main,
    stale_files,
    write_generated,
)
from sightline.schemas.documents.all_documents import FROZEN, GOLDEN
from sightline.schemas.documents.asyncapi import asyncapi
from sightline.schemas.documents.examples import example
from sightline.schemas.documents.json_schemas import standalone
from sightline.schemas.registry import EVENT_TYPES, decode
from sightline.schemas.topics import TOPICS

CURRENT, RELEASED = CHECKOUT / GOLDEN, CHECKOUT / FROZEN
CURRENT_EXAMPLES = sorted((CURRENT / "examples").glob("*.json"))
RELEASED_EXAMPLES = sorted((RELEASED / "examples").glob("*.json"))
RELEASED_TYPES = {
    path.name.removesuffix(".schema.json") for path in (RELEASED / "events").glob("*.schema.json")
}


def validator(folder: Path, document: Any) -> Draft202012Validator:
    """The schema that a folder holds for a document's type."""
    schema = json.loads((folder / "events" / f"{document['type']}.schema.json").read_text())
    return Draft202012Validator(schema, format_checker=FormatChecker())


def test_committed_files_are_what_the_code_generates() -> None:
    """A contract or a setting never changes without its golden file: run `make golden`."""
    assert stale_files(CHECKOUT) == []


def test_nothing_breaks_what_was_released() -> None:
    """New readers read old events and old readers new ones; else it is a new version beside."""
    assert list(map(str, breaks(CHECKOUT))) == []


@pytest.mark.parametrize("path", RELEASED_EXAMPLES, ids=lambda p: p.stem)
def test_new_readers_read_every_released_example(path: Path) -> None:
    """Events that older releases wrote, in their three variations, still decode."""
    value = path.read_bytes()
    assert decode(value).type == json.loads(value)["type"]


@pytest.mark.parametrize(
    "path",
    [path for path in CURRENT_EXAMPLES if path.stem.rpartition(".")[0] in RELEASED_TYPES],
    ids=lambda p: p.stem,
)
def test_old_readers_read_every_current_example(path: Path) -> None:
    """Events that this release writes fit the released schema of their type."""
    document = json.loads(path.read_text())
    validator(RELEASED, document).validate(document)


def test_no_current_example_of_a_released_type_is_left_out() -> None:
    """The names by which they are chosen are those of their types."""
    assert all(json.loads(p.read_text())["type"] in p.stem for p in CURRENT_EXAMPLES)
    assert {p.stem.rpartition(".")[0] for p in CURRENT_EXAMPLES} >= RELEASED_TYPES


@pytest.mark.parametrize("path", CURRENT_EXAMPLES, ids=lambda p: p.stem)
def test_schema_and_decoder_agree_on_the_examples(path: Path) -> None:
    """What the schema accepts, the decoder reads."""
    document = json.loads(path.read_text())
    validator(CURRENT, document).validate(document)
    assert decode(path.read_bytes()).id == document["id"]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_what_a_newer_publisher_adds_changes_nothing(event_type: str) -> None:
    """The example with unknown fields says the same as the canonical one."""
    folder = CURRENT / "examples"
    newer = decode((folder / f"{event_type}.newer.json").read_bytes())
    assert newer == decode((folder / f"{event_type}.canonical.json").read_bytes())
    assert newer == example(event_type)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_schema_is_valid_and_fixes_its_type(event_type: str) -> None:
    """The schema obeys its dialect and accepts no other type."""
    schema: Any = standalone(EVENT_TYPES[event_type])
    Draft202012Validator.check_schema(schema)
    other = json.loads(example(event_type).encode()) | {"type": "sightline.other.v1"}
    assert not Draft202012Validator(schema).is_valid(other)


def test_every_topic_has_its_page_and_its_channel() -> None:
    """Each topic is in docs/topics, in its index and in the AsyncAPI document."""
    index = (CHECKOUT / "docs/topics/README.md").read_text()
    channels: Any = asyncapi()["channels"]
    for topic in TOPICS:
        assert (CHECKOUT / f"docs/topics/{topic.name}.md").is_file()
        assert f"({topic.name}.md)" in index
        assert channels[topic.name]["address"] == topic.name


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """Channels, operations, messages and schemas refer to what is there."""
    document: Any = json.loads(json.dumps(asyncapi()))

    def walk(part: Any) -> None:
        if isinstance(part, list):
            for one in part:
                walk(one)
        elif isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                target = document
                for step in part["$ref"].removeprefix("#/").split("/"):
                    target = target[step]
            for one in part.values():
                walk(one)

    walk(document)


def test_a_stale_checkout_is_told_and_mended(tmp_path: Path) -> None:
    """Missing, changed and leftover files are listed; writing once mends them all."""
    assert set(stale_files(tmp_path)) == set(generated())
    write_generated(tmp_path)
    (tmp_path / "docs/settings.md").write_text("old")
    leftover = tmp_path / GOLDEN / "events" / "gone.schema.json"
    leftover.write_text("{}")
    assert stale_files(tmp_path) == ["docs/settings.md", f"{GOLDEN}/events/gone.schema.json"]
    write_generated(tmp_path)
    assert stale_files(tmp_path) == []
    assert not leftover.exists()


def test_a_breaking_contract_cannot_be_frozen(tmp_path: Path) -> None:
    """Freezing refuses what would break somebody, and leaves the released files alone."""
    frozen = tmp_path / FROZEN
    shutil.copytree(RELEASED, frozen)
    path = frozen / "events" / "sightline.image.uploaded.v1.schema.json"
    schema = json.loads(path.read_text())
    schema["$defs"]["ImageUploaded"]["properties"]["colour"] = {"type": "string"}
    path.write_text(json.dumps(schema))
    assert [b.kind.name for b in freeze(tmp_path)] == ["FIELD_REMOVED"]
    assert json.loads(path.read_text()) == schema


def test_the_check_command_succeeds_on_this_checkout(capsys: pytest.CaptureFixture[str]) -> None:
    """`--check` exits 0 and is silent when all is in order."""
    assert main(["--check"]) == 0
    assert capsys.readouterr().err == ""
