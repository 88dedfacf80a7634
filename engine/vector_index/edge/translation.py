"""Our words in the embedded engine's: configuration, conditions, operations, errors."""

from __future__ import annotations

import errno
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import qdrant_edge as edge

from sightline.engine.errors import DiskFull, Part, PartUnavailable, SightlineError
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
    EMPTY_IMAGE,
    FEATURES,
    HELD,
    HIDDEN,
    KEYWORDS,
    LISTED,
    NO_IMAGE_TYPE,
    NUMBERS,
    SEARCH_KEYWORDS,
    SEARCHABLE,
    SHOWN,
    TOMBSTONE_TYPE,
    UNFENCED,
    VECTOR,
    decision_payload,
    decision_place,
    named_vectors,
    no_image,
    point_id,
    to_payload,
)
from sightline.schemas.fields import MAX_VERSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST_GRAPH_KB = 1_000


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


def create_shard(path: Path, spec: GenerationSpec) -> None:
    """An empty shard with its payload indexes, flushed and closed."""
    path.mkdir(parents=True)
    with edge_errors("create"):
        shard = edge.EdgeShard.create(str(path), shard_config(spec))
        _index_fields(shard)
        shard.flush()
        shard.close()


def load_shard(path: Path) -> edge.EdgeShard:
    """Open a shard; never twice at once. Raises `PartUnavailable` where its files are damaged."""
    with edge_errors("open"):
        shard = edge.EdgeShard.load(str(path))
        _index_fields(shard)
        return shard


def _index_fields(shard: edge.EdgeShard) -> None:
    """Make the payload indexes that are missing: an older release did not know all of them."""
    known = shard.info().payload_schema
    if SEARCHABLE not in known:
        say = edge.UpdateOperation.set_payload_by_filter(shown_before(), {SEARCHABLE: SHOWN})
        shard.update(say)
    for name in KEYWORDS:
        if name not in known:
            params = edge.KeywordIndexParams(enable_hnsw=name in SEARCH_KEYWORDS)
            shard.update(edge.UpdateOperation.create_field_index(name, params))
    for name in NUMBERS:
        if name not in known:
            numeric = edge.IntegerIndexParams(lookup=False, range=True, enable_hnsw=False)
            shard.update(edge.UpdateOperation.create_field_index(name, numeric))


def insert(images: Sequence[IndexedImage], spec: GenerationSpec) -> edge.UpdateOperation:
    """Write those of the images of which there is no point yet, in one operation.

    Without conditions, which cost as much as the write itself (measured).
    """
    points = [_point(image, spec) for image in images]
    return edge.UpdateOperation.upsert_points(points, update_mode=edge.UpdateMode.InsertOnly)


def upsert(images: Sequence[IndexedImage], spec: GenerationSpec) -> edge.UpdateOperation:
    """Write those of the images whose fence is above the stored one, in one operation.

    A write replaces a point whole, the decision too: so only where the stored decision is the one
    that the image brings.
    """
    points = [_point(image, spec) for image in images]
    fences = edge.Filter(should=[*(_is_below(i) for i in images), _is_lost(images)])
    return edge.UpdateOperation.upsert_points(points, condition=fences)


def _point(image: IndexedImage, spec: GenerationSpec) -> edge.Point:
    """The point as an image is written; numbers as arrays, which the engine reads fastest."""
    told = named_vectors(image, spec)
    vectors: object = (
        {name: _floats(numbers) for name, numbers in told.items()}
        if isinstance(told, dict)
        else _floats(told)
    )
    return edge.Point(point_id(image.image_id), cast("edge.Vector", vectors), to_payload(image))


def _floats(numbers: NDArray[np.float32]) -> array[float]:
    return array("f", numbers.astype(np.float32, copy=False).tobytes())


def _is_lost(images: Sequence[IndexedImage]) -> edge.Filter:
    """Matches the undecided images' points without a fence that can be read: all is above it."""
    points = edge.HasIdCondition({point_id(i.image_id) for i in images if i.decision is None})
    return edge.Filter(must=[points, _LOST_IMAGE, _UNDECIDED])


