"""One live shard, read and written by many threads, and replaced by an optimised copy meanwhile.

The engine's `optimize` is all that builds a graph, and it holds the interpreter's lock while it
runs. So a child process optimises a copy of the flushed directory ("shadow"); then the shadow is
loaded, what was written since is replayed into it, and it takes the live shard's place.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as edge
from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.index_directory import OwnedDirectory, sync_directory
from sightline.engine.vector_index_edge_shard import edge_errors, load_shard

_REPLAY_BATCH = 256
_VECTOR = ""
"""The engine's name of the unnamed vector."""


class LeasedShard:
    """A shard that closes only when the last reader has let go."""

    def __init__(self, shard: edge.EdgeShard) -> None:
        self._shard = shard
        self._readers = 0
        self._changed = threading.Condition()

    @contextmanager
    def lease(self) -> Iterator[edge.EdgeShard]:
        """The shard, sure to stay open within the block."""
        with self._changed:
            self._readers += 1
        try:
            yield self._shard
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    def retire(self) -> None:
        """Wait for the readers, then close; nobody may lease it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._readers == 0)
        with edge_errors("close"):
            self._shard.close()


class EdgeStore:
    """The live shard of one generation's directory."""

    def __init__(self, directory: OwnedDirectory, live: Path) -> None:
        self._directory = directory
        self._path = live
        self._live: LeasedShard | None = LeasedShard(load_shard(live))
        self._switching = threading.Lock()
        self._writing = threading.Lock()
        self._written: set[str] | None = None
        """Points written since the shadow was copied; None while there is no shadow."""

    @contextmanager
    def reading(self, doing: str) -> Iterator[edge.EdgeShard]:
        """The live shard. Raises `PartUnavailable` after `close`."""
        with self._switching:
            live = self._live
            if live is None:
                raise PartUnavailable(Part.INDEX, f"cannot {doing}: the index is closed")
            leased = live.lease()
            shard = leased.__enter__()
        try:
            with edge_errors(doing):
                yield shard
        finally:
            leased.__exit__(None, None, None)

    def write(self, operation: edge.UpdateOperation, points: Collection[str]) -> None:
        """Apply one operation that touches no other than these points.

        Raises:
            DiskFull: nothing was written.
            PartUnavailable: it may be half applied.
        """
        self._directory.check_space()
        with self._writing, self.reading("write") as shard:
            if self._written is not None:
                self._written.update(points)
            shard.update(operation)

    def flush(self) -> None:
        """Return when all that was written before survives a crash of the machine."""
        with self.reading("flush") as shard:
            self._directory.check_space()
            shard.flush()

    def unindexed(self) -> int:
        """Vectors that no graph covers yet."""
        with self.reading("count") as shard:
            having = edge.Filter(must=[edge.HasVectorCondition(_VECTOR)])
            vectors = shard.count(edge.CountRequest(exact=True, filter=having))
            return max(0, vectors - shard.info().indexed_vectors_count)

    def points(self) -> int:
        """Stored points, an estimate."""
        with self.reading("count") as shard:
            return shard.info().points_count

    def replace_by(self, optimise: Callable[[Path], None]) -> None:
        """Let `optimise` work on a copy, then put the copy in the live shard's place.

        Searches and writes go on, but for the copying (writes wait) and the last replay.

        Raises:
            PartUnavailable, DiskFull: the live shard goes on as it was.
        """
        shadow = self._directory.next_shard()
        try:
            self._copy(shadow)
            optimise(shadow)
            fresh = load_shard(shadow)
            self._catch_up(fresh)
            old, old_path = self._swap(fresh, shadow)
        except BaseException:
            with self._writing:
                self._written = None
            shutil.rmtree(shadow, ignore_errors=True)
            raise
        old.retire()
        shutil.rmtree(old_path, ignore_errors=True)

    def _copy(self, shadow: Path) -> None:
        self._directory.check_space(_disk_usage(self._path))
        self.flush()  # outside the lock, so that the flush inside it is short
        with self._writing:
            self.flush()
            self._written = set()
            try:
                shutil.copytree(self._path, shadow)
            except (OSError, shutil.Error) as error:
                raise PartUnavailable(Part.INDEX, f"cannot copy the shard: {error}") from error

    def _catch_up(self, fresh: edge.EdgeShard) -> None:
        """Replay while writes go on, until little is left for the moment when they wait."""
        for _ in range(8):
            points = self._take_written()
            self._replay(fresh, points)
            if len(points) <= _REPLAY_BATCH:
                break
        with edge_errors("flush"):
            fresh.flush()

    def _take_written(self) -> list[str]:
        with self._writing:
            points = list(self._written or ())
            self._written = set()
            return points

    def _replay(self, fresh: edge.EdgeShard, points: list[str]) -> None:
        for start in range(0, len(points), _REPLAY_BATCH):
            batch = points[start : start + _REPLAY_BATCH]
            with self.reading("replay") as live:
                _copy_points(live, fresh, batch)

    def _swap(self, fresh: edge.EdgeShard, shadow: Path) -> tuple[LeasedShard, Path]:
        with self._writing:
            self._replay(fresh, list(self._written or ()))
            with edge_errors("flush"):
                fresh.flush()
            sync_directory(shadow)
            with self._switching:
                if self._live is None:
                    raise PartUnavailable(Part.INDEX, "closed while it was optimised")
                self._directory.make_live(shadow)
                old, self._live = self._live, LeasedShard(fresh)
            old_path, self._path = self._path, shadow
            self._written = None
        return old, old_path

    def close(self) -> None:
        """Flush, close and give up the directory; repeated calls do nothing."""
        with self._writing, self._switching:
            live, self._live = self._live, None
        if live is None:
            return
        try:
            with live.lease() as shard, edge_errors("flush"):
                shard.flush()
        finally:
            live.retire()
            self._directory.release()


def _copy_points(source: edge.EdgeShard, target: edge.EdgeShard, points: list[str]) -> None:
    records = source.retrieve(list(points), with_payload=True, with_vector=True)
    found = {str(record.id) for record in records}
    gone: list[edge.PointId] = [point for point in points if point not in found]
    copies = [edge.Point(r.id, r.vector or {}, r.payload) for r in records]
    if copies:
        target.update(edge.UpdateOperation.upsert_points(copies))
    if gone:
        target.update(edge.UpdateOperation.delete_points(gone))


def _disk_usage(path: Path) -> int:
    """Bytes that a copy may take; the files are sparse, so less than their sizes add up to."""
    return sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
