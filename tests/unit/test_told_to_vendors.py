"""Nobody learns that a deployment runs: what vendors' programs tell their makers is off."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.patience import patient

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "infra/compose.yaml").read_text())["services"]
IMPORTS = """
import sys, threading
from sightline.engine.embedding import openvino_runtime
print(*(name for name in sys.modules if name.startswith("openvino_telemetry.")))
print(threading.active_count())
"""


def test_the_runtime_tells_of_no_import(tmp_path: Path) -> None:
    """No module that sends, no thread that would, no id in the home of who runs it."""
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


@pytest.mark.parametrize(
    ("service", "variable", "value"),
    [("qdrant", "QDRANT__TELEMETRY_DISABLED", "true"), ("minio", "MINIO_UPDATE", "off")],
)
def test_services_tell_nobody(service: str, variable: str, value: str) -> None:
    """As their own documentation says how."""
    assert COMPOSE[service]["environment"][variable] == value
