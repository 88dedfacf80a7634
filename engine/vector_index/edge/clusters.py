"""The look for a picture's clusters in the embedded engine: no search where no cluster is near."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import qdrant_edge as edge

from sightline.engine.records import IndexedImage, Likeness
from sightline.engine.vector_index.edge.cluster_names import MOST, ClusterNames
from sightline.engine.vector_index.edge.live_shard import EdgeStore


class EdgeClusters:
    """Knows the names of clusters from the first look on; no other process writes to the shard."""

    def __init__(self, store: EdgeStore) -> None:
        self._store = store
        self._names = ClusterNames()
        self._reading = threading.Lock()
        self._read = False

    def writes(self, images: Sequence[IndexedImage]) -> None:
        """Learn the names of these before they are written, so that no look misses one."""
        self._names.add(image.cluster for image in images if image.cluster is not None)

    def may_have(self, pictures: Sequence[Likeness], *, bits: int) -> list[bool]:
        """Whether each picture is within `bits` of any cluster's name, of whatever image."""
        self._read_names()
        return [self._names.may_be_near(each.perceptual_hash, bits=bits) for each in pictures]

    def _read_names(self) -> None:
        with self._reading:
            if not self._read:
                every = edge.FacetRequest("cluster", limit=MOST + 1, exact=True)
                with self._store.reading("count") as shard:
                    found = [str(hit.value) for hit in shard.facet(every).hits]
                self._names.add(found)
                if len(found) > MOST:
                    self._names.give_up()
                self._read = True
