"""Our words in the Qdrant server's: configuration and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from qdrant_client import models

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
from sightline.engine.vector_index.payload import FEATURES, SEARCH_KEYWORDS, VECTOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def collection_config(spec: GenerationSpec) -> dict[str, Any]:
    """How a generation's collection is built: quantised in memory, originals on disk to rescore.

    `indexed_only` and `prevent_unoptimized` stay off: they hide points that were just written.
    """
    packing = Packing.of(spec)
    quantisation = _quantisation(spec.quantisation)
    return {
        "vectors_config": (
            _vector(spec) if packing is None else _vectors(spec, packing, quantisation)
        ),
        "hnsw_config": models.HnswConfigDiff(
            m=graph.DEGREE,
            payload_m=graph.DEGREE,
            ef_construct=graph.BUILD_BREADTH,
            full_scan_threshold=graph.FULL_SCAN_KB,
        ),
        "quantization_config": quantisation if packing is None else None,
    }


def _vector(
    spec: GenerationSpec, quantisation: models.QuantizationConfig | None = None
) -> models.VectorParams:
    return models.VectorParams(
        size=spec.dimensions,
        distance=models.Distance.COSINE,
        on_disk=True,
        quantization_config=quantisation,
    )


def _vectors(
    spec: GenerationSpec, packing: Packing, quantisation: models.QuantizationConfig | None
) -> dict[str, models.VectorParams]:
    """The vector that is searched, and beside it bytes: on disk, in no graph, not quantised."""
    features = models.VectorParams(
        size=packing.width,
        distance=models.Distance.DOT,  # never asked for; the one that changes no number
        datatype=models.Datatype.UINT8,
        on_disk=True,
        hnsw_config=models.HnswConfigDiff(m=0, payload_m=0),
    )
    return {VECTOR: _vector(spec, quantisation), FEATURES: features}


def _quantisation(name: str) -> models.QuantizationConfig | None:
    if name == "int8":
        int8 = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
        return models.ScalarQuantization(scalar=int8)
    if name == "binary":
        binary = models.BinaryQuantizationConfig(always_ram=True)
        return models.BinaryQuantization(binary=binary)
    if name == "product":
        product = models.ProductQuantizationConfig(
            compression=models.CompressionRatio.X16, always_ram=True
        )
        return models.ProductQuantization(product=product)
    return None


def as_lists(
    vectors: NDArray[np.float32] | dict[str, NDArray[np.float32]],
) -> list[float] | dict[str, list[float]]:
    """A point's vectors as the client takes them; numbers are as they were."""
    if isinstance(vectors, dict):
        return {name: numbers.tolist() for name, numbers in vectors.items()}
    numbers: list[float] = vectors.tolist()
    return numbers


def keyword_index(name: str) -> models.KeywordIndexParams:
    """Only fields that searches filter on get edges in the graph."""
    return models.KeywordIndexParams(
        type=models.KeywordIndexType.KEYWORD, enable_hnsw=name in SEARCH_KEYWORDS
    )


def number_index() -> models.IntegerIndexParams:
    """The fence's numbers: compared, never looked up."""
    return models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False
    )


def search_params(*, exact: bool) -> models.SearchParams:
    """Exact reads every original vector; else the graph, then rescoring with originals."""
    if exact:
        return models.SearchParams(
            exact=True, quantization=models.QuantizationSearchParams(ignore=True)
        )
    rescoring = models.QuantizationSearchParams(rescore=True, oversampling=graph.OVERSAMPLING)
    return models.SearchParams(hnsw_ef=graph.SEARCH_BREADTH, quantization=rescoring)


def to_filter(where: Where) -> models.Filter:
    """The condition as the client takes it."""
    return models.Filter(
        must=_conditions(where.must),
        should=_conditions(where.should),
        must_not=_conditions(where.must_not),
    )


def _conditions(ours: Sequence[Condition]) -> list[models.Condition] | None:
    return [_condition(condition) for condition in ours] or None


def _condition(ours: Condition) -> models.Condition:
    match ours:
        case Where() | Fixed():
            return _translated(ours) if isinstance(ours, Fixed) else to_filter(ours)
        case IsPoint(points):
            return models.HasIdCondition(has_id=list(points))
        case HasKeyword(field, values):
            return models.FieldCondition(key=field, match=_one_of(values))
        case HasOtherKeyword(field, values):
            others = models.MatchExcept(**{"except": list(values)})
            return models.FieldCondition(key=field, match=others)
        case HasNumber(field, at_least, at_most, below):
            bounds = models.Range(gte=at_least, lte=at_most, lt=below)
            return models.FieldCondition(key=field, range=bounds)
        case LacksField(field):
            return models.IsEmptyCondition(is_empty=models.PayloadField(key=field))


@cache
def _translated(ours: Fixed) -> models.Filter:
    return to_filter(ours.where)


def _one_of(values: Sequence[str]) -> models.Match:
    if len(values) == 1:
        return models.MatchValue(value=values[0])
    return models.MatchAny(any=list(values))
