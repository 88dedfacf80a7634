"""When the embedded index builds its graph, in a child process (`optimise_shard`)."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from sightline.engine.errors import DiskFull, Part, PartUnavailable
from sightline.engine.vector_index.edge import optimise_shard
from sightline.engine.vector_index.edge.live_shard import EdgeStore

_log = logging.getLogger(__name__)

_GROWTH = 0.1
"""Unindexed share of the points from which a rebuild pays: scanning 10 % costs less than the graph
of the rest, and the builds of a growing index add up to a constant number per point."""


class Optimiser:
    """Builds the graph in the background after enough writes; one per open generation."""

    def __init__(self, store: EdgeStore, *, optimise_after: int) -> None:
        self._store = store
        self._optimise_after = optimise_after
        self._since = 0
        self._wake = threading.Condition()
        self._busy = False
        self._stopping = False
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="index-optimiser", daemon=True)
        self._thread.start()

    def wrote(self, points: int) -> None:
        """Count what was written; the thread wakes when it may be enough."""
        with self._wake:
            self._since += points
            if self._since >= self._optimise_after:
                self._wake.notify_all()

    def wait_idle(self, timeout_s: float) -> bool:
        """Whether, within the time, nothing is being built and nothing is due."""
        with self._wake:
            return self._wake.wait_for(self._is_idle, timeout_s)

    def stop(self) -> None:
        """Kill a child at work, keep the live shard as it is; repeated calls do nothing."""
        with self._wake:
            self._stopping = True
            if self._child is not None:
                self._child.kill()
            self._wake.notify_all()
        self._thread.join()

    def _is_idle(self) -> bool:
        return not self._busy and self._since < self._optimise_after

    def _run(self) -> None:
        while self._await_work():
            try:
                self._optimise_if_due()
            except (PartUnavailable, DiskFull, OSError) as error:
                if not self._stopping:
                    _log.warning("the index could not be optimised: %s", error)
            finally:
                with self._wake:
                    self._busy = False
                    self._wake.notify_all()

    def _await_work(self) -> bool:
        with self._wake:
            self._wake.wait_for(lambda: self._stopping or self._since >= self._optimise_after)
            self._busy, self._since = not self._stopping, 0
            return not self._stopping

    def _optimise_if_due(self) -> None:
        unindexed = self._store.unindexed()
        due = max(self._optimise_after, int(_GROWTH * self._store.points()))
        if unindexed < due:
            with self._wake:
                self._since += max(0, unindexed - due + self._optimise_after)
            return
        self._store.replace_by(self._in_a_child)
        _log.info("the index was optimised", extra={"vectors": unindexed})

    def _in_a_child(self, shard: Path) -> None:
        command = [sys.executable, "-m", optimise_shard.__name__, str(shard), str(os.getpid())]
        with self._wake:
            if self._stopping:
                raise PartUnavailable(Part.INDEX, "stopping")
            self._child = subprocess.Popen(  # noqa: S603 - our own module, no shell
                command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        _, complaint = self._child.communicate()
        with self._wake:
            child, self._child = self._child, None
        if child.returncode != 0:
            tail = complaint.decode(errors="replace").strip().splitlines()[-1:]
            raise PartUnavailable(Part.INDEX, f"optimiser exited {child.returncode}: {tail}")
