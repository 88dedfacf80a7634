"""What the page on privacy says is looked into, is: by tests that exist, or nothing is there."""

from __future__ import annotations

import json
import re

import pytest

from sightline.engine.settings import StoreSettings
from sightline.schemas.envelope import EventData
from sightline.schemas.topics import (
    BUCKET_NOTIFICATIONS,
    DAY_MS,
    FOREVER_MS,
    TOPICS,
    Cleanup,
    Topic,
)
from tests.conftest import ROOT

PAGE = (ROOT / "docs/privacy.md").read_text()
NAMED_TEST = r"`(tests/[a-z0-9_/]+\.py)(?:::(test_[a-z0-9_]+))?`"
NAMED = re.findall(NAMED_TEST, PAGE)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda name: name)
def test_every_named_test_exists(file: str, test: str) -> None:
    """By file, and by name where one is given."""
    text = (ROOT / file).read_text()
    assert re.search(rf"^def {test or 'test_'}", text, re.MULTILINE)


def rows() -> list[list[str]]:
    """Of the table of a deleted image: place, what stays, how long, looked into by."""
    table = PAGE.partition("| looked into by |")[2].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]


PLACES = {name: row for row in rows() for name in re.findall(r"`([^`]+)`", row[0])}
NAMES_AN_IMAGE = re.compile(r'"(?:image|anchor|positive|negative)_id": {')


def topics_that_name_images() -> list[Topic]:
    """By the fields of their events; the store's own notifications name an object."""
    return [*(t for t in TOPICS if any(map(names_an_image, t.events))), BUCKET_NOTIFICATIONS]


def names_an_image(event: type[EventData]) -> bool:
    """Whether a field of it, or of what lies in it, is an image's id."""
    return NAMES_AN_IMAGE.search(json.dumps(event.model_json_schema())) is not None


def test_every_place_of_a_deleted_image_says_who_looks() -> None:
    """A test in the last column, or what makes one needless."""
    assert len(rows()) == 25
    assert {len(row) for row in rows()} == {4}
    without = {row[0] for row in rows() if not re.search(NAMED_TEST, row[3])}
    assert without == {
        "our bucket, where versioning is on",
        "`images.indexed.v1`",
        "topics of earlier rules versions (`….v1` of closed searches and triples)",
        "exports (`triples export`), data sets, state files of `sightline backfill`, your own logs",
    }


@pytest.mark.parametrize("known", topics_that_name_images(), ids=lambda known: known.name)
def test_a_topic_that_names_images_keeps_them_as_long_as_its_row_says(known: Topic) -> None:
    """A new one is missed here; a compacted one keeps the last event, and its row says how."""
    row = PLACES[known.name]
    if known.cleanup is Cleanup.DELETE:
        days = f"{known.retention_ms // DAY_MS} days"
        assert ("for ever" if known.retention_ms == FOREVER_MS else days) in row[2]


def test_every_place_in_our_bucket_is_on_the_page() -> None:
    """Those that the setting lists, beside secrets, which are of nobody."""
    listed = re.findall(r"\w+/", StoreSettings.model_fields["bucket"].description or "")
    assert len(listed) == 10
    assert [place for place in listed if f"`{place}" not in PAGE] == ["secrets/"]
