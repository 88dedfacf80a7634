"""The shapes of answers to beacons and judgements, and of what judges are shown."""

from __future__ import annotations

from sightline.search_api.http.documents.document import Document


class InteractionsAnswer(Document):
    """Says that the event log has acknowledged the interactions."""

    accepted: int
    """Items in it; which of them count, the label join decides."""


class JudgementAnswer(Document):
    """Says that the event log has acknowledged the grade."""

    judged_at: str
    """From when it holds, RFC 3339; a judge's latest grade of an image for an anchor counts."""


class PoolsAnswer(Document):
    """The pools that there are to grade."""

    pools: list[str]
    """Names, in order."""


class PooledPicture(Document):
    """A picture that is asked by, or to be graded."""

    image_id: str
    """The image."""
    image_url: str
    """A clean JPEG, at most 1600 pixels long."""
    thumbnail_url: str
    """A clean JPEG, at most 320 pixels long."""


class GradedPicture(PooledPicture):
    """A picture to be graded, in the judge's own order."""

    grade: int | None = None
    """What this judge said of it; null: nothing yet."""


class PooledSearch(PooledPicture):
    """What is asked by, and what was found for it by any of several models."""

    images: list[GradedPicture]
    """Those that everybody may see; which model found one is not told."""


class SheetAnswer(Document):
    """The next of a pool that one judge has not graded."""

    pool: str
    """The pool's name."""
    images: int
    """How many (anchor, image) pairs the pool has."""
    graded: int
    """How many of them this judge graded."""
    anchors: list[PooledSearch]
    """In the pool's order; empty: nothing is left behind `after`."""


class AgreementAnswer(Document):
    """How far the judges of a pool agree."""

    judges: int
    """Who graded anything of it."""
    graded: int
    """(anchor, image) pairs with a grade."""
    shared: int
    """Those with grades of at least two judges."""
    kappa: float | None = None
    """Cohen's kappa with quadratic weights, the mean over pairs of judges who share at least 10:
    1 is perfect, 0 is chance; null: too little."""
