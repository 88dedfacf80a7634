"""Where the `sightline` command begins: before anything that takes time to import."""

from __future__ import annotations

from sightline.engine.garbage_collection import (
    look_for_garbage_seldom,
    never_look_for_garbage_again,
)


def main() -> None:
    """Run the command named on the command line and exit."""
    look_for_garbage_seldom()
    from sightline.infra.cli.main import main as run_command  # noqa: PLC0415 - takes the time

    try:
        run_command()
    finally:
        never_look_for_garbage_again()
