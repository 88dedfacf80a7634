"""The rankings of a search in, the answer out, and behind it what is recorded of both."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.background import BackgroundTask
from starlette.responses import Response

from sightline.engine.exploration import explored_variant
from sightline.engine.metrics import Metrics
from sightline.engine.ports import Clock
from sightline.engine.records import SearchRequest
from sightline.engine.search_ids import SearchIds
from sightline.engine.serving.current_index import IndexOfPair
from sightline.engine.serving.pair import ServingPair
from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.vector_index.visible import VisibleIndex
from sightline.search_api.http.json_answers import json_answer
from sightline.search_api.http.limits.concurrency import Gate
from sightline.search_api.http.request_fields import ImageSearch, SearchFields
from sightline.search_api.search.answers import (
    Anchor,
    Answered,
    asker_of,
    cut_to_millisecond,
    issue,
)
from sightline.search_api.search.impressions import Impressions, ShownAnswer
from sightline.search_api.search.rankings import Rankings
from sightline.search_api.search.recall_checks import RecallChecks, Sampled
from sightline.search_api.search.rerank import RankedPage
from sightline.search_api.search.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class Asking:
    """What goes with a request and is not part of the question."""

    watch: Stopwatch
    trace: str | None
    """W3C trace context that the impression goes on with."""
    names_users: bool
    """Whether the key may say which user asks; else that is passed over."""


@dataclass(frozen=True, slots=True)
class SearchUnderWay:
    """One search under way, and the one pair that it is answered by."""

    request: Asking
    pair: ServingPair


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answering:
    """Answers searches and lets their impressions be recorded.

    Args:
        pairs: what serves; a sample of searches is checked on the pair that answered.
        impressions: take what was shown.
        checks: look how much of an exact scan was found.
        gate: says how many searches are under way.
        ids: seal the search ids.
        clock: the time.
        metrics: count searches, and their scores.
    """

    pairs: ServingPairs
    impressions: Impressions
    checks: RecallChecks
    gate: Gate
    ids: SearchIds
    clock: Clock
    metrics: Metrics

    def answer(
        self,
        fields: SearchFields,
        anchor: Anchor,
        rankings: Rankings,
        search: SearchUnderWay,
        *,
        kept: tuple[bytes, str] | None = None,
    ) -> Response:
        """The answer to a search that has found these; `kept`: the picture that it asked by.

        Sent, it lets the impression be recorded. Runs in a thread: ids take random bytes of the
        system, for which the event loop would have to give up the interpreter's lock.
        """
        now, pair = cut_to_millisecond(self.clock.now()), search.pair
        asker = asker_of(fields, self.ids, names_users=search.request.names_users)
        variant = explored_variant(pair.variant) if rankings.own.explored else pair.variant
        search_id = issue(
            self.ids,
            now=now,
            asker=asker,
            anchor=anchor,
            variant=variant,
            nonce=rankings.nonce,
        )
        page = rankings.page(fields.limit, search_id)
        answered = Answered(
            search_id=search_id,
            issued_at=now,
            asker=asker,
            anchor=anchor,
            fields=fields,
            page=page,
            pair=pair,
            variant=variant,
        )
        picture, content_type = kept or (None, "")
        feedback = self.impressions.accepts(picture_bytes=len(picture or b""))
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
            background=BackgroundTask(self._behind, impression, rankings.asked, pair),
        )

    async def _behind(
        self, impression: ShownAnswer, asked: SearchRequest, pair: ServingPair
    ) -> None:
        """What is done with a search once it is answered."""
        await self.impressions.record(impression)
        index = VisibleIndex(IndexOfPair(self.pairs, pair))
        sampled = Sampled(index, asked, pair.model_digest)
        self.checks.offer(sampled, under_way=self.gate.inside)

    def _count(self, fields: SearchFields, page: RankedPage, search: SearchUnderWay) -> None:
        by = "image" if isinstance(fields, ImageSearch) else "upload"
        self.metrics.searches.labels(by, "answered" if page.hits else "empty").inc()
        for reason, count in page.removed.items():
            self.metrics.removed.labels(reason).inc(count)
        # Else its scores are of two models, or of an order that chance made.
        if page.hits and search.pair.beside is None and not page.explored:
            for place, hit in (("first", page.hits[0]), ("last", page.hits[-1])):
                scores = self.metrics.search_scores.labels(by, place, search.pair.model_digest)
                scores.observe(hit.score)
        search.request.watch.report(self.metrics)
