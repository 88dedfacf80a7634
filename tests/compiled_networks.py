"""Networks that torch compiles, in tests: where it finds them again, and without probes."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sightline.engine.ports import Embedder
from tests.probes import take_out_hit_probes


def take_probes_out_of(eager: Embedder) -> None:
    """Execute each line of a network, so that its probes go: torch cannot compile them."""
    size = eager.framing.size
    eager.embed(np.zeros((1, size, size, 3), np.uint8))
    take_out_hit_probes()


def find_compiled_again() -> None:
    """Name headers and torch by paths that the next run has, too, one in another clone included.

    Torch looks for a compiled network by all that it was compiled with, these paths included:
    80 CPU-seconds.
    """
    from torch._inductor import codecache  # noqa: PLC0415 - seconds
    from torch.utils import cpp_extension  # noqa: PLC0415 - seconds

    headers = Path(codecache._HEADER_DIR).resolve()
    lasting = headers.with_name(f"torch-{version('torch')}")
    _point(lasting, Path(cpp_extension._TORCH_PATH))
    codecache._HEADER_DIR = str(headers)
    cpp_extension._TORCH_PATH = str(lasting)
    cpp_extension.TORCH_LIB_PATH = str(lasting / "lib")


def _point(link: Path, folder: Path) -> None:
    """Make a link to a folder, at once whole, unless it leads to one: several runs may share it."""
    if link.is_dir():
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    draft = link.with_name(f"{link.name}.{os.getpid()}")
    draft.symlink_to(folder)
    draft.replace(link)
