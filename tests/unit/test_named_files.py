"""Files that somebody names are opened in one place, which waits for no pipe and has bounds."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conftest import ROOT

ROOMS = ("engine", "producers", "search_api", "stream_workers", "training", "infra")
OUR_OWN = frozenset(
    {
        *("engine/vector_index/edge/directory.py", "engine/vector_index/edge/sparse_copy.py"),
        *("engine/object_store/directory.py", "engine/durable_files.py"),
        *("engine/connecting/owner.py", "engine/embedding/registered_models.py"),
        *("engine/embedding/openvino_runtime.py", "training/datasets/feature_cache.py"),
        *("infra/commands/learning/retraining_work.py", "training/models/default_projection.py"),
        *("training/loop/code.py", "search_api/page/routes.py", "infra/cli/run.py"),
    }
)
"""Read what a process of ours has written there, or what is installed with us."""
BEHIND_A_CHECK = frozenset(
    {
        *(
            "engine/regular_files.py",
            "engine/embedding/projections.py",
            "engine/embedding/lite0.py",
        ),
        *("engine/embedding/onnx_encoder.py", "engine/embedding/torchvision_networks.py"),
        *("training/loop/head.py", "training/loop/checkpoint.py", "training/backbone/state.py"),
        *("training/models/candidates.py", "training/models/released_head.py"),
        *("infra/cli/evaluate.py", "infra/sample_photos/photo_folder.py"),
    }
)
"""Look with `need_regular`, `open_binary` or `is_file` at what they read whole, before they do."""
READS = frozenset({"read_text", "read_bytes", "load_file", "safe_open"})


def _reads(file: Path) -> bool:
    text = file.read_text()
    if not any(name in text for name in (*READS, "open")):
        return False  # most are not parsed
    calls = (node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    names = {ast.unparse(called).rpartition(".")[::2] for called in calls}
    return any(
        (name in READS and (name != "read_text" or bool(of))) or (name == "open" and of == "io")
        for of, name in names
    )


def test_whoever_reads_a_file_does_so_in_one_place_or_says_whose_it_is() -> None:
    """A pipe or a device under its name would hold a command up, or take the machine's memory."""
    tools = {"infra/local", "infra/generating", "infra/demo", "infra/supervision"}
    found = {
        name
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if (name := file.relative_to(ROOT).as_posix()).rsplit("/", 1)[0] not in tools
        and _reads(file)
    }
    assert found - OUR_OWN - BEHIND_A_CHECK == set()
