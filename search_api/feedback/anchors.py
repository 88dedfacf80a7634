"""What a judgement says it is about, and whether that is so (docs/api.md)."""

from __future__ import annotations

import re

from sightline.engine.errors import NotFound
from sightline.engine.ports import ObjectStore
from sightline.engine.search_ids import QUERY_PREFIX, SearchIds
from sightline.engine.vector_index.visible import ANYBODY, VisibleIndex
from sightline.schemas.images import ObjectReference
from sightline.schemas.searches import UploadQuery
from sightline.search_api.http.request_fields import Judgement

_UPLOAD = re.compile(r"q-([0-9a-f]{32})")


class Anchors:
    """Knows images that everybody may see, and uploads that somebody asked by."""

    def __init__(
        self, visible: VisibleIndex, store: ObjectStore, bucket: str, ids: SearchIds
    ) -> None:
        self._visible = visible
        self._store = store
        self._bucket = bucket
        self._ids = ids

    def query_of(self, judgement: Judgement) -> UploadQuery | None:
        """Where an upload's picture lies; None: an indexed image, or no picture was kept.

        Raises:
            NotFound: there is no such anchor, or it is not everybody's to see.
            PartUnavailable: index or store did not answer.
        """
        upload = _UPLOAD.fullmatch(judgement.anchor_id)
        if upload is None:
            self._visible.get(judgement.anchor_id, ANYBODY)
            return None
        kept = self._kept(upload[1])
        if kept is None and not self._was_asked_by(judgement):
            raise NotFound(f"there is no image {judgement.anchor_id}")
        return kept

    def _kept(self, digits: str) -> UploadQuery | None:
        """A whole picture's anchor has the first digits of its SHA-256, by which it is kept."""
        found = next(iter(self._store.list(self._bucket, QUERY_PREFIX + digits)), None)
        if found is None:
            return None
        digest = found.key.removeprefix(QUERY_PREFIX)
        kept = ObjectReference(
            bucket=self._bucket, key=found.key, size_bytes=found.size_bytes, sha256=digest
        )
        return UploadQuery(sha256=digest, object=kept)

    def _was_asked_by(self, judgement: Judgement) -> bool:
        issued = None if judgement.search_id is None else self._ids.opened(judgement.search_id)
        return issued is not None and issued.anchor_id == judgement.anchor_id
