"""docs/interactions.md names every column, field and kind, and its Python runs."""

from __future__ import annotations

import re

import pytest

from sightline.producers.interactions.history.rows import HistoryRow, Said
from sightline.schemas.interactions import Interaction, Kind
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "interactions.md").read_text()


@pytest.mark.parametrize(
    "name", [*HistoryRow.model_fields, *Interaction.model_fields, *Kind, *Said]
)
def test_every_name_is_explained(name: str) -> None:
    """In code font."""
    assert f"`{name}`" in PAGE


def test_the_python_example_can_be_copied() -> None:
    """It compiles, and every name that it imports exists."""
    [example] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    compile(example, "docs/interactions.md", "exec")
    imports = re.findall(r"^from sightline.*$", example, re.MULTILINE)
    exec("\n".join(imports), {})  # noqa: S102 - our own page
