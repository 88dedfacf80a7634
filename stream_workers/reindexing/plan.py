"""What is known of a generation in, what is to be done for it next out; nothing else decides."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.stream_workers.reindexing.progress import FillingStep, ReindexProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedFilling:
    """Everything that the decision on the next step follows from."""

    filling: bool
    """Whether the record says that the generation may not serve yet."""
    progress: ReindexProgress | None = None
    """What is asked for; None: nothing."""
    replayed: bool = False
    """Whether this process has published what the log may have forgotten."""
    caught_up: bool = False
    """Whether the generation's workers are past the log's end as it was when this was asked."""
    optimised: bool = False
    """Whether its search graph covers what it holds."""


def next_filling_step(seen: ObservedFilling) -> FillingStep:
    """What is to be done; the same for equal arguments, whoever asks."""
    progress = seen.progress
    if not seen.filling or progress is None or progress.refused:
        return FillingStep.WAIT
    if progress.by == "features" and progress.seeded_at is None:
        return FillingStep.SEED
    if not seen.replayed:
        return FillingStep.REPLAY
    if not seen.caught_up:
        return FillingStep.CATCH_UP
    # Only here: since it was proven, an embedded broker may have ended, and forgotten what came.
    if progress.parity is not None:
        return FillingStep.READY
    return FillingStep.PROVE if seen.optimised else FillingStep.OPTIMISE
