"""What a person sees of a long training: bars on a terminal, and TensorBoard's curves."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto import event_pb2

from sightline.engine.errors import SettingsInvalid
from sightline.infra.reporting.progress import bar
from sightline.training.loop.events import need_tensorboard, write_events
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.training import Curve, train_head
from sightline.training.tracking import Item
from tests.learning import world


@dataclass
class Seen:
    """A `Track` that remembers how much went through."""

    told: list[tuple[str, int]] = field(default_factory=list)
    through: int = 0

    def __call__(self, items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        """Count the items."""
        self.told.append((what, total))
        for item in items:
            yield item
            self.through += 1


class Terminal(StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Whether somebody looks on."""
        return True


def test_a_training_tells_how_far_it_is(tmp_path: Path) -> None:
    """By its checkpoints; one that is over has nothing left to show."""
    seen, small = Seen(), world(kinds=3, each=5, clicks=30)
    settings = HeadSettings(steps=7, batch=4, corpus=4, checkpoint_every=3)
    for _ in range(2):
        checkpoint = tmp_path / "checkpoint.safetensors"
        train_head(
            small.pairs, small.features, small.start, settings, checkpoint=checkpoint, track=seen
        )
    assert (seen.told, seen.through) == ([("3 steps each", 3), ("3 steps each", 0)], 3)


@pytest.mark.parametrize("stream", [StringIO(), Terminal()], ids=["file", "terminal"])
def test_bars_are_for_terminals(stream: StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """Items go through alike; a log file or a pipe gets nothing."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    assert list(bar("abc", "letters", 3)) == ["a", "b", "c"]
    assert ("letters" in stream.getvalue()) == stream.isatty()


def test_the_curve_as_tensorboard_reads_it(tmp_path: Path) -> None:
    """Each step's loss and share, from step 1."""
    curve = Curve(losses=np.array([3.0, 2.5], np.float32), masked=np.array([0.5, 0.25], np.float32))
    write_events(tmp_path, curve)
    (file,) = tmp_path.iterdir()
    events = [event_pb2.Event.FromString(raw) for raw in RawEventFileLoader(str(file)).Load()]
    told = {(v.tag, e.step): v.simple_value for e in events for v in e.summary.value}
    expected = {("loss", 1): 3.0, ("loss", 2): 2.5, ("masked", 1): 0.5, ("masked", 2): 0.25}
    assert told == expected


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the training, not after it."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsInvalid, match=r"sightline-search\[tensorboard\]"):
        need_tensorboard()
