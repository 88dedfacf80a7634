"""A pool and what was judged so far in, the next pictures for one judge to grade out.

Blind: neither the file nor the answer tells which model found a picture, what others graded it, its
tags or its score; the order is the judge's own (`shown_to`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from typing import Any

from sightline.engine.label_data.agreement import Agreement, agreement_of
from sightline.engine.label_data.grading_pools import (
    Pool,
    PooledAnchor,
    load_pool,
    pool_names,
    shown_to,
)
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.engine.ports import ObjectStore
from sightline.engine.search_ids import SearchIds
from sightline.engine.vector_index.visible import ANYBODY, VisibleIndex
from sightline.search_api.search.answers import image_urls
from sightline.search_api.threads.pools import ApiPool


@dataclass(frozen=True, slots=True, kw_only=True)
class GradingWish:
    """Whose turn it is, and how far they are."""

    pool: str
    judge: str
    """The judge's pseudonym, behind the name of the key."""
    after: str | None
    """Only anchors after this one in the pool."""
    limit: int
    """At most so many anchors."""


@dataclass(frozen=True, slots=True, eq=False)
class Grading:
    """Reads pools, the index and the judgements; `threads` wait for them."""

    store: ObjectStore
    bucket: str
    visible: VisibleIndex
    judgements: HeldJudgements
    ids: SearchIds
    _: KW_ONLY
    threads: ApiPool

    def judge(self, key: str, name: str) -> str:
        """What a person is called in `judgements.v1`: a pseudonym, behind the key's name."""
        return self.ids.judge_pseudonym(key, name)

    def names(self) -> list[str]:
        """Lists the name of every pool there is. Raises `PartUnavailable`."""
        return pool_names(self.store, self.bucket)

    def agreement(self, name: str) -> Agreement:
        """How far the judges of a pool agree. Raises `NotFound`, `PartUnavailable`."""
        held = self.judgements.of(load_pool(self.store, self.bucket, name).pairs)
        return agreement_of({j: said.grade for j, said in by.items()} for by in held.values())

    def sheet(self, wish: GradingWish) -> dict[str, Any]:
        """The next anchors of which this judge has not graded everything.

        Raises:
            NotFound: there is no such pool.
            PartUnavailable: index or store did not answer.
        """
        pool = load_pool(self.store, self.bucket, wish.pool)
        grades = self._grades(pool, wish.judge)
        anchors = list(islice(self._open(pool, wish, grades), wish.limit))
        return {
            "pool": pool.name,
            "images": len(pool.pairs),
            "graded": len(grades),
            "anchors": anchors,
        }

    def _grades(self, pool: Pool, judge: str) -> dict[tuple[str, str], int]:
        held = self.judgements.of(pool.pairs)
        return {pair: by[judge].grade for pair, by in held.items() if judge in by}

    def _open(
        self, pool: Pool, wish: GradingWish, grades: dict[tuple[str, str], int]
    ) -> Iterator[dict[str, Any]]:
        """Anchors with something left to grade that everybody may see."""
        for anchor in _after(pool, wish.after):
            missing = [i for i in anchor.images if (anchor.anchor_id, i) not in grades]
            if not missing:
                continue
            seen = self.visible.get_many({anchor.anchor_id, *anchor.images}, ANYBODY).keys()
            if anchor.anchor_id not in seen or seen.isdisjoint(missing):
                continue
            shown = [i for i in shown_to(pool, anchor, wish.judge) if i in seen]
            yield {
                **_picture(anchor.anchor_id),
                "images": [
                    {**_picture(i), "grade": grades.get((anchor.anchor_id, i))} for i in shown
                ],
            }


def _after(pool: Pool, anchor_id: str | None) -> Iterator[PooledAnchor]:
    """The anchors behind one of them, or all; all where there is none of that id."""
    ids = [anchor.anchor_id for anchor in pool.anchors]
    start = ids.index(anchor_id) + 1 if anchor_id in ids else 0
    return iter(pool.anchors[start:])


def _picture(image_id: str) -> dict[str, Any]:
    return {"image_id": image_id, **image_urls(image_id)}
