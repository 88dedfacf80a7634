"""What `sightline reindex` asks for where the model has a generation that may serve."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Literal

import pytest

from sightline.engine.errors import Conflict
from sightline.infra.commands.reindex import ReindexCommands, Wish
from sightline.stream_workers.reindexing.progress import (
    FillingStep,
    ProgressRecord,
    ReindexProgress,
)
from tests.indexed_images import NOON
from tests.unit.test_reindexing import parity
from tests.unit.test_serving_wiring import CLICKS, Deployment, loaded

__all__ = ["loaded"]
DIGEST = "sha256:" + b"aaaaaaaa".hex()
OWN = f"g-{b'aaaaaaaa'.hex()}"


def filled(tmp_path: Path, by: Literal["features", "bytes"]) -> ReindexCommands:
    """The commands of a deployment whose generation of the model was filled and is ready."""
    place = Deployment(tmp_path)
    _, first, _ = place.start()
    place.add(OWN, CLICKS, DIGEST, serves=False)
    asked = ReindexProgress(
        generation=OWN,
        by=by,
        seeded_from=first,
        asked_at=NOON,
        step=FillingStep.READY,
        step_began_at=NOON,
        noted_at=NOON,
        parity=parity(passed=True),
    )
    ProgressRecord.of(place.settings(), place.store, OWN).ask(asked)
    return ReindexCommands(place.settings(), place.store)


def test_one_that_became_ready_meanwhile_is_shown_and_not_refused(tmp_path: Path) -> None:
    """The same command again, as after Ctrl-C or a crash, ends as the first would have."""
    commands = filled(tmp_path, "features")
    asked = commands.ask(Wish(model=CLICKS))
    assert (asked.generation, asked.step) == (OWN, FillingStep.READY)
    assert list(commands.watch(OWN, threading.Event(), every_s=0)) == [asked]


def test_one_that_was_filled_otherwise_than_wished_is_told(tmp_path: Path) -> None:
    """Nobody takes vectors from kept features for ones from pictures."""
    commands = filled(tmp_path, "features")
    with pytest.raises(Conflict, match=f"sightline switch {OWN}"):
        commands.ask(Wish(model=CLICKS, by="bytes"))
