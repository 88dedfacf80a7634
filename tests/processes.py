"""One-shot `sightline` commands for the end-to-end tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from sightline.engine.settings import Settings
from sightline.infra.node_process import environment_of


def sightline(
    *arguments: str,
    settings: Settings,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, its output captured."""
    return subprocess.run(
        [sys.executable, "-m", "sightline.infra.cli", *arguments],
        env={**os.environ, **environment_of(settings), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
