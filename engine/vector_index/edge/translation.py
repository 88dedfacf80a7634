"""Our words in the embedded engine's: configuration, conditions, operations, errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import qdrant_edge as edge

from sightline.engine.errors import DiskFull, Part, PartUnavailable, SightlineError
from sightline.engine.records import Fence, GenerationSpec, IndexedImage, TagFilter
from sightline.engine.vector_index.payload import (
    KEYWORDS,
    LISTED,
    NUMBERS,
    SEARCH_KEYWORDS,
    point_id,
    to_payload,
)

SEARCH_BREADTH = 256
"""`ef` of the graph walk: what recall hangs on (at 30,000 clustered points of inner dimension 13:
.991 with 128, .993 with 256; of 38: .945, .988). The quantised scan alone finds all 24."""
OVERSAMPLING = 2.0
_GRAPH_DEGREE = 16
_BUILD_BREADTH = 200
_FULL_SCAN_KB = 25_000
"""Filters that pass less than this are scanned: faster and exact."""
_SMALLEST_GRAPH_KB = 1_000


def shard_config(spec: GenerationSpec) -> edge.EdgeConfig:
    """How a generation's shard is built; a write-ahead log keeps what no flush has reached."""
    return edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=spec.dimensions, distance=edge.Distance.Cosine),
        hnsw_config=edge.HnswIndexConfig(
            m=_GRAPH_DEGREE,
            payload_m=_GRAPH_DEGREE,
            ef_construct=_BUILD_BREADTH,
            full_scan_threshold=_FULL_SCAN_KB,
            max_indexing_threads=1,
        ),
        quantization_config=_quantisation(spec.quantisation),
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=_SMALLEST_GRAPH_KB, default_segment_number=2
        ),
        wal_enabled=True,
    )


def _quantisation(name: str) -> edge.QuantizationConfigType | None:
    pinned = edge.Memory.Pinned
    if name == "int8":
        return edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, memory=pinned)
    if name == "binary":
        return edge.BinaryQuantizationConfig(memory=pinned)
    if name == "product":
        return edge.ProductQuantizationConfig(compression=edge.CompressionRatio.X16, memory=pinned)
    return None


def create_shard(path: Path, spec: GenerationSpec) -> None:
    """An empty shard with its payload indexes, flushed and closed."""
    path.mkdir(parents=True)
    with edge_errors("create"):
        shard = edge.EdgeShard.create(str(path), shard_config(spec))
        for name in KEYWORDS:
            params = edge.KeywordIndexParams(enable_hnsw=name in SEARCH_KEYWORDS)
            shard.update(edge.UpdateOperation.create_field_index(name, params))
        for name in NUMBERS:
            numeric = edge.IntegerIndexParams(lookup=False, range=True, enable_hnsw=False)
            shard.update(edge.UpdateOperation.create_field_index(name, numeric))
        shard.flush()
        shard.close()


def load_shard(path: Path) -> edge.EdgeShard:
    """Open a shard; never twice at once. Raises `PartUnavailable` where its files are damaged."""
    with edge_errors("open"):
        return edge.EdgeShard.load(str(path))


def upsert(images: Sequence[IndexedImage]) -> edge.UpdateOperation:
    """Write those of the images whose fence is above the stored one, in one operation."""
    points = [
        edge.Point(
            point_id(i.image_id), {} if i.vector is None else i.vector.tolist(), to_payload(i)
        )
        for i in images
    ]
    fences = edge.Filter(should=[_is_below(i) for i in images])
    return edge.UpdateOperation.upsert_points(points, condition=fences)


def _is_below(image: IndexedImage) -> edge.Filter:
    """Matches the image's point while its stored fence is below the image's."""
    fence = image.fence
    older = edge.Filter(
        should=[
            _below("version", fence.version),
            edge.Filter(must=[_equal("version", fence.version), _below("tie", fence.tie)]),
            edge.Filter(must=[*_event_equal(fence), _below("stage", fence.stage)]),
        ]
    )
    return edge.Filter(must=[edge.HasIdCondition({point_id(image.image_id)}), older])


def is_at(image: IndexedImage) -> edge.Filter:
    """Matches the image's point while its stored fence is the image's."""
    fence = image.fence
    point = edge.HasIdCondition({point_id(image.image_id)})
    return edge.Filter(must=[point, *_event_equal(fence), _equal("stage", fence.stage)])


def _event_equal(fence: Fence) -> list[edge.ConditionType]:
    return [_equal("version", fence.version), _equal("tie", fence.tie)]


def _below(name: str, value: int) -> edge.FieldCondition:
    return edge.FieldCondition(name, range=edge.RangeFloat(lt=value))


def _equal(name: str, value: int) -> edge.FieldCondition:
    return edge.FieldCondition(name, range=edge.RangeFloat(gte=value, lte=value))


def has_keyword(name: str, value: str) -> edge.FieldCondition:
    """Matches points whose keyword field holds the value."""
    return edge.FieldCondition(name, match=edge.MatchValue(value))


def visible(tags: TagFilter, exclude_ids: Sequence[str]) -> edge.Filter:
    """The filter of every search: listed, then what the caller asked for."""
    must: list[edge.ConditionType] = [has_keyword("listing", LISTED)]
    must += [has_keyword("tags", tag) for tag in tags.all_of]
    if tags.any_of:
        must.append(edge.FieldCondition("tags", match=edge.MatchAny(list(tags.any_of))))
    barred: list[edge.ConditionType] = [has_keyword("tags", tag) for tag in tags.none_of]
    if exclude_ids:
        barred.append(edge.HasIdCondition({point_id(name) for name in exclude_ids}))
    return edge.Filter(must=must, must_not=barred)


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
