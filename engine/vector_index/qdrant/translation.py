"""Our words in the Qdrant server's: configuration and conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from sightline.engine.records import (
    Fence,
    GenerationSpec,
    IndexedDecision,
    IndexedImage,
    SearchRequest,
    Sight,
    TagFilter,
)
from sightline.engine.vector_index import graph
from sightline.engine.vector_index.packed_features import Packing
from sightline.engine.vector_index.payload import (
    ALLOWED,
    DECIDED,
    DECISION_TIE,
    DECISION_VERSION,
    FEATURES,
    HELD,
    HIDDEN,
    LISTED,
    NO_IMAGE_TYPE,
    SEARCH_KEYWORDS,
    SEARCHABLE,
    SHOWN,
    TOMBSTONE_TYPE,
    UNFENCED,
    VECTOR,
    decision_payload,
    no_image,
    point_id,
)
from sightline.schemas.fields import MAX_VERSION

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


def any_below(images: Sequence[IndexedImage]) -> models.Filter:
    """Matches the points of the images while their stored fences are below the images'.

    A write replaces a point whole, the decision too: so only where the stored decision is the one
    that the image brings.
    """
    return models.Filter(should=[*(_is_below(image) for image in images), _is_lost(images)])


def _is_lost(images: Sequence[IndexedImage]) -> models.Filter:
    """Matches the undecided images' points without a fence that can be read: all is above it."""
    points = has_ids([image.image_id for image in images if image.decision is None])
    return models.Filter(must=[points, _LOST_IMAGE, _UNDECIDED])


def _is_below(image: IndexedImage) -> models.Filter:
    lost = [] if image.decision is None else [_LOST_IMAGE]
    older = models.Filter(should=[*_lower(*image.fence._asdict().items()), *lost])
    return models.Filter(must=[has_ids([image.image_id]), older, _decision_is(image.decision)])


def _decision_is(decision: IndexedDecision | None) -> models.Filter:
    """Matches points that hold this decision, or none; one that cannot be read lies just above."""
    if decision is None:
        return _UNDECIDED
    if decision.fence == UNFENCED:
        return models.Filter(must=[_LOST_DECISION], must_not=[_UNDECIDED])
    same, tie = _decision_numbers(decision)
    return models.Filter(must=[_equal(*same), _between(*tie, slack=int(decision.unreadable))])


def _is_empty(name: str) -> models.IsEmptyCondition:
    return models.IsEmptyCondition(is_empty=models.PayloadField(key=name))


_UNDECIDED = models.Filter(must=[_is_empty(name) for name in HELD])
"""Matches points that hold no decision, not even one that cannot be read. It is built once: every
write of an image asks for it."""


def _without_fence(*names: str) -> models.Filter:
    """Matches points that have no number that can be one in one of the fields."""
    numbers = [
        models.FieldCondition(key=name, range=models.Range(gte=0, lte=MAX_VERSION))
        for name in names
    ]
    return models.Filter(must_not=[models.Filter(must=numbers)])


_LOST_IMAGE = _without_fence(*Fence._fields)
"""Matches points whose image has no fence that can be read: whatever is written is above it."""
_LOST_DECISION = _without_fence(DECISION_VERSION, DECISION_TIE)
"""The same of the decision."""


def _readable() -> models.FieldCondition:
    return models.FieldCondition(key="moderated", match=models.MatchAny(any=list(DECIDED)))


def decided() -> models.Filter:
    """Builds a filter for the points that hold a decision that can be read."""
    return models.Filter(must=[_readable()])


def any_image() -> models.Filter:
    """Matches points that hold an image, not a decision only."""
    return models.Filter(must_not=[has_keyword("type", NO_IMAGE_TYPE)])


def never() -> models.Filter:
    """Matches no point: a write under it only inserts."""
    return models.Filter(must=[_below("version", -1)])


def undecided_point(decision: IndexedDecision) -> models.PointStruct:
    """The point of an image that is not known, with its decision."""
    return models.PointStruct(id=point_id(decision.image_id), vector={}, payload=no_image(decision))


def decide(decision: IndexedDecision) -> list[tuple[models.Filter, dict[str, Any]]]:
    """Where to write what of a decision, iff it is above the stored one, in this order.

    Or the stored one itself, once more, where that cannot be read.

    An image that is allowed and listed stays shown throughout. Were it listed between the first two
    writes, the third would show it.
    """
    half, here = decision_payload(decision), has_ids([decision.image_id])
    numbers = _decision_numbers(decision)
    itself = models.Filter(must=[_equal(*number) for number in numbers], must_not=[_readable()])
    older = models.Filter(should=[_LOST_DECISION, *_lower(*numbers), itself])
    hide = models.Filter(must=[here, older]), half | {SEARCHABLE: HIDDEN}
    if decision.blocks:
        return [hide]
    by_owner = has_keyword("listing", LISTED)
    decided_so = models.Filter(must=[here, _decision_is(decision), by_owner])
    return [
        (models.Filter(must=[here, older, by_owner]), half | {SEARCHABLE: SHOWN}),
        hide,
        (decided_so, {SEARCHABLE: SHOWN}),
    ]


