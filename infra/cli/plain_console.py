"""The console of commands that tell what others wrote: square brackets and colons are theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def plain_console(width: int | None = None) -> Console:
    """A console that takes nothing for markup, in tables neither; none: as wide as the terminal."""
    from rich.console import Console  # noqa: PLC0415 - heavy

    return Console(width=width, markup=False, emoji=False)
