"""The loop, unattended: clicks, training, gate, release, re-index, switch; and once more.

What learns, decides and switches are the commands that an operator has, run as they are. A model
that the gate does not release stays out of service, and the next round learns from more clicks.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from rich.console import Console
from rich.table import Table

from sightline.engine.connecting.connections import open_object_store
from sightline.engine.connecting.serving_model import as_serving
from sightline.engine.errors import SightlineError
from sightline.engine.label_data.triple_table import read_held
from sightline.engine.settings import Settings
from sightline.infra.commands.learning.evaluate import SERVING, candidate
from sightline.infra.commands.learning.photo_set import PhotoSet
from sightline.infra.demo.lesson import Lesson
from sightline.infra.demo.people import Feedback, let_people_teach, true_labels
from sightline.infra.local.node_process import environment_of

NAME = "learned"
"""What the models are called in the registry."""
RELEASED = "verdict: released"
ROUNDS = 2
VISITS = 3
"""How often each picture is a query in a round; pictures of silent labels never are."""
_SINK_PATIENCE_S = 60.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredModel:
    """How good the model is that serves, by labels that no training sees."""

    model: str
    clicked: float
    """Mean average precision of query pictures whose labels people ask for."""
    silent: float
    """Mean average precision of query pictures whose labels nobody asks for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one turn of the loop did; times in seconds."""

    feedback: Feedback
    verdict: str
    """The gate's last word; the model that serves is another one only after `released`."""
    after: MeasuredModel
    clicking_s: float
    learning_s: float
    """Training, gate, release, re-index and switch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """One stack that runs, what its people ask for, and what judges its models."""

    settings: Settings
    url: str
    lesson: Lesson
    folder: Path
    """Where runs are written."""
    console: Console
    stop: threading.Event
    """Ends it early."""

    def run(self) -> None:
        """Turn it twice, and print what came of it.

        Raises:
            SightlineError: a command failed, or clicks made no triple.
        """
        photos = PhotoSet(self.lesson.judges, self.settings.embedder)
        first, rounds = self.measured(photos), list[Round]()
        while len(rounds) < ROUNDS and not self.stop.is_set():
            done = self._round(photos, len(rounds) + 1)
            if done is not None:
                rounds.append(done)
        if not self.stop.is_set():
            self.console.print(loop_table(first, rounds))

    def measured(self, photos: PhotoSet) -> MeasuredModel:
        """Search the query pictures among the gallery pictures with the model that serves."""
        found = candidate(self.settings, SERVING, strength=1)
        precision = photos.scores(found).average_precision
        asked = np.isin(photos.labels, self.lesson.clicked)
        return MeasuredModel(
            model=as_serving(self.settings).embedder.model.removeprefix("registry:"),
            clicked=float(precision[asked].mean()),
            silent=float(precision[~asked].mean()),
        )

    def _round(self, photos: PhotoSet, number: int) -> Round | None:
        started = time.monotonic()
        feedback = self._clicks(number)
        if self.stop.is_set():
            return None
        if not feedback.triples:
            raise SightlineError("people clicked, and no triple came of it")
        clicked = time.monotonic()
        verdict = self._learn(number)
        if self.stop.is_set():
            return None
        learnt = time.monotonic()
        return Round(
            feedback=feedback,
            verdict=verdict,
            after=self.measured(photos),
            clicking_s=clicked - started,
            learning_s=learnt - clicked,
        )

    def _clicks(self, number: int) -> Feedback:
        labels = true_labels(self.lesson.site)
        asked = {image for image, label in labels.items() if label in self.lesson.clicked}
        anchors = sorted(asked) * VISITS
        Random(number).shuffle(anchors)  # noqa: S311 - a simulation
        told = f"round {number}: {len(anchors)} searches, and clicks on what they show"
        with self.console.status(told):
            feedback = let_people_teach(
                self.settings, self.url, labels, anchors, self.stop, seed=number
            )
            self._wait_for_sink(feedback.triples)
        self.console.print(
            f"round {number}: {feedback.searches} searches, {feedback.clicked} clicked of "
            f"{feedback.shown} shown, {feedback.triples} triples so far"
        )
        return feedback

    def _wait_for_sink(self, triples: int) -> None:
        """Training reads what the sink wrote; what is not there in time waits for the next."""
        bucket, deadline = self.settings.store.bucket, time.monotonic() + _SINK_PATIENCE_S
        with closing(open_object_store(self.settings)) as store:
            while time.monotonic() < deadline and not self.stop.wait(_POLL_S):
                if read_held(store, bucket).table.num_rows >= triples:
                    return

    def _learn(self, number: int) -> str:
        """Train, let the gate decide and, where it releases, let the model serve."""
        run = self.folder / f"round-{number}"
        self._said("train", str(run), "--seed", str(number))
        released = self._ran("models", "release", NAME, str(run), *self._truth())
        lines = (released.stdout + released.stderr).splitlines()
        verdict = next((line for line in lines if line.startswith("verdict")), None)
        held_back = verdict not in {None, RELEASED}
        if released.returncode and not held_back and not self.stop.is_set():
            raise SightlineError(f"models release failed: {' '.join(lines)[-300:]}")
        if not released.returncode:
            self._said("reindex", NAME, "--switch")
        return (verdict or RELEASED).removeprefix("verdict: ")

    def _truth(self) -> list[str]:
        if not self.lesson.judged_by_labels:
            return ["--truth", "clicks"]
        asked = self.folder / "asked.txt"
        asked.write_text("".join(f"{label}\n" for label in self.lesson.clicked))
        return ["--photos", str(self.lesson.judges), "--clicked", str(asked)]

    def _said(self, *words: str) -> None:
        ended = self._ran(*words)
        if ended.returncode and not self.stop.is_set():
            raise SightlineError(f"sightline {words[0]}: {ended.stderr.strip()[-300:]}")

    def _ran(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `sightline` and show what it prints; none once the demo is to end."""
        if self.stop.is_set():
            return subprocess.CompletedProcess(words, 1, "", "")
        self.console.print(f"$ sightline {' '.join(words)}", style="bold", markup=False)
        with self.console.status(words[0]):
            ended = subprocess.run(  # noqa: S603 - our own interpreter and words
                [sys.executable, "-m", "sightline.infra.cli", *words],
                env=os.environ | environment_of(self.settings),
                capture_output=True,
                text=True,
                check=False,
            )
        for line in (ended.stdout + ended.stderr).splitlines():
            self.console.print(f"  {line}", style="dim", markup=False, highlight=False)
        return ended


def loop_table(first: MeasuredModel, rounds: Sequence[Round]) -> Table:
    """Builds the table of what the loop did to the model, round by round."""
    table = Table(title="What the clicks taught", title_justify="left")
    for column in (
        "after",
        "model that serves",
        "triples",
        "the gate",
        "mAP, asked for",
        "mAP, never asked for",
        "CTR",
        "clicks, s",
        "learning, s",
    ):
        table.add_column(column)
    table.add_row("start", first.model, "", "", f"{first.clicked:.3f}", f"{first.silent:.3f}")
    for number, done in enumerate(rounds, 1):
        name, _, digest = done.after.model.partition("@")
        table.add_row(
            f"round {number}",
            f"{name}@{digest[:8]}" if digest else name,
            f"{done.feedback.triples}",
            done.verdict,
            f"{done.after.clicked:.3f}",
            f"{done.after.silent:.3f}",
            f"{done.feedback.ctr:.3f}",
            f"{done.clicking_s:.0f}",
            f"{done.learning_s:.0f}",
        )
    return table
