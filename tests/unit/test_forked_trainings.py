"""Trainings by several processes: one goes on where another was killed, or two work at once."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from sightline.training.loop.batches import Batch, Batches
from tests.forked_trainings import (
    HEAD,
    HEAD_DIES_AT,
    leave_trainings,
    train_network,
    trainable_place,
)
from tests.forking import Forked
from tests.patience import patient
from tests.training_place import Place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A deployment with a network that can be trained."""
    with trainable_place(tmp_path_factory.mktemp("place")) as made:
        yield made


@pytest.fixture(scope="module")
def left(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what other processes left.

    They are forked from a process that has learnt nothing: torch refuses to learn in the fork of
    one that has threads for it, and which tests this one has run is not known.
    """
    folder = tmp_path_factory.mktemp("left")
    log = folder / "log"
    assert Forked(leave_trainings, str(folder), log).wait(patient(60)) == 0, log.read_text()
    place.train("head")
    return folder


@pytest.fixture(scope="module")
def undisturbed(place: Place) -> dict[str, bytes]:
    """The files of a head that nobody killed."""
    return place.train("undisturbed", learning=HEAD)


@pytest.fixture(scope="module")
def whole(place: Place, left: Path) -> dict[str, bytes]:
    """The files of a network that one process trained without a break."""
    del left  # its head is trained by then
    return train_network(place, "whole")


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that are done from here on."""
    done: list[int] = []
    draw = Batches.draw

    def drawn(self: Batches, step: int) -> Batch:
        done.append(step)
        return draw(self, step)

    monkeypatch.setattr(Batches, "draw", drawn)
    return done


@pytest.mark.parametrize("step", HEAD_DIES_AT)
def test_a_head_that_was_killed_at_any_step_is_the_same(
    step: int, left: Path, place: Place, undisturbed: dict[str, bytes], steps: list[int]
) -> None:
    """Head, curve and record, byte for byte; and only what no checkpoint held is done again."""
    copytree(left / f"killed-{step}", place.folder / f"again-{step}")
    assert place.train(f"again-{step}", learning=HEAD) == undisturbed
    assert steps == [*range(step // 20 * 20, 60)]


def test_a_network_that_was_killed_is_the_same(
    left: Path, place: Place, whole: dict[str, bytes], steps: list[int]
) -> None:
    """Weights, projection, curve and record, from the checkpoint before the kill."""
    copytree(left / "killed", place.folder / "again")
    assert train_network(place, "again") == whole
    assert steps == [3, 4, 5]


def test_two_processes_train_one_network(left: Path, whole: dict[str, bytes]) -> None:
    """Both have the same weights, which one of them writes; they begin at the loss of one alone."""
    files = {path.name: path.read_bytes() for path in (left / "two").iterdir()}
    assert sorted(files) == sorted(whole)
    assert json.loads(files["run.json"])["settings"]["backbone"]["processes"] == 2
    written = hashlib.sha256(files["weights.safetensors"]).hexdigest()
    assert [(left / f"rank-{rank}").read_text() for rank in range(2)] == [written, written]
    first, alone = (
        float(next(csv.DictReader(each["curve.csv"].decode().splitlines()))["loss"])
        for each in (files, whole)
    )
    assert first == pytest.approx(alone, rel=1e-3)
