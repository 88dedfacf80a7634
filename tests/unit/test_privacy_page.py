"""What the page on privacy says is looked into, is: by tests that exist, or it says by none."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

PAGE = (ROOT / "docs/privacy.md").read_text()
NAMED = re.findall(r"`(tests/[a-z0-9_/]+\.py)(?:::(test_[a-z0-9_]+))?`", PAGE)
UNTESTED = {"`labels/pools/{name}.json`", "`serving/…/progress.json`"}
"""Places of a deleted image's id that no test looks into; the page says so."""


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda name: name)
def test_every_named_test_exists(file: str, test: str) -> None:
    """By file, and by name where one is given."""
    text = (ROOT / file).read_text()
    assert re.search(rf"^def {test or 'test_'}", text, re.MULTILINE)


def test_every_place_of_a_deleted_image_says_who_looks() -> None:
    """In the last column; a place without a test is one of the few that are known."""
    table = PAGE.partition("| looked into by |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) == 13
    assert {len(row) for row in rows} == {4}
    untested = {row[0] for row in rows if row[3].startswith("none")}
    assert {place for place in untested if not place.startswith("`retraining/`")} == UNTESTED
