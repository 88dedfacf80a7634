"""Nobody learns that a deployment runs: what vendors' programs tell their makers is off."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.imports import imports_of
from tests.patience import patient

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra/compose.yaml").read_text())["services"]
IMPORTS = """
import sys, threading
from sightline.engine.embedding import openvino_runtime
silent = ("openvino_telemetry.", "openvino.tools.ovc.")
print(*(name for name in sys.modules if name.startswith(silent)))
print(threading.active_count())
"""


def test_the_runtime_tells_of_no_import(tmp_path: Path) -> None:
    """No module that sends, nor the one that would load it; no thread, no id in the home."""
    at_home = {name: value for name, value in os.environ.items() if name != "CI"}
    said = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        env=at_home | {"HOME": str(tmp_path)},
        capture_output=True,
        check=True,
        text=True,
        timeout=patient(60),
    ).stdout
    assert said.splitlines() == ["", "1"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_the_runtime_is_imported_by_who_silences_it(folder: str) -> None:
    """Imported before `sightline.engine.embedding` is, it would tell."""
    for path in (ROOT / folder).rglob("*.py"):
        for node in imports_of(path):
            names = [alias.name for alias in node.names]
            first = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
            assert not any(name.split(".")[0] == "openvino" for name in first), path


@pytest.mark.parametrize(
    ("service", "variable", "value"),
    [("qdrant", "QDRANT__TELEMETRY_DISABLED", "true"), ("minio", "MINIO_UPDATE", "off")],
)
def test_services_tell_nobody(service: str, variable: str, value: str) -> None:
    """As their own documentation says how."""
    assert COMPOSE[service]["environment"][variable] == value
