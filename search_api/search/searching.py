"""A query in, an answer out: anchor, vector, one visible index read, re-rank, record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from starlette.background import BackgroundTask
from starlette.responses import Response

from sightline.engine.errors import Part, PartUnavailable
from sightline.engine.health import Health
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock, Embedder
from sightline.engine.records import Hit, IndexedImage, SearchRequest
from sightline.engine.search_ids import SearchIds, upload_ids
from sightline.engine.serving.current_index import IndexOfPair
from sightline.engine.serving.pair import ServingPair
from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.settings import ApiSettings, Scope
from sightline.engine.vector_index.visible import Caller, VisibleIndex
from sightline.search_api.http.concurrency import Gate
from sightline.search_api.http.form_reading import Uploaded
from sightline.search_api.http.hashing import hashed
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.request_fields import (
    ImageSearch,
    NearDuplicates,
    SearchFields,
    UploadSearch,
)
from sightline.search_api.search.answers import (
    NO_HASH,
    Anchor,
    Answered,
    Asker,
    asker_of,
    issue,
    to_millisecond,
)
from sightline.search_api.search.impressions import Impressions, ShownAnswer
from sightline.search_api.search.query_vectors import QueryVectors
from sightline.search_api.search.recall_checks import RecallChecks, Sampled
from sightline.search_api.search.rerank import (
    LookedAt,
    Policy,
    RankedPage,
    duplicate_policies,
    page_of,
)
from sightline.search_api.search.stopwatch import Stopwatch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")
_FIRST_OF_A_CLUSTER = 8
"""Looked at for the first of equal pictures; look-alikes that came before it are among them."""
ANYBODY = Caller(scopes=frozenset({Scope.SEARCH}))
"""Queries see what anybody may see, whoever asks: a private image is no query, not even its
owner's, since what is asked by goes into the log that models learn from."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What goes with a request and is not part of the question."""

    watch: Stopwatch
    trace: str | None
    """W3C trace context that the impression goes on with."""
    names_users: bool
    """Whether the key may say which user asks; else that is passed over."""


@dataclass(frozen=True, slots=True)
class _Search:
    """One search under way: who asks, and the one pair that it is answered by."""

    request: Asking
    asker: Asker
    pair: ServingPair

    @property
    def visible(self) -> VisibleIndex:
        """The pair's index, as API handlers may read it."""
        return VisibleIndex(self.pair.index)


