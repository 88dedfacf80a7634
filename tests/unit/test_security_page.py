"""The threat model names tests that exist, and every scope and kind of caller."""

from __future__ import annotations

import re

import pytest

from sightline.engine.settings import Scope
from tests.conftest import ROOT

PAGE = (ROOT / "docs/security.md").read_text()
NAMED = re.findall(r"`(tests/[a-z0-9_/]+\.py)(?:::(test_[a-z0-9_]+))?`", PAGE)


@pytest.mark.parametrize(("file", "test"), NAMED, ids=lambda name: name)
def test_every_named_test_exists(file: str, test: str) -> None:
    """A promise without a test is none."""
    text = (ROOT / file).read_text()
    assert re.search(rf"^def {test or 'test_'}", text, re.MULTILINE)


def test_every_promise_names_its_test() -> None:
    """In the last column of each row."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "|---" not in line]
    assert len(rows) > 10
    assert [row for row in rows[1:] if "`tests/" not in row.rsplit("|", 2)[1]] == []


@pytest.mark.parametrize("target", ["sbom", "audit", "fuzz"])
def test_every_named_command_exists(target: str) -> None:
    """`make` knows it."""
    assert f"`make {target}`" in PAGE
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("scope", Scope)
def test_every_kind_of_key_is_thought_of(scope: Scope) -> None:
    """With what its holder may and may not."""
    assert re.search(rf"with an? `{scope}` key", PAGE)
