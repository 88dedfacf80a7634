"""The base install imports without anything that only an extra brings."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.patience import patient

HEAVY = (
    "PIL",
    "aiokafka",
    "fastapi",
    "faust",
    "httpx",
    "jsonschema",
    "msgspec",
    "numpy",
    "openvino",
    "opentelemetry",
    "pillow_heif",
    "prometheus_client",
    "pyarrow",
    "qdrant_client",
    "qdrant_edge",
    "safetensors",
    "simplejpeg",
    "starlette",
    "torch",
    "torchvision",
    "uvicorn",
    "yaml",
)
BASE_OF_ENGINE = (
    "errors",
    "ports",
    "records",
    "settings",
    "clock",
    "object_store.catalogue",
    "connecting.connections",
    "pictures.formats.signature",
    "event_log.kafka",
    "event_log.kafka.topics",
    "object_store.directory",
    "object_store.s3",
)
BLOCKER = """
import importlib, json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise ImportError(f"{name} is not in the base install")

names, HEAVY = json.loads(sys.argv[1])
sys.meta_path.insert(0, Blocker())
for name in names:
    importlib.import_module(name)
"""


def modules_of(room: str) -> list[str]:
    """The installed names of all modules of a room."""
    return [
        ".".join(("sightline", *path.relative_to(ROOT).with_suffix("").parts))
        for path in sorted((ROOT / room).rglob("*.py"))
        if not path.name.startswith("__")
    ]


@pytest.mark.parametrize(
    "names",
    [
        modules_of("schemas"),
        [f"sightline.engine.{name}" for name in BASE_OF_ENGINE],
        modules_of("producers"),
        [
            *modules_of("infra/cli"),
            "sightline.infra.doctor.report",
            "sightline.infra.generating.generate",
        ],
    ],
    ids=["schemas", "engine", "producers", "infra"],
)
def test_the_base_install_needs_no_extra(names: list[str]) -> None:
    """A platform service that only publishes installs neither torch nor a web framework."""
    _imported_without(names, HEAVY)


def test_a_process_starts_without_what_it_may_never_need() -> None:
    """Arrow alone takes 40 MB, and a node without clicks never writes a row."""
    _imported_without(
        ["sightline.infra.processes.node"], ("aiokafka", "faust", "msgspec", "pyarrow", "torch")
    )
    stage = "sightline.infra.supervision.label_stage"
    _imported_without([stage], ("PIL", "cryptography", "numpy", "openvino", "pyarrow", "torch"))


def _imported_without(names: list[str], heavy: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", BLOCKER, json.dumps([names, heavy])],
        capture_output=True,
        text=True,
        timeout=patient(60),
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2_000:]