class Searching:
    """Answers searches, by a picture or by an image that is indexed.

    A search takes one pair of model and index when it begins, and uses nothing else to its end.
    """

    def __init__(
        self,
        *,
        pairs: ServingPairs,
        vectors: QueryVectors,
        impressions: Impressions,
        checks: RecallChecks,
        ids: SearchIds,
        settings: ApiSettings,
        clock: Clock,
        health: Health,
        metrics: Metrics,
        threads: Executor,
    ) -> None:
        self._pairs = pairs
        self._vectors = vectors
        self._impressions = impressions
        self._checks = checks
        self._ids = ids
        self._settings = settings
        self._clock = clock
        self._health = health
        self._metrics = metrics
        self._gate = Gate(settings.max_concurrent_searches, metrics.searches_in_flight)
        self._readers = threads

    async def by_image(self, fields: ImageSearch, request: Asking) -> Response:
        """Search by an indexed image: no store, no embedder.

        Raises:
            NotFound: nobody or not everybody may see it.
            Overloaded: too many searches wait.
            PartUnavailable: the index is down.
        """
        async with self._gate.enter(Part.INDEX):
            with self._begun(fields, request) as search:
                return await self._read(self._of_image, fields, search)

    async def by_upload(
        self, fields: UploadSearch, uploaded: Uploaded, request: Asking
    ) -> Response:
        """Search by an uploaded picture, or a part of it.

        Raises:
            BadImage: it is not a picture that we accept.
            Overloaded, PartUnavailable: as `by_image`; also of the embedder.
        """
        async with self._gate.enter(Part.EMBEDDER):
            data = await uploaded.read()
            digest, anchor_id = await hashed(partial(upload_ids, box=fields.crop), data)
            keep = fields.store_query and self._settings.store_queries
            kept = (data, uploaded.content_type) if keep else None
            with self._begun(fields, request) as search:
                embedder = search.pair.embedder
                with request.watch.stage("decode"):
                    picture = await self._vectors.prepared(data, embedder.framing, fields.crop)
                with request.watch.stage("embed"):
                    vector = await self._embedded(embedder, picture.crop)
                anchor = Anchor(
                    anchor_id=anchor_id, perceptual_hash=picture.perceptual_hash, sha256=digest
                )
                return await self._read(self._of_vector, fields, vector, anchor, search, kept)

    @contextmanager
    def _begun(self, fields: SearchFields, request: Asking) -> Iterator[_Search]:
        asker = asker_of(fields, self._ids, names_users=request.names_users)
        with self._pairs.taken(asker.actor_id) as pair:
            yield _Search(request, asker, pair)

    async def _embedded(self, embedder: Embedder, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            vector = await self._vectors.vector(embedder, crop)
        except PartUnavailable as error:
            self._health.down(error.part, str(error))
            raise
        return vector

    async def _read(self, read: Callable[..., T], *args: object) -> T:
        """One hop to a thread, from what the index is asked to the answer's bytes."""
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._readers, read, *args)
        except PartUnavailable as error:
            self._health.down(error.part, str(error))
            raise
        self._health.up(Part.INDEX)
        return result

    def _of_image(self, fields: ImageSearch, search: _Search) -> Response:
        with search.request.watch.stage("anchor"):
            image = search.visible.get(fields.image_id, ANYBODY)
        assert image.vector is not None  # noqa: S101 (listed images have one)
        anchor = Anchor(anchor_id=image.image_id, perceptual_hash=image.perceptual_hash or NO_HASH)
        asked = _asked(fields, search.pair.query(image.vector), besides=(image.image_id,))
        page = self._page(fields, asked, image, search)
        return self._answer(fields, anchor, asked, page, search)

    def _of_vector(
        self,
        fields: UploadSearch,
        vector: NDArray[np.float32],
        anchor: Anchor,
        search: _Search,
        kept: tuple[bytes, str] | None,
    ) -> Response:
        asked = _asked(fields, search.pair.query(vector))
        page = self._page(fields, asked, None, search)
        return self._answer(fields, anchor, asked, page, search, kept=kept)

    def _page(
        self,
        fields: SearchFields,
        asked: SearchRequest,
        anchor: IndexedImage | None,
        search: _Search,
    ) -> RankedPage:
        watch, visible = search.request.watch, search.visible

        def fetch(limit: int, passed: LookedAt) -> list[Hit]:
            with watch.stage("index"):
                return visible.search(
                    replace(
                        asked,
                        limit=limit,
                        exclude_ids=tuple(sorted(passed.image_ids.union(asked.exclude_ids))),
                        exclude_clusters=tuple(sorted(passed.clusters)),
                    )
                )

        def first(cluster: str) -> list[IndexedImage]:
            with watch.stage("index"):
                return visible.earliest(cluster, fields.tags, _FIRST_OF_A_CLUSTER)

        policies: list[Policy] = []
        if fields.near_duplicates is not NearDuplicates.KEEP:
            policies = duplicate_policies(bits=self._settings.near_duplicate_bits, anchor=anchor)
        with watch.stage("rerank"):
            return page_of(fetch, fields.limit, policies, first)

    def _answer(
        self,
        fields: SearchFields,
        anchor: Anchor,
        asked: SearchRequest,
        page: RankedPage,
        search: _Search,
        *,
        kept: tuple[bytes, str] | None = None,
    ) -> Response:
        now, asker, pair = to_millisecond(self._clock.now()), search.asker, search.pair
        answered = Answered(
            search_id=issue(self._ids, now=now, asker=asker, anchor=anchor, variant=pair.variant),
            issued_at=now,
            asker=asker,
            anchor=anchor,
            fields=fields,
            page=page,
            spec=pair.spec,
            variant=pair.variant,
        )
        picture, content_type = kept or (None, "")
        feedback = self._impressions.accepts(picture_bytes=len(picture or b""))
        impression = ShownAnswer(
            shown=answered.shown,
            picture=picture,
            content_type=content_type,
            sha256=anchor.sha256,
            traceparent=search.request.trace,
        )
        self._count(fields, page, search)
        return json_answer(
            answered.document(feedback=feedback),
            headers={"Server-Timing": search.request.watch.header()},
            background=BackgroundTask(self._behind, impression, asked, pair),
        )

    async def _behind(
        self, impression: ShownAnswer, asked: SearchRequest, pair: ServingPair
    ) -> None:
        """What is done with a search once it is answered."""
        await self._impressions.record(impression)
        index = VisibleIndex(IndexOfPair(self._pairs, pair))
        sampled = Sampled(index, asked, pair.spec.model_digest)
        self._checks.offer(sampled, under_way=self._gate.inside)

    def _count(self, fields: SearchFields, page: RankedPage, search: _Search) -> None:
        by = "image" if isinstance(fields, ImageSearch) else "upload"
        self._metrics.searches.labels(by, "answered" if page.hits else "empty").inc()
        for reason, count in page.removed.items():
            self._metrics.removed.labels(reason).inc(count)
        if page.hits:
            for place, hit in (("first", page.hits[0]), ("last", page.hits[-1])):
                scores = self._metrics.search_scores.labels(
                    by, place, search.pair.spec.model_digest
                )
                scores.observe(hit.score)
        search.request.watch.report(self._metrics)


def _asked(
    fields: SearchFields, vector: NDArray[np.float32], *, besides: tuple[str, ...] = ()
) -> SearchRequest:
    """The nearest so many images, as the index is asked when nothing has been passed over yet."""
    return SearchRequest(
        vector=vector,
        limit=fields.limit,
        tags=fields.tags,
        exclude_ids=besides,
        settle_ties=fields.near_duplicates is NearDuplicates.KEEP,
        exact=fields.exact,
    )
