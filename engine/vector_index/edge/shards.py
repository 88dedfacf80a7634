"""A shard on the disk: made, opened, its payload indexes; and the engine's errors in our words."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as edge

from sightline.engine.errors import DiskFull, Part, PartUnavailable, SightlineError
from sightline.engine.records import GenerationSpec
from sightline.engine.vector_index.edge.translation import shard_config, to_filter
from sightline.engine.vector_index.payload import (
    KEYWORDS,
    NUMBERS,
    SEARCH_KEYWORDS,
    SEARCHABLE,
    SHOWN,
)
from sightline.engine.vector_index.read_conditions import WAS_LISTED


def create_shard(path: Path, spec: GenerationSpec) -> None:
    """An empty shard with its payload indexes, flushed and closed."""
    path.mkdir(parents=True)
    with edge_errors("create"):
        shard = edge.EdgeShard.create(str(path), shard_config(spec))
        _index_fields(shard)
        shard.flush()
        shard.close()


def load_shard(path: Path, spec: GenerationSpec) -> edge.EdgeShard:
    """Open a shard, as this release configures it; never twice at once.

    Raises:
        PartUnavailable: its files are damaged.
    """
    with edge_errors("open"):
        shard = edge.EdgeShard.load(str(path), shard_config(spec))
        _index_fields(shard)
        return shard


def _index_fields(shard: edge.EdgeShard) -> None:
    """Make the payload indexes that are missing: an older release did not know all of them."""
    known = shard.info().payload_schema
    if SEARCHABLE not in known:
        say = edge.UpdateOperation.set_payload_by_filter(to_filter(WAS_LISTED), {SEARCHABLE: SHOWN})
        shard.update(say)
    for name in KEYWORDS:
        if name not in known:
            params = edge.KeywordIndexParams(enable_hnsw=name in SEARCH_KEYWORDS)
            shard.update(edge.UpdateOperation.create_field_index(name, params))
    for name in NUMBERS:
        if name not in known:
            numeric = edge.IntegerIndexParams(lookup=False, range=True, enable_hnsw=False)
            shard.update(edge.UpdateOperation.create_field_index(name, numeric))


@contextmanager
def edge_errors(doing: str) -> Iterator[None]:
    """Map the engine's errors: `DiskFull` where it says so, else `PartUnavailable`."""
    try:
        yield
    except SightlineError:
        raise
    except Exception as error:  # the binding raises bare `Exception` for all it reports
        text = str(error)
        if "No space left" in text or f"os error {errno.ENOSPC}" in text:
            raise DiskFull(f"index: no space left to {doing}; free some and start again") from error
        raise PartUnavailable(Part.INDEX, f"{doing} failed: {text}") from error
