"""How far a re-index is, and what its comparison found, as lines and a bar for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from sightline.stream_workers.reindexing.parity import Parity
from sightline.stream_workers.reindexing.progress import FillingStep, ReindexProgress

SHOWN = 20
"""So many of the differences are shown; `progress.json` holds a hundred."""
_SAYS = {
    FillingStep.WAIT: "waiting for a process that has the indexes open",
    FillingStep.SEED: "multiplying kept features",
    FillingStep.REPLAY: "publishing again what the log forgot",
    FillingStep.CATCH_UP: "reading the log",
    FillingStep.OPTIMISE: "building the search graph",
    FillingStep.PROVE: "comparing every image",
    FillingStep.READY: "telling the record",
}


def draw_progress(progresses: Iterable[ReindexProgress]) -> ReindexProgress | None:
    """Draw a bar while it goes on; where there is no terminal, a line for each step instead.

    Returns:
        The last progress; None: there was none.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    last: ReindexProgress | None = None
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        for progress in progresses:
            if last is None or (last.step, last.trouble) != (progress.step, progress.trouble):
                bar.reset(task, total=progress.total or None)
                if not console.is_terminal:
                    console.print(said(progress), markup=False, highlight=False)
            bar.update(
                task,
                description=said(progress),
                completed=progress.done,
                total=progress.total or None,
            )
            last = progress
    return last


def said(progress: ReindexProgress) -> str:
    """What is being done, and what it waits for."""
    trouble = f" (waits: {progress.trouble})" if progress.trouble else ""
    return f"{_SAYS[progress.step]}{trouble}"


def parity_lines(parity: Parity) -> Iterator[str]:
    """The report, a line a measure; what differs comes last."""
    compared, reproduced = parity.compared, parity.reproduced
    took_s = (parity.ended_at - parity.began_at).total_seconds()
    yield (
        f"{compared.images} images compared in {took_s:.0f} s: {compared.listed} listed, "
        f"{compared.hidden} hidden, {compared.decisions} decisions; "
        f"{compared.looked_again} looked at again, {compared.moving} still changing"
    )
    for line in parity.recall:
        told = (
            "not measured, no tags let so many through"
            if line.recall is None
            else f"{line.recall:.4f}"
        )
        yield f"recall@24 of {line.of}: {told}"
    if reproduced.worst_cosine is None:
        yield f"no picture could be embedded again ({reproduced.unread} gone)"
    else:
        yield (
            f"{reproduced.pictures} pictures embedded again, {reproduced.unread} gone: the worst "
            f"cosine to what is indexed is {reproduced.worst_cosine:.5f}"
        )
    for one in compared.first[:SHOWN]:
        yield f"{one.reason:>9} {one.image_id} {one.says}"
    left = sum(compared.differing.values()) - SHOWN
    if left > 0:
        yield f"{left} more differ"
    if parity.left_out:
        yield f"left out, as agreed: {parity.left_out} images whose bytes are gone"
    for failure in parity.failures():
        yield f"stands in the way: {failure}"
