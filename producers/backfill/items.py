"""One item of a backfill: from its file to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from sightline.engine.errors import PermanentError
from sightline.engine.pacing import Pace
from sightline.producers.backfill.ends import Ended, FileEnd
from sightline.producers.backfill.files import (
    MAX_BYTES,
    FileRefused,
    Files,
    FoundFile,
    has_image_suffix,
)
from sightline.producers.backfill.pacing import patiently
from sightline.producers.images.catalogue_writes import Known
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.ids import refuse_derived
from sightline.producers.images.originals import Original
from sightline.producers.images.publisher import ImagePublisher
from sightline.producers.images.states import with_bytes
from sightline.schemas.envelope import ContractError
from sightline.schemas.fields import Visibility
from sightline.schemas.images import (
    Authority,
    ImageDeleted,
    ImageState,
    ImageUploaded,
    ObjectReference,
)
from sightline.schemas.indexed import Lane


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillOptions:
    """How a backfill publishes images: on which lane, how fast, and what of known ones."""

    visibility: Visibility | None = None
    """For images whose manifest says nothing; without a manifest it must be given."""
    lane: Lane = Lane.BACKFILL
    """The live lane is for a handful of images that must overtake a running backfill."""
    replace: bool = False
    """Publish known images, too, at previous + 1; visibility, moderation and tags stay."""
    rate_per_s: float | None = None
    """At most so many images a second."""
    threads: int = 8
    """Files that are read, stored and waited for at once."""
    max_bytes: int = MAX_BYTES
    """A larger file is refused by its size: the worker would reject it (`decode.max_bytes`)."""
    hidden: bool = False
    """Publish what lies in hidden and system folders, too; a manifest's rows always are."""
    patience_s: float = 60.0
    """How long a part may fail before the backfill stops, to be resumed."""


class ItemPublisher:
    """Publishes the items of one backfill; safe across threads."""

    def __init__(
        self,
        publisher: ImagePublisher,
        files: Files,
        options: BackfillOptions,
        *,
        known: Known | None,
        catalogued: CataloguedImages | None,
        stop: threading.Event,
    ) -> None:
        self._publisher = publisher
        self._files = files
        self._options = options
        self._known = known
        self._catalogued = catalogued
        self._stop = stop
        self._pace = Pace(options.rate_per_s, clock=publisher.clock, stop=stop)

    def one(self, item: FoundFile) -> Ended:
        """Publish one item and wait for its acknowledgement.

        Raises:
            TransientError: a part failed for longer than our patience, or we were stopped.
        """
        if item.ended is not None:
            return item.ended
        if not item.named and not has_image_suffix(item.row.path):
            return FileEnd.UNSUPPORTED, "no still picture by its name"
        self._pace.wait()
        try:
            return self._patiently(lambda: self._publish(item))
        except ValidationError as error:
            return FileEnd.FAILED, str(ContractError.of(error))
        except (PermanentError, ValueError) as error:
            return FileEnd.FAILED, str(error)

    def _publish(self, item: FoundFile) -> Ended:
        if item.image_id != self._files.image_id(item.row.path):
            refuse_derived(item.image_id)
        original = self._files.referred(item.row.path, item.image_id)
        if original.reference.size_bytes == 0:
            raise FileRefused("it is empty")
        state = _state_of(item, original.reference, self._options.visibility)
        present = self._known(item.image_id) if self._known and item.row.version is None else None
        if present is None:
            return self._send(state, original)
        same_bytes = _same_bytes(state.object, present.object)
        if same_bytes and (self._options.replace or _same_facts(state, present)):
            return FileEnd.KNOWN, ""
        if not self._options.replace:
            return FileEnd.DIFFERS, f"known at version {present.version}"
        return self._replace(present, original)

    def _replace(self, present: ImageState, original: Original) -> Ended:
        if isinstance(present, ImageDeleted):
            raise FileRefused("the image is deleted; upload it to bring it back")
        if present.authority is not Authority.SIGHTLINE:
            state = with_bytes(present, original.reference, version=present.version + 1)
            return self._send(state, original)
        if self._catalogued is None:
            raise FileRefused("Sightline counts its versions, and the catalogue is not at hand")
        self._catalogued.replace_bytes(present.image_id, original, lane=self._options.lane)
        return FileEnd.PUBLISHED, ""

    def _send(self, state: ImageUploaded, original: Original) -> Ended:
        self._publisher.keep(original)
        event = self._publisher.event_of(state)  # its id may be derived: it was derived here
        self._publisher.publish_event(event, lane=self._options.lane).result()
        return FileEnd.PUBLISHED, ""

    def _patiently(self, action: Callable[[], Ended]) -> Ended:
        return patiently(
            action,
            patience_s=self._options.patience_s,
            clock=self._publisher.clock,
            stop=self._stop,
        )


def _state_of(
    item: FoundFile, reference: ObjectReference, visibility: Visibility | None
) -> ImageUploaded:
    row = item.row
    return ImageUploaded(
        image_id=item.image_id,
        version=row.version or 0,
        authority=Authority.BACKFILL if row.version is None else Authority.OWNER,
        object=reference,
        visibility=row.visibility or visibility or Visibility.PRIVATE,
        tags=row.tags,
        owner_id=row.owner,
        group_id=row.group_id,
        attributes=row.attributes,
    )


def _same_facts(state: ImageState, present: ImageState) -> bool:
    """Whether a known image already is what would be said, whoever counts its versions."""
    said = {"tags", "visibility", "owner_id", "group_id", "attributes"}
    return state.model_dump(include=said) == present.model_dump(include=said)


def _same_bytes(new: ObjectReference, present: ObjectReference | None) -> bool:
    """By digest where both have one, else by place and size."""
    if present is None:
        return False
    if new.sha256 is not None and present.sha256 is not None:
        return new.sha256 == present.sha256
    return (new.bucket, new.key, new.size_bytes) == (
        present.bucket,
        present.key,
        present.size_bytes,
    )
