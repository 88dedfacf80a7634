"""How far a training is, as a bar on the terminal, and what its loss came to, as lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from sightline.training.loop.checkpoint import Floats
from sightline.training.tracking import Item


def bar(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """A `Track` on the standard error stream; where that is no terminal, it writes nothing."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(task)


def loss_lines(losses: Floats, folder: Path) -> list[str]:
    """What the loss was in the first and in the last step, and where its curve is; [] of none."""
    if not len(losses):
        return []
    return [
        f"loss {losses[0]:.3f} in the first of {len(losses)} steps, {losses[-1]:.3f} in",
        f"the last; {folder / 'curve.svg'} shows it",
    ]
