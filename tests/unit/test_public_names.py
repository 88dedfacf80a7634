"""One public class, one meaning, in the whole house: its name is enough to find it."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.conftest import ROOT

ROOMS = ("schemas", "engine", "producers", "stream_workers", "search_api", "training", "infra")
TWINS = {
    *("Beacon", "CropBox", "ImageQuery", "Location", "ObjectReference", "Omission", "UploadQuery"),
}
"""The label codecs' faster forms of contracts, and what the API's requests share with them."""


def test_no_two_modules_have_a_public_class_of_one_name() -> None:
    """But for the twins of contracts."""
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    homes[node.name].append(str(path.relative_to(ROOT)))
    shared = {name: found for name, found in homes.items() if len(found) > 1}
    assert {name: found for name, found in shared.items() if name not in TWINS} == {}
    assert set(shared) == TWINS, "a twin that is gone"
