"""The vector index in this process, on the embedded engine (`qdrant-edge-py` 0.9.0)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sightline.engine.durable_files import sync_tree, write_atomically
from sightline.engine.errors import NotFound
from sightline.engine.private_files import make_private_folders
from sightline.engine.records import GenerationSpec
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.edge.directory import (
    OwnedDirectory,
    read_current,
    read_json,
    write_current,
)
from sightline.engine.vector_index.edge.live_shard import EdgeStore
from sightline.engine.vector_index.edge.points import EdgePoints
from sightline.engine.vector_index.edge.shards import create_shard, edge_errors
from sightline.engine.vector_index.generations import check_name, open_serving
from sightline.engine.vector_index.payload import spec_from_json, spec_to_json
from sightline.engine.vector_index.point_index import PointIndex

_SPEC = "spec.json"


class EdgeVectorIndex(PointIndex):
    """`VectorIndex` on a directory that this process owns alone.

    A write is searchable when `apply` returns, durable when `flush` returns. The graph is built
    in a child process after every `optimise_after` unindexed points; searches before that scan.
    A write that finds too little room raises `DiskFull`, and nothing was written.
    """

    def __init__(self, store: EdgeStore, spec: GenerationSpec, *, optimise_after: int) -> None:
        super().__init__(EdgePoints(store, spec, optimise_after=optimise_after), spec)
        self._store = store

    @classmethod
    def open(
        cls, directory: Path, spec: GenerationSpec, settings: IndexSettings
    ) -> EdgeVectorIndex:
        """The generation that serves in `directory`, made from `spec` where there is none.

        Raises:
            GenerationMismatch: another model made it.
            IndexOwned: another process has it open.
            DiskFull: there is too little room to work.
        """
        return open_serving(EdgeGenerations(directory, settings), spec)

    def unindexed(self) -> int:
        """Vectors that are scanned, not yet found through the graph; for metrics."""
        return self._store.unindexed()


class EdgeGenerations:
    """The generations under one directory; see `generations.Generations`."""

    def __init__(self, directory: Path, settings: IndexSettings) -> None:
        self._directory = directory
        self._settings = settings

    def current(self) -> str | None:
        """Name of the generation that serves; None before the first."""
        with edge_errors("read which generation serves"):
            return read_current(self._directory)

    def names(self) -> list[str]:
        """Lists the names of the generations that are on the disk, sorted."""
        return sorted(path.parent.name for path in self._directory.glob(f"*/{_SPEC}"))

    def spec(self, name: str) -> GenerationSpec | None:
        """What the generation records; None if there is no such one."""
        with edge_errors(f"read what generation {name} was made with"):
            stored = read_json(self._directory / name / _SPEC)
        return None if stored is None else spec_from_json(stored)

    def create(self, spec: GenerationSpec) -> None:
        """Make it, empty; what is already there stays."""
        path = self._directory / check_name(spec.name)
        with edge_errors(f"make generation {spec.name}"):
            make_private_folders(path)
            owned = OwnedDirectory(path, reserve_bytes=self._settings.reserve_bytes)
            try:
                self._fill(owned, spec)
            finally:
                owned.release()

    def _fill(self, owned: OwnedDirectory, spec: GenerationSpec) -> None:
        owned.check_space()
        if owned.live() is None:
            shard = owned.next_shard()
            create_shard(shard, spec)
            sync_tree(shard)
            owned.make_live(shard)
        if self.spec(spec.name) is None:
            write_atomically(owned.path / _SPEC, _to_text(spec))

    def open(self, name: str) -> EdgeVectorIndex:
        """Open an existing one.

        Raises:
            NotFound: there is no such generation.
            IndexOwned: another process has it open.
            DiskFull: there is too little room to work.
        """
        spec = self.spec(name)
        if spec is None:
            raise NotFound(f"index: no generation {name!r} under {self._directory}")
        with edge_errors(f"open generation {name}"):
            path = self._directory / name
            owned = OwnedDirectory(path, reserve_bytes=self._settings.reserve_bytes)
            try:
                owned.check_space()
                store = EdgeStore(owned, _live_shard(owned), spec)
            except BaseException:
                owned.release()
                raise
        return EdgeVectorIndex(store, spec, optimise_after=self._settings.optimise_after)

    def switch(self, name: str) -> None:
        """Let this one serve from now on, atomically; processes see it at their next start."""
        if self.spec(name) is None:
            raise NotFound(f"index: no generation {name!r} under {self._directory}")
        with edge_errors(f"let generation {name} serve"):
            write_current(self._directory, name)

    def remove(self, name: str) -> None:
        """Delete one that neither serves nor is open; an unknown name is fine."""
        path = self._directory / check_name(name)
        if not path.is_dir():
            return
        with edge_errors(f"remove generation {name}"):
            owned = OwnedDirectory(path, reserve_bytes=1)
            try:
                shutil.rmtree(path)
            finally:
                owned.release()

    def close(self) -> None:
        """Nothing to let go of: each opened generation owns its directory itself."""


def _live_shard(owned: OwnedDirectory) -> Path:
    live = owned.live()
    if live is None:
        raise NotFound(f"index: {owned.path} has no shard; it was never finished")
    return live


def _to_text(spec: GenerationSpec) -> str:
    return json.dumps(spec_to_json(spec), indent=2)
