"""Generations of the record in, how far those are that are being filled out."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import datetime

from sightline.engine.connecting.connections import connect_object_store
from sightline.engine.errors import TransientError, Unreadable
from sightline.engine.serving.values import GenerationStage, KnownGeneration
from sightline.engine.settings import Settings
from sightline.infra.views.stored_fillings import filling_of
from sightline.stream_workers.reindexing.progress import ProgressRecord, ReindexProgress


def filling_lines(
    settings: Settings, generations: Iterable[KnownGeneration], now: datetime
) -> list[str]:
    """How far each re-index is, as the store tells it; no line where there is none."""
    names = [one.name for one in generations if one.stage is GenerationStage.FILLING]
    lines = []
    with closing(connect_object_store(settings)) as store:
        for name in names:
            try:
                asked = ProgressRecord.of(settings, store, name).find()
            except (TransientError, Unreadable) as error:
                lines.append(f"{name}: unknown: {error}")
            else:
                lines.append(
                    f"{name}: nobody asked for it" if asked is None else filling_line(asked, now)
                )
    return lines


def filling_line(progress: ReindexProgress, now: datetime) -> str:
    """The same of a progress that is known already, at an instant."""
    begins = f"{progress.generation} by {progress.by}"
    if progress.refused and progress.parity is not None:
        return f"{begins}: refused: {'; '.join(progress.parity.failures())}"
    ago_s = (now - progress.noted_at).total_seconds()
    waits = f", waits: {progress.trouble}" if progress.trouble else ""
    done = f" {progress.done} of {progress.total}" if progress.total else ""
    left_s = filling_of(progress).remaining_s
    left = "" if left_s is None else f", {left_s:.0f} s left of this step"
    return f"{begins}: {progress.step}{done}{left}, noted {ago_s:.0f} s ago{waits}"
