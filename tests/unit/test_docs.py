"""The documentation: links lead somewhere, and what is enumerated in code is all there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from sightline.engine.errors import RejectReason
from sightline.engine.settings import Scope
from sightline.producers.backfill.manifest import ManifestRow
from sightline.schemas.fields import Moderation, Visibility
from sightline.schemas.images import Authority
from sightline.schemas.indexed import Outcome
from tests.conftest import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
SECTIONS = ("## Context", "## Decision", "## Consequences")


def place(path: Path) -> str:
    """Where a page lies in the checkout."""
    return path.relative_to(ROOT).as_posix()


def missing(page: Path) -> list[str]:
    """Files that a page links and that do not exist."""
    targets = [link.partition("#")[0] for link in LINK.findall(FENCE.sub("", page.read_text()))]
    return [
        target
        for target in targets
        if target and "://" not in target and not (page.parent / target).exists()
    ]


def test_links_between_pages_lead_somewhere() -> None:
    """A file that is linked exists; addresses of other hosts are not asked."""
    assert {place(page): found for page in PAGES if (found := missing(page))} == {}


@pytest.mark.parametrize("reason", RejectReason)
def test_every_reason_of_a_rejection_is_explained(reason: RejectReason) -> None:
    """Whoever gets a rejection finds what happened and what to do."""
    assert f"| `{reason.value}` |" in (ROOT / "docs/images.md").read_text()


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_is_explained(outcome: Outcome) -> None:
    """Each end of a version has its line."""
    assert f"| `{outcome.value}` |" in (ROOT / "docs/images.md").read_text()


@pytest.mark.parametrize("word", [*Authority, *Visibility, *Moderation, *Scope])
def test_the_words_of_the_rules_are_on_the_page(word: str) -> None:
    """Authorities, visibilities, moderation and scopes are all named."""
    assert f"`{word}`" in (ROOT / "docs/images.md").read_text()


@pytest.mark.parametrize("column", ManifestRow.model_fields)
def test_every_column_of_a_manifest_is_explained(column: str) -> None:
    """Whoever writes a manifest finds each column that a backfill reads."""
    assert f"| `{column}` |" in (ROOT / "docs/images.md").read_text()


def test_every_decision_is_indexed_and_whole() -> None:
    """Each record is linked from the index and says context, decision and consequences."""
    index = (ROOT / "docs/adr/README.md").read_text()
    records = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [path.name for path in records if f"({path.name})" not in index] == []
    assert [
        path.name
        for path in records
        if not all(section in path.read_text() for section in SECTIONS)
    ] == []


def test_every_folder_of_the_rooms_is_on_the_plan() -> None:
    """Whoever looks for something finds its folder in docs/architecture.md."""
    page = (ROOT / "docs/architecture.md").read_text()
    plan = page.partition("### Inside the rooms")[2].partition("## Where things")[0]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.rpartition(".")[2] for name in project["tool"]["setuptools"]["packages"]}
    assert packages == set(re.findall(r"(?<![\w`])([a-z_]+)/", plan))


def test_every_decision_is_named_by_what_depends_on_it() -> None:
    """Whoever changes code that a decision bears upon is led to the reasons."""
    files = (p for room in ROOT.glob("*/__init__.py") for p in room.parent.rglob("*.py"))
    named = set(re.findall(r"docs/adr/(\d{4})", "\n".join(p.read_text() for p in files)))
    rules = (ROOT / "Makefile").read_text() + (ROOT / "pyproject.toml").read_text()
    named |= set(re.findall(r"docs/adr/(\d{4})", rules))
    assert named == {p.name[:4] for p in (ROOT / "docs/adr").glob("[0-9]*.md")}


def test_readme_is_short() -> None:
    """The front page is read in one go: at most 150 lines."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
