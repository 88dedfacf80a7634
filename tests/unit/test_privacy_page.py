"""What the page on privacy says is looked into, is: by tests that exist, or nothing is there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs/privacy.md").read_text()
NAMED_TEST = r"`(tests/[a-z0-9_/]+\.py)(?:::(test_[a-z0-9_]+))?`"
NAMED = re.findall(NAMED_TEST, PAGE)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda name: name)
def test_every_named_test_exists(file: str, test: str) -> None:
    """By file, and by name where one is given."""
    text = (ROOT / file).read_text()
    assert re.search(rf"^def {test or 'test_'}", text, re.MULTILINE)


def test_every_place_of_a_deleted_image_says_who_looks() -> None:
    """A test in the last column, or what makes one needless."""
    table = PAGE.partition("| looked into by |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) == 13
    assert {len(row) for row in rows} == {4}
    without = {row[0] for row in rows if not re.search(NAMED_TEST, row[3])}
    assert without == {"`images.indexed.v1`"}
