"""Our words in the embedded engine's: configuration and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import qdrant_edge as edge

from sightline.engine.records import GenerationSpec
from sightline.engine.vector_index import graph
from sightline.engine.vector_index.conditions import (
    Condition,
    Fixed,
    HasKeyword,
    HasNumber,
    HasOtherKeyword,
    IsPoint,
    LacksField,
    Where,
)
from sightline.engine.vector_index.packed_features import Packing
from sightline.engine.vector_index.payload import FEATURES, VECTOR

_SMALLEST_GRAPH_KB = 1_000
_WITHIN_THE_CALLER = 1
"""The engine holds the interpreter's lock while it searches. With more threads than this it does so
in a pool, and the lock waits until one of these gets a core: longer than the search itself takes
where the cores are busy (docs/adr/0017)."""


def shard_config(spec: GenerationSpec) -> edge.EdgeConfig:
    """How a generation's shard is built; a write-ahead log keeps what no flush has reached."""
    packing = Packing.of(spec)
    quantisation = _quantisation(spec.quantisation)
    return edge.EdgeConfig(
        vectors=_vector(spec) if packing is None else _vectors(spec, packing, quantisation),
        hnsw_config=edge.HnswIndexConfig(
            m=graph.DEGREE,
            payload_m=graph.DEGREE,
            ef_construct=graph.BUILD_BREADTH,
            full_scan_threshold=graph.FULL_SCAN_KB,
            max_indexing_threads=1,
        ),
        quantization_config=quantisation if packing is None else None,
        optimizers=edge.EdgeOptimizersConfig(
            indexing_threshold=_SMALLEST_GRAPH_KB, default_segment_number=2
        ),
        max_search_threads=_WITHIN_THE_CALLER,
        wal_enabled=True,
    )


def _vector(
    spec: GenerationSpec, quantisation: edge.QuantizationConfigType | None = None
) -> edge.EdgeVectorParams:
    return edge.EdgeVectorParams(
        size=spec.dimensions, distance=edge.Distance.Cosine, quantization_config=quantisation
    )


def _vectors(
    spec: GenerationSpec, packing: Packing, quantisation: edge.QuantizationConfigType | None
) -> dict[str, edge.EdgeVectorParams]:
    """The vector that is searched, and beside it bytes: on disk, in no graph, not quantised."""
    features = edge.EdgeVectorParams(
        size=packing.width,
        distance=edge.Distance.Dot,  # never asked for; the one that changes no number
        datatype=edge.VectorStorageDatatype.Uint8,
        memory=edge.Memory.Cold,
        hnsw_config=edge.HnswIndexConfig(
            m=0,
            payload_m=0,
            ef_construct=graph.BUILD_BREADTH,
            full_scan_threshold=graph.FULL_SCAN_KB,
        ),
    )
    return {VECTOR: _vector(spec, quantisation), FEATURES: features}


def _quantisation(name: str) -> edge.QuantizationConfigType | None:
    pinned = edge.Memory.Pinned
    if name == "int8":
        return edge.ScalarQuantizationConfig(type=edge.ScalarType.Int8, memory=pinned)
    if name == "binary":
        return edge.BinaryQuantizationConfig(memory=pinned)
    if name == "product":
        return edge.ProductQuantizationConfig(compression=edge.CompressionRatio.X16, memory=pinned)
    return None


@cache
def search_params(*, exact: bool) -> edge.SearchParams:
    """Exact reads every original vector; else the graph, then rescoring with originals."""
    if exact:
        return edge.SearchParams(
            exact=True, quantization=edge.QuantizationSearchParams(ignore=True)
        )
    rescoring = edge.QuantizationSearchParams(rescore=True, oversampling=graph.OVERSAMPLING)
    return edge.SearchParams(hnsw_ef=graph.SEARCH_BREADTH, quantization=rescoring)


def to_filter(where: Where) -> edge.Filter:
    """The condition as the engine takes it."""
    return edge.Filter(
        must=_conditions(where.must),
        should=_conditions(where.should),
        must_not=_conditions(where.must_not),
    )


def _conditions(ours: Sequence[Condition]) -> list[edge.ConditionType] | None:
    return [_condition(condition) for condition in ours] or None


def _condition(ours: Condition) -> edge.ConditionType:
    match ours:
        case Where() | Fixed():
            return _translated(ours) if isinstance(ours, Fixed) else to_filter(ours)
        case IsPoint(points):
            return edge.HasIdCondition(set(points))
        case HasKeyword(field, values):
            return edge.FieldCondition(field, match=_one_of(values))
        case HasOtherKeyword(field, values):
            return edge.FieldCondition(field, match=edge.MatchExcept(list(values)))
        case HasNumber(field, at_least, at_most, below):
            bounds = edge.RangeFloat(gte=at_least, lte=at_most, lt=below)
            return edge.FieldCondition(field, range=bounds)
        case LacksField(field):
            return edge.IsEmptyCondition(field)


@cache
def _translated(ours: Fixed) -> edge.Filter:
    return to_filter(ours.where)


def _one_of(values: Sequence[str]) -> edge.MatchValue | edge.MatchAny:
    return edge.MatchValue(values[0]) if len(values) == 1 else edge.MatchAny(list(values))
