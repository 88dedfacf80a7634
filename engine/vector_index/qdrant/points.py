"""The points of one collection: written in order, read as its replicas agree (docs/adr/0030)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qdrant_client import models

from sightline.engine.vector_index.payload import SEARCHABLE, SHOWN
from sightline.engine.vector_index.qdrant.client import QdrantCalls
from sightline.engine.vector_index.qdrant.replication import AgreedReads, Replication
from sightline.engine.vector_index.qdrant.translation import among
from sightline.engine.vector_index.ranking import Asked, ScoredPoint

Scored = tuple[str, float]
Page = tuple[list[models.Record], models.ExtendedPointId | None]


class Points:
    """Reads and writes of one collection, each `doing` something that its errors name.

    Args:
        calls: to the server.
        collection: its name.
        replication: of the collection.

    Every method raises `PartUnavailable` and `Overloaded` as `QdrantCalls`; a write that raised may
    be half applied.
    """

    def __init__(self, calls: QdrantCalls, collection: str, replication: Replication) -> None:
        self._calls = calls
        self._collection = collection
        self._replication = replication
        self._agreed = AgreedReads(calls, replication)

    def upsert(
        self, doing: str, points: Sequence[models.PointStruct], *, where: models.Filter
    ) -> None:
        """Replace points whole where they match, and insert those that are not there."""
        self._calls(
            doing,
            lambda client: client.upsert(
                self._collection,
                list(points),
                wait=True,
                ordering=self._replication.ordering,
                update_filter=where,
            ),
        )

    def set(self, doing: str, payload: dict[str, Any], *, where: models.Filter) -> None:
        """Change these fields of the points that match."""
        self._calls(
            doing,
            lambda client: client.set_payload(
                self._collection,
                payload,
                points=where,
                wait=True,
                ordering=self._replication.ordering,
            ),
        )

    def delete(self, doing: str, *, where: models.Filter) -> None:
        """Remove for good the points that match."""
        self._calls(
            doing,
            lambda client: client.delete(
                self._collection, where, wait=True, ordering=self._replication.ordering
            ),
        )

    def retrieve(
        self,
        doing: str,
        points: Sequence[str],
        *,
        payload: Sequence[str] | None = None,
        vectors: list[str] | bool = False,
    ) -> list[models.Record]:
        """Those of the points that are there, with these fields; None: with all."""
        wanted = True if payload is None else list(payload)
        return self._agreed(
            doing,
            lambda client, how: client.retrieve(
                self._collection,
                points,
                with_payload=wanted,
                with_vectors=vectors,
                consistency=how.consistency,
                timeout=how.timeout_s,
            ),
        )

    def matching(
        self,
        doing: str,
        where: models.Filter,
        limit: int,
        *,
        order: models.OrderBy | None = None,
        vectors: list[str] | bool = False,
    ) -> list[models.Record]:
        """The first points that match, all their fields with them."""
        records, _ = self._agreed(
            doing,
            lambda client, how: client.scroll(
                self._collection,
                scroll_filter=where,
                limit=limit,
                order_by=order,
                with_payload=True,
                with_vectors=vectors,
                consistency=how.consistency,
                timeout=how.timeout_s,
            ),
        )
        return records

    def page(
        self,
        where: models.Filter | None,
        after: models.ExtendedPointId | None,
        limit: int,
        *,
        vectors: list[str] | bool,
    ) -> Page:
        """Points that match, in the order of their ids, as one replica has them; where to go on.

        A page that several replicas agreed on would be shorter where they differ, and a short page
        is the server's last.
        """
        return self._calls(
            "scan",
            lambda client: client.scroll(
                self._collection,
                where,
                limit=limit,
                offset=after,
                with_payload=True,
                with_vectors=vectors,
            ),
        )

    def nearest(
        self, query: list[float], where: models.Filter, params: models.SearchParams, asked: Asked
    ) -> list[ScoredPoint]:
        """The points that match and score best, as many as are asked for."""
        alone = self._replication.alone
        fields = True if asked.fields is None else list(asked.fields)
        found = self._calls(
            "search",
            lambda client: (
                client.query_points(
                    self._collection,
                    query=query,
                    query_filter=among(where, asked.points),
                    search_params=params,
                    limit=asked.limit,
                    with_payload=fields if alone else False,
                ).points
            ),
        )
        if alone:
            return [ScoredPoint(str(p.id), p.score, p.payload or {}) for p in found]
        return self._shown([(str(p.id), p.score) for p in found], asked.fields)

    def _shown(self, found: Sequence[Scored], fields: Sequence[str] | None) -> list[ScoredPoint]:
        """Those of one replica's results that a majority shows, as the majority has them.

        Several are not asked to search: their graphs find different images, and their scores differ
        between kinds of processors, so that they would agree on few.
        """
        if not found:
            return []
        wanted = None if fields is None else [*fields, SEARCHABLE]
        records = self.retrieve("search", [point for point, _ in found], payload=wanted)
        said = {str(record.id): record.payload or {} for record in records}
        return [
            ScoredPoint(point, score, said[point])
            for point, score in found
            if said.get(point, {}).get(SEARCHABLE) == SHOWN
        ]

    def count(self, where: models.Filter) -> int:
        """Count the points that match, as one replica has them."""
        return self._calls(
            "count",
            lambda client: client.count(self._collection, count_filter=where, exact=True),
        ).count

    def status(self) -> models.CollectionStatus:
        """Tells how far the optimiser of the server is."""
        return self._calls("read", lambda client: client.get_collection(self._collection)).status

    def close(self) -> None:
        """Let go of the connections; repeated calls do nothing."""
        self._calls.close()
