"""One deployment's settings in, what its own commands say and write there out."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sightline.engine.label_data.triple_table import HeldTriples, read_held
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.local.node_process import environment_of
from sightline.training.loop.run_folder import HEAD, RECORD, read_record

MODEL, RUN = "shop", "run"
"""The run's folder by its name alone, since a model's lineage tells where it lay."""
_COMMAND = (sys.executable, "-m", "sightline.infra.cli")


@dataclass(frozen=True)
class Learnt:
    """What was read and learnt, on one of the two ways."""

    held: HeldTriples
    run: Path
    digest: str
    """Of the model in the registry."""

    def sha256(self, file: str) -> str:
        """Of a file of the run."""
        return hashlib.sha256((self.run / file).read_bytes()).hexdigest()

    def differing(self, other: Learnt) -> list[str]:
        """Names what the two ways do not have in common."""
        same = {
            "triples": self.held.table.equals(other.held.table),
            "ends of partitions": self.held.ends == other.held.ends,
            HEAD: self.sha256(HEAD) == other.sha256(HEAD),
            RECORD: read_record(self.run) == read_record(other.run),
            "digest": self.digest == other.digest,
        }
        return [name for name, alike in same.items() if not alike]


@dataclass(frozen=True)
class Way:
    """One deployment's settings, and where its commands run."""

    settings: Settings
    folder: Path
    training: tuple[str, ...] = ()
    """Options of `train`."""

    @property
    def partitions(self) -> int:
        """Of each of its topics."""
        return self.settings.kafka.partitions or 1

    def run(self, *arguments: str) -> str:
        """A command to its end; what it says.

        Raises:
            RuntimeError: it failed.
        """
        ended = subprocess.run(  # noqa: S603 - our own commands
            [*_COMMAND, *arguments],
            env=self._environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"{arguments}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    @contextmanager
    def running(self, *arguments: str) -> Iterator[None]:
        """A command that runs until the block ends."""
        with (self.folder / f"{arguments[0]}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - our own commands
                [*_COMMAND, *arguments], env=self._environment(), stdout=log, stderr=log
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def timed(self, *arguments: str) -> tuple[str, str]:
        """As `run`; what it says, and what it took."""
        before, began = os.times(), time.monotonic()
        said = self.run(*arguments)
        after, took = os.times(), time.monotonic() - began
        cpu = sum(after[2:4]) - sum(before[2:4])
        return said, f"{took:.0f} s, {cpu:.0f} s of CPU"

    def learnt(self, store: ObjectStore) -> Learnt:
        """What `train` makes of the bucket, and the registry of that."""
        self.run("train", RUN, *self.training)
        said = self.run("models", "release", MODEL, RUN)
        (digest,) = re.findall(rf"{MODEL}@([0-9a-f]+)", said)[:1]
        held = read_held(store, self.settings.store.bucket)
        return Learnt(held, self.folder / RUN, digest)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **environment_of(self.settings), "COLUMNS": "160"}
