"""Our words in the Qdrant server's: configuration and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from sightline.engine.records import GenerationSpec, IndexedImage, TagFilter
from sightline.engine.vector_index.payload import LISTED, SEARCH_KEYWORDS, point_id

SEARCH_BREADTH = 256
"""`ef` of the graph walk: what recall hangs on (at 30,000 clustered points of inner dimension 13:
.991 with 128, .993 with 256; of 38: .945, .988). The quantised scan alone finds all 24."""
OVERSAMPLING = 2.0
_GRAPH_DEGREE = 16
_BUILD_BREADTH = 200
_FULL_SCAN_KB = 25_000
"""Filters that pass less than this are scanned: faster and exact."""


def collection_config(spec: GenerationSpec) -> dict[str, Any]:
    """How a generation's collection is built: quantised in memory, originals on disk to rescore.

    `indexed_only` and `prevent_unoptimized` stay off: they hide points that were just written.
    """
    return {
        "vectors_config": models.VectorParams(
            size=spec.dimensions, distance=models.Distance.COSINE, on_disk=True
        ),
        "hnsw_config": models.HnswConfigDiff(
            m=_GRAPH_DEGREE,
            payload_m=_GRAPH_DEGREE,
            ef_construct=_BUILD_BREADTH,
            full_scan_threshold=_FULL_SCAN_KB,
        ),
        "quantization_config": _quantisation(spec.quantisation),
    }


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
    rescoring = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    return models.SearchParams(hnsw_ef=SEARCH_BREADTH, quantization=rescoring)


def any_below(images: Sequence[IndexedImage]) -> models.Filter:
    """Matches the points of the images while their stored fences are below the images'."""
    return models.Filter(should=[_is_below(image) for image in images])


def _is_below(image: IndexedImage) -> models.Filter:
    fence = image.fence
    event = [_equal("version", fence.version), _equal("tie", fence.tie)]
    older = models.Filter(
        should=[
            _below("version", fence.version),
            models.Filter(must=[_equal("version", fence.version), _below("tie", fence.tie)]),
            models.Filter(must=[*event, _below("stage", fence.stage)]),
        ]
    )
    return models.Filter(must=[has_ids([image.image_id]), older])


def is_at(image: IndexedImage) -> models.Filter:
    """Matches the image's point while its stored fence is the image's."""
    numbers = image.fence._asdict().items()
    equal = [_equal(name, value) for name, value in numbers]
    return models.Filter(must=[has_ids([image.image_id]), *equal])


def has_ids(image_ids: Sequence[str]) -> models.HasIdCondition:
    """Matches the points of these images."""
    return models.HasIdCondition(has_id=[point_id(image_id) for image_id in image_ids])


def has_keyword(name: str, value: str) -> models.FieldCondition:
    """Matches points whose keyword field holds the value."""
    return models.FieldCondition(key=name, match=models.MatchValue(value=value))


def _below(name: str, value: int) -> models.FieldCondition:
    return models.FieldCondition(key=name, range=models.Range(lt=value))


def _equal(name: str, value: int) -> models.FieldCondition:
    return models.FieldCondition(key=name, range=models.Range(gte=value, lte=value))


def visible(tags: TagFilter, exclude_ids: Sequence[str]) -> models.Filter:
    """The filter of every search: listed, then what the caller asked for."""
    must: list[models.Condition] = [has_keyword("listing", LISTED)]
    must += [has_keyword("tags", tag) for tag in tags.all_of]
    if tags.any_of:
        any_of = models.MatchAny(any=list(tags.any_of))
        must.append(models.FieldCondition(key="tags", match=any_of))
    barred: list[models.Condition] = [has_keyword("tags", tag) for tag in tags.none_of]
    if exclude_ids:
        barred.append(has_ids(exclude_ids))
    return models.Filter(must=must, must_not=barred or None)