def is_decision(decision: IndexedDecision) -> models.Filter:
    """Matches the image's point while it holds this decision."""
    return models.Filter(must=[has_ids([decision.image_id]), _decision_is(decision)])


def tombstones(image_ids: Sequence[str], *, decided_too: bool) -> models.Filter:
    """Matches those of the images that are tombstones, with a decision or without one."""
    held = models.Filter(must_not=[_UNDECIDED]) if decided_too else _UNDECIDED
    return models.Filter(must=[has_ids(image_ids), has_keyword("type", TOMBSTONE_TYPE), held])


def is_at(image: IndexedImage) -> models.Filter:
    """Matches the image's point while its stored fence is the image's."""
    equal = [_equal(*number) for number in image.fence._asdict().items()]
    return models.Filter(must=[has_ids([image.image_id]), *equal])


def has_ids(image_ids: Sequence[str]) -> models.HasIdCondition:
    """Builds a condition for the points that belong to these images."""
    return models.HasIdCondition(has_id=[point_id(image_id) for image_id in image_ids])


def has_keyword(name: str, value: str) -> models.FieldCondition:
    """Matches points whose keyword field holds the value."""
    return models.FieldCondition(key=name, match=models.MatchValue(value=value))


def _decision_numbers(decision: IndexedDecision) -> list[tuple[str, int]]:
    return [(DECISION_VERSION, decision.fence.version), (DECISION_TIE, decision.fence.tie)]


def _lower(*numbers: tuple[str, int]) -> list[models.Condition]:
    """What together says that a point's numbers come before these, the first deciding first."""
    return [
        models.Filter(must=[*(_equal(*equal) for equal in numbers[:at]), _below(*numbers[at])])
        for at in range(len(numbers))
    ]


def _below(name: str, value: int) -> models.FieldCondition:
    return models.FieldCondition(key=name, range=models.Range(lt=value))


def _equal(name: str, value: int) -> models.FieldCondition:
    return _between(name, value, slack=0)


def _between(name: str, value: int, *, slack: int) -> models.FieldCondition:
    return models.FieldCondition(key=name, range=models.Range(gte=value, lte=value + slack))


def seen(image_ids: Sequence[str], sight: Sight) -> models.Filter:
    """Matches those of the images' points that a read with this sight may find."""
    found: list[models.Condition] = []
    if sight.listed:
        found.append(listed())
    if sight.owner_id is not None:
        found += [has_keyword("owner", sight.owner_id), _is_empty("owner")]
    return models.Filter(must=[has_ids(image_ids), models.Filter(should=found)])


def listed() -> models.Filter:
    """What a search may return: listed by its owner and not blocked by the operator."""
    return models.Filter(must=[has_keyword(SEARCHABLE, SHOWN)])


def shown_before() -> models.Filter:
    """Matches the points that earlier releases show, in an index that has no `searchable` yet."""
    but_allowed = models.MatchExcept(**{"except": [ALLOWED]})
    otherwise = models.FieldCondition(key="moderated", match=but_allowed)
    return models.Filter(must=[has_keyword("listing", LISTED)], must_not=[otherwise])


def visible(tags: TagFilter, *, cluster: str | None = None) -> models.Filter:
    """The filter of every read for callers: what is listed, has the tags, is in the cluster."""
    must: list[models.Condition] = [listed(), *(has_keyword("tags", tag) for tag in tags.all_of)]
    if tags.any_of:
        any_of = models.MatchAny(any=list(tags.any_of))
        must.append(models.FieldCondition(key="tags", match=any_of))
    if cluster is not None:
        must.append(has_keyword("cluster", cluster))
    barred: list[models.Condition] = [has_keyword("tags", tag) for tag in tags.none_of]
    return models.Filter(must=must, must_not=barred or None)


def visible_to(request: SearchRequest) -> models.Filter:
    """The filter of a search: what is visible, less what the caller has seen already."""
    barred: list[models.Condition] = []
    if request.exclude_ids:
        barred.append(has_ids(request.exclude_ids))
    if request.exclude_clusters:
        seen = models.MatchAny(any=list(request.exclude_clusters))
        barred.append(models.FieldCondition(key="cluster", match=seen))
    return models.Filter(must=[visible(request.tags)], must_not=barred or None)


def among(seen: models.Filter, points: Sequence[str] | None) -> models.Filter:
    """The filter, for these points only; None: for all."""
    return (
        seen
        if points is None
        else models.Filter(must=[seen, models.HasIdCondition(has_id=list(points))])
    )
