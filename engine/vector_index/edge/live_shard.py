"""One live shard, read and written by many threads, and replaced by an optimised copy meanwhile.

The engine's `optimize` is all that builds a graph, and it holds the interpreter's lock while it
runs. So a child process optimises a copy of the flushed directory ("shadow"); then the shadow is
loaded, what was written since is replayed into it, and it takes the live shard's place.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import qdrant_edge as edge

from sightline.engine.durable_files import sync_tree
from sightline.engine.errors import DiskFull, Part, PartUnavailable
from sightline.engine.records import GenerationSpec
from sightline.engine.vector_index.edge.directory import OwnedDirectory
from sightline.engine.vector_index.edge.leased_shard import LeasedShard
from sightline.engine.vector_index.edge.shards import edge_errors
from sightline.engine.vector_index.edge.sparse_copy import copy_sparse_tree
from sightline.engine.vector_index.payload import FEATURES, VECTOR

_REPLAY_BATCH = 256
_CHECKPOINT_POINTS = 5_000
"""Written points between two flushes of the engine: bounds the replay at a start to seconds."""


class EdgeStore:
    """The live shard of one generation's directory.

    Locks are taken in this order: `_writing` (one write, checkpoint, copy or swap at a time), then
    `_switching` (which shard is live). A lease may be held while waiting for either: `retire`,
    which waits for leases, is called with neither held.
    """

    def __init__(self, directory: OwnedDirectory, live: Path, spec: GenerationSpec) -> None:
        self._directory = directory
        self._spec = spec
        self._live: LeasedShard | None = LeasedShard(live, spec)
        self._unflushed = 0
        """Points written since the last checkpoint; guarded by `_writing`."""
        self._switching = threading.Lock()
        self._writing = threading.Lock()
        self._written: set[str] | None = None
        """Points written since the shadow was copied; None while there is no shadow."""

    @contextmanager
    def reading(self, doing: str) -> Iterator[edge.EdgeShard]:
        """The live shard. Raises `PartUnavailable` after `close`."""
        with self._leased(doing) as (_, shard), edge_errors(doing):
            yield shard

    @contextmanager
    def _leased(self, doing: str) -> Iterator[tuple[LeasedShard, edge.EdgeShard]]:
        with self._switching:  # between looking it up and borrowing it, it must not retire
            live = self._live
            if live is None:
                raise PartUnavailable(Part.INDEX, f"cannot {doing}: the index is closed")
            shard = live.borrow()
        try:
            yield live, shard
        finally:
            live.give_back()

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
            self._unflushed += len(points)

    def flush(self) -> None:
        """Return when all that was written before survives a crash of the machine."""
        with self._leased("flush") as (live, _):
            self._directory.check_space()
            live.make_durable()
            self._checkpoint_if_due(live)

    def _checkpoint_if_due(self, live: LeasedShard) -> None:
        """While no write is under way: the engine would wait for it with the interpreter's lock."""
        with self._writing:
            if self._unflushed >= _CHECKPOINT_POINTS and live is self._live:
                live.checkpoint()
                self._unflushed = 0

    def unindexed(self) -> int:
        """Counts the vectors that the search graph does not cover yet."""
        with self.reading("count") as shard:
            vectors, features = (_having(shard, name) for name in (VECTOR, FEATURES))
            # The engine takes features for indexed where the vectors beside them are, and tells
            # their sum; nearly every vector has some.
            left = vectors + features - shard.info().indexed_vectors_count
            return max(0, -(-left * vectors // max(1, vectors + features)))

    def points(self) -> int:
        """Estimates how many points the shard holds, without counting them."""
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
            old = self._replace_by(shadow)
        except BaseException:
            with self._writing:
                self._written = None
            shutil.rmtree(shadow, ignore_errors=True)
            raise
        old.retire()
        shutil.rmtree(old.path, ignore_errors=True)

    def _copy(self, shadow: Path) -> None:
        with self._leased("copy") as (live, _):
            self._directory.check_space(_disk_usage(live.path))
            live.checkpoint()  # outside the lock, so that the one inside it is short
            with self._writing:
                live.checkpoint()
                self._written = set()
                try:
                    copy_sparse_tree(live.path, shadow)
                except (OSError, shutil.Error) as error:
                    raise PartUnavailable(Part.INDEX, f"cannot copy: {error}") from error

    def _replace_by(self, shadow: Path) -> LeasedShard:
        """Load the shadow and let it serve; returns the shard that no longer does."""
        fresh = LeasedShard(shadow, self._spec)
        try:
            self._catch_up(fresh)
            return self._swap(fresh)
        except BaseException:
            with suppress(PartUnavailable, DiskFull):  # what went wrong first is what is told
                fresh.retire()
            raise

    def _catch_up(self, fresh: LeasedShard) -> None:
        """Replay while writes go on: little is left for when they wait."""
        with fresh.lease() as shard:
            for _ in range(8):
                points = self._take_written()
                self._replay(shard, points)
                if len(points) <= _REPLAY_BATCH:
                    break
        fresh.checkpoint()
        sync_tree(fresh.path)  # the engine syncs what it wrote, not what was copied

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

    def _swap(self, fresh: LeasedShard) -> LeasedShard:
        with self._writing:
            with fresh.lease() as shard:
                self._replay(shard, list(self._written or ()))
            fresh.make_durable()
            with self._switching:
                if self._live is None:
                    raise PartUnavailable(Part.INDEX, "closed while it was optimised")
                self._directory.make_live(fresh.path)
                old, self._live = self._live, fresh
            self._written = None
        return old

    def close(self) -> None:
        """Flush, close and give up the directory; repeated calls do nothing."""
        with self._writing, self._switching:
            live, self._live = self._live, None
        if live is None:
            return
        try:
            live.checkpoint()
        finally:
            live.retire()
            self._directory.release()


def _having(shard: edge.EdgeShard, name: str) -> int:
    """Counts the points that have a vector of this name; none where there is no such name."""
    having = edge.Filter(must=[edge.HasVectorCondition(name)])
    return shard.count(edge.CountRequest(exact=True, filter=having))


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