def _is_below(image: IndexedImage) -> edge.Filter:
    """Matches the image's point while its stored fence is below the image's."""
    lost = [] if image.decision is None else [_LOST_IMAGE]
    older = edge.Filter(should=[*_lower(*image.fence._asdict().items()), *lost])
    same_decision = _decision_is(image.decision)
    return edge.Filter(must=[_point_of(image.image_id), older, same_decision])


def _decision_is(decision: IndexedDecision | None) -> edge.Filter:
    """Matches points that hold this decision, or none; one that cannot be read lies just above."""
    if decision is None:
        return _UNDECIDED
    if decision.fence == UNFENCED:
        return edge.Filter(must=[_LOST_DECISION], must_not=[_UNDECIDED])
    same, tie = _decision_numbers(decision)
    return edge.Filter(must=[_equal(*same), _between(*tie, slack=int(decision.unreadable))])


_UNDECIDED = edge.Filter(must=[edge.IsEmptyCondition(name) for name in HELD])
"""Matches points that hold no decision, not even one that cannot be read. It is built once: every
write of an image asks for it."""


def _without_fence(*names: str) -> edge.Filter:
    """Matches points that have no number that can be one in one of the fields."""
    numbers: list[edge.ConditionType] = [
        edge.FieldCondition(name, range=edge.RangeFloat(gte=0, lte=MAX_VERSION)) for name in names
    ]
    return edge.Filter(must_not=[edge.Filter(must=numbers)])


_LOST_IMAGE = _without_fence(*Fence._fields)
"""Matches points whose image has no fence that can be read: whatever is written is above it."""
_LOST_DECISION = _without_fence(DECISION_VERSION, DECISION_TIE)
"""The same of the decision."""


def _readable() -> edge.FieldCondition:
    return edge.FieldCondition("moderated", match=edge.MatchAny(list(DECIDED)))


def decided() -> edge.Filter:
    """Builds a filter for the points that hold a decision that can be read."""
    return edge.Filter(must=[_readable()])


def insert_undecided(decision: IndexedDecision) -> edge.UpdateOperation:
    """A point for an image that is not known; where there is a point, nothing."""
    never = edge.Filter(must=[_below("version", -1)])
    point = edge.Point(point_id(decision.image_id), {}, no_image(decision))
    return edge.UpdateOperation.upsert_points([point], condition=never)


def decide(decision: IndexedDecision) -> list[edge.UpdateOperation]:
    """Write the decision into the image's point, iff it is above the stored one, in this order.

    Or the stored one itself, once more, where that cannot be read.

    An image that is allowed and listed stays shown throughout. Were it listed between the first two
    of the operations, the third would show it.
    """
    half, here = decision_payload(decision), _point_of(decision.image_id)
    numbers = _decision_numbers(decision)
    itself = edge.Filter(must=[_equal(*number) for number in numbers], must_not=[_readable()])
    older = edge.Filter(should=[_LOST_DECISION, *_lower(*numbers), itself])
    hide = _set(half | {SEARCHABLE: HIDDEN}, here, older)
    if decision.blocks:
        return [hide]
    by_owner = has_keyword("listing", LISTED)
    return [
        _set(half | {SEARCHABLE: SHOWN}, here, older, by_owner),
        hide,
        _set({SEARCHABLE: SHOWN}, here, _decision_is(decision), by_owner),
    ]


def _set(payload: dict[str, Any], *where: edge.ConditionType) -> edge.UpdateOperation:
    return edge.UpdateOperation.set_payload_by_filter(edge.Filter(must=list(where)), payload)


def relocate_decision(decision: IndexedDecision) -> edge.UpdateOperation:
    """Write where the decision lies, iff it is the stored one."""
    same = edge.Filter(must=[_point_of(decision.image_id), _decision_is(decision)])
    return edge.UpdateOperation.set_payload_by_filter(
        same, {"decision_place": decision_place(decision)}
    )


def any_image() -> edge.Filter:
    """Matches points that hold an image, not a decision only."""
    return edge.Filter(must_not=[has_keyword("type", NO_IMAGE_TYPE)])


def forget_tombstones(points: Sequence[str]) -> list[edge.UpdateOperation]:
    """Remove those of the points that are tombstones; where a decision is, it stays alone."""
    dead: list[edge.ConditionType] = [
        edge.HasIdCondition(set(points)),
        has_keyword("type", TOMBSTONE_TYPE),
    ]
    return [
        edge.UpdateOperation.delete_points_by_filter(edge.Filter(must=[*dead, _UNDECIDED])),
        edge.UpdateOperation.set_payload_by_filter(
            edge.Filter(must=dead, must_not=[_UNDECIDED]), EMPTY_IMAGE
        ),
    ]


