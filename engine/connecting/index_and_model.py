"""A generation and a model in, the pair of index and model out that answers searches."""

from __future__ import annotations

import logging

from sightline.engine.connecting.open_models import OpenModels
from sightline.engine.embedding.query_matrix import NotLinear, matrix_between
from sightline.engine.errors import GenerationMismatch, PartUnavailable
from sightline.engine.serving.kept_matrices import KeptMatrices, KeptMatrix
from sightline.engine.serving.open_indexes import OpenIndexes
from sightline.engine.serving.pair import ServingPair
from sightline.engine.serving.pairs import OpenedPair
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import KnownGeneration, Serves
from sightline.engine.vector_index.generations import refuse_other_model

_log = logging.getLogger(__name__)


def open_pair(
    indexes: OpenIndexes,
    models: OpenModels,
    matrices: KeptMatrices,
    state: ServingState,
    serves: Serves,
) -> OpenedPair:
    """A generation's index and model, as one.

    Raises:
        GenerationMismatch: the model gives other vectors here than the index holds, or no matrix
            on the query ranks them as the query model does.
        NotFound, IndexOwned, PartUnavailable: the index cannot be opened.
        SettingsInvalid: a model cannot be run here.
    """
    known = state.generation(serves.generation)
    embedder, ranking = models.embedder(known.model), None
    if serves.query_model is not None:
        ranking = _ranking(matrices, models, known, serves.query_model)
    index = indexes.take(known.name)
    try:
        refuse_other_model(index.spec, embedder)
        pair = ServingPair(
            embedder=embedder,
            index=index,
            spec=index.spec,
            matrix=None if ranking is None else ranking.matrix,
            model=serves.query_model or known.model,
            query_digest=None if ranking is None else ranking.ranked_by,
        )
    except BaseException:
        indexes.give(known.name)
        raise
    return OpenedPair(pair, lambda: indexes.give(known.name))


def _ranking(
    matrices: KeptMatrices, models: OpenModels, known: KnownGeneration, model: str
) -> KeptMatrix:
    found = matrix_of(matrices, models, known, model)
    if isinstance(found, NotLinear):
        raise GenerationMismatch(
            f"generation {known.name} cannot serve another model by its queries alone: "
            f"{found.reason}; fill a generation of that model (`sightline reindex`)"
        )
    return found


def matrix_of(
    matrices: KeptMatrices, models: OpenModels, known: KnownGeneration, model: str
) -> KeptMatrix | NotLinear:
    """The matrix by which a model ranks a generation's vectors; computed once, and kept for all.

    Raises:
        SettingsInvalid: one of the models cannot be run here.
        PartUnavailable: the store did not answer.
    """
    made_by = models.head(known.model)
    kept = matrices.find(known.name, made_by.digest, model)
    size = None if made_by.projection is None else made_by.projection.dimensions
    if kept is not None and len(kept.matrix) == size:
        return kept
    ranked_by = models.head(model)
    found = matrix_between(made_by, ranked_by)
    if isinstance(found, NotLinear):
        return found
    computed = KeptMatrix(found.matrix, ranked_by.digest)
    try:
        matrices.keep(known.name, made_by.digest, model, computed)
    except PartUnavailable as error:
        _log.warning("a matrix on the query is not kept, so that others compute it: %s", error)
    return computed