def _point_of(image_id: str) -> edge.HasIdCondition:
    return edge.HasIdCondition({point_id(image_id)})


def is_at(image: IndexedImage) -> edge.Filter:
    """Matches the image's point while its stored fence is the image's."""
    equal = [_equal(*number) for number in image.fence._asdict().items()]
    return edge.Filter(must=[_point_of(image.image_id), *equal])


def _decision_numbers(decision: IndexedDecision) -> list[tuple[str, int]]:
    return [(DECISION_VERSION, decision.fence.version), (DECISION_TIE, decision.fence.tie)]


def _lower(*numbers: tuple[str, int]) -> list[edge.ConditionType]:
    """What together says that a point's numbers come before these, the first deciding first."""
    return [
        edge.Filter(must=[*(_equal(*equal) for equal in numbers[:at]), _below(*numbers[at])])
        for at in range(len(numbers))
    ]


def _below(name: str, value: int) -> edge.FieldCondition:
    return edge.FieldCondition(name, range=edge.RangeFloat(lt=value))


def _equal(name: str, value: int) -> edge.FieldCondition:
    return _between(name, value, slack=0)


def _between(name: str, value: int, *, slack: int) -> edge.FieldCondition:
    return edge.FieldCondition(name, range=edge.RangeFloat(gte=value, lte=value + slack))


def has_keyword(name: str, value: str) -> edge.FieldCondition:
    """Matches points whose keyword field holds the value."""
    return edge.FieldCondition(name, match=edge.MatchValue(value))


def seen(image_ids: Sequence[str], sight: Sight) -> edge.Filter:
    """Matches those of the images' points that a read with this sight may find."""
    found: list[edge.ConditionType] = []
    if sight.listed:
        found.append(listed())
    if sight.owner_id is not None:
        found += [has_keyword("owner", sight.owner_id), edge.IsEmptyCondition("owner")]
    points = edge.HasIdCondition({point_id(image_id) for image_id in image_ids})
    return edge.Filter(must=[points, edge.Filter(should=found)])


def listed() -> edge.Filter:
    """What a search may return: listed by its owner and not blocked by the operator."""
    return edge.Filter(must=[has_keyword(SEARCHABLE, SHOWN)])


def shown_before() -> edge.Filter:
    """Matches the points that earlier releases show, in an index that has no `searchable` yet."""
    otherwise = edge.FieldCondition("moderated", match=edge.MatchExcept([ALLOWED]))
    return edge.Filter(must=[has_keyword("listing", LISTED)], must_not=[otherwise])


def visible(tags: TagFilter, *, cluster: str | None = None) -> edge.Filter:
    """The filter of every read for callers: what is listed, has the tags, is in the cluster."""
    must: list[edge.ConditionType] = [listed(), *(has_keyword("tags", tag) for tag in tags.all_of)]
    if tags.any_of:
        must.append(edge.FieldCondition("tags", match=edge.MatchAny(list(tags.any_of))))
    if cluster is not None:
        must.append(has_keyword("cluster", cluster))
    barred: list[edge.ConditionType] = [has_keyword("tags", tag) for tag in tags.none_of]
    return edge.Filter(must=must, must_not=barred)


def visible_to(request: SearchRequest) -> edge.Filter:
    """The filter of a search: what is visible, less what the caller has seen already."""
    barred: list[edge.ConditionType] = []
    if request.exclude_ids:
        barred.append(edge.HasIdCondition({point_id(name) for name in request.exclude_ids}))
    if request.exclude_clusters:
        seen = edge.MatchAny(list(request.exclude_clusters))
        barred.append(edge.FieldCondition("cluster", match=seen))
    return edge.Filter(must=[visible(request.tags)], must_not=barred)


def among(seen: edge.Filter, points: Sequence[str] | None) -> edge.Filter:
    """The filter, for these points only; None: for all."""
    return seen if points is None else edge.Filter(must=[seen, edge.HasIdCondition(set(points))])


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
