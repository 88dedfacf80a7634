"""What the commands on judgements do: models in, a pool out; grades in, agreement out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sightline.engine.clock import SystemClock
from sightline.engine.errors import SettingsInvalid
from sightline.engine.label_data.agreement import Agreement, agreement_of
from sightline.engine.label_data.grading_pools import (
    MAX_IMAGES,
    NAME,
    Pool,
    PooledAnchor,
    load_pool,
    pool_names,
    store_pool,
)
from sightline.engine.label_data.judgements import Pair, latest_of
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands.kept_messages import read_judgements
from sightline.infra.commands.learning.evaluate import candidate
from sightline.infra.commands.learning.stored_pictures import StoredPictures
from sightline.infra.commands.learning.training_data import (
    read_labels,
    read_pictures,
    some_of,
)
from sightline.infra.commands.opened_store import opened_store
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.look_alikes import look_alike_groups
from sightline.training.datasets.pictures import Picture, uploaded_pictures
from sightline.training.datasets.triple_rows import JUDGED
from sightline.training.evaluation.pooling import Vectors, find_first, worth_grading
from sightline.training.tracking import Say


class ChosenBy(StrEnum):
    """Why one anchor is worth grading before another."""

    DISAGREEMENT = "disagreement"
    """The models find different images first."""
    CLICKS = "clicks"
    """People clicked for it, most first, and nobody judged anything for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolWishes:
    """The pool that the command line asks for."""

    name: str
    models: tuple[str, ...]
    """Named as `sightline evaluate` takes them, at least one."""
    by: ChosenBy = ChosenBy.DISAGREEMENT
    depth: int = 10
    """So many images of each model."""
    anchors: int = 50
    """At most so many searches."""
    pictures: int = 2_000
    """So many public pictures are searched among, beside those that clicks are about."""
    strength: float
    """How far each trained head goes, 0-1."""
    seed: int = 0
    """Chooses the pictures, and the order in which judges see them."""


def make_pool(settings: Settings, wishes: PoolWishes, say: Say) -> Pool:
    """Choose what is worth grading, and store it for the grading page.

    Raises:
        SettingsInvalid: no such model, a name that is taken, or nothing is worth grading.
        PartUnavailable: the log or the store did not answer.
    """
    _refuse(wishes)
    with opened_store(settings) as store:
        if wishes.name in pool_names(store, settings.store.bucket):
            raise SettingsInvalid(f"there is a pool {wishes.name} already: name another")
        pool = _pool(settings, store, wishes, say)
        store_pool(store, settings.store.bucket, pool)
    return pool


def agreement(settings: Settings, name: str | None) -> Agreement:
    """How far judges agree, over a pool or over everything.

    Raises:
        NotFound: there is no such pool.
        PartUnavailable: the log or the store did not answer.
    """
    latest = latest_of(read_judgements(settings))
    pairs = [*latest]
    if name is not None:
        with opened_store(settings) as store:
            pairs = load_pool(store, settings.store.bucket, name).pairs
    held = (latest.get(pair, {}) for pair in pairs)
    return agreement_of({j: said.grade for j, said in by.items()} for by in held)


def _refuse(wishes: PoolWishes) -> None:
    if NAME.fullmatch(wishes.name) is None:
        raise SettingsInvalid(f"{wishes.name!r}: a pool's name has 1 to 64 of a-z 0-9 . _ -")
    if wishes.by is ChosenBy.DISAGREEMENT and len(wishes.models) < 2:  # noqa: PLR2004 - two
        raise SettingsInvalid("one model cannot disagree: name two, or choose by clicks")
    if wishes.depth * len(wishes.models) > MAX_IMAGES:
        raise SettingsInvalid(
            f"{wishes.depth} images of each of {len(wishes.models)} models may be more than "
            f"{MAX_IMAGES} for one search: choose a smaller depth"
        )


@dataclass(frozen=True, slots=True)
class _Known:
    """What there is, and what people said and did."""

    public: Mapping[str, Picture]
    judged: Collection[Pair]
    anchors_judged: Collection[str]
    clicks: Mapping[str, int]
    """How many images people preferred for each anchor."""

    def wanted(self, name: str) -> int:
        """How many clicks an anchor has, if nobody judged anything for it."""
        return 0 if name in self.anchors_judged else self.clicks.get(name, 0)


def _known(settings: Settings, store: ObjectStore) -> _Known:
    labels = read_labels(settings, store)
    pairs, table = labels.pairs, labels.held.table
    judged = latest_of(labels.judgements).keys()
    uploads = uploaded_pictures(table).keys()
    pictures = read_pictures(settings, labels.held)
    clicked = (row for row, name in zip(pairs.anchor, pairs.search, strict=True) if name != JUDGED)
    return _Known(
        public={image: picture for image, picture in pictures.items() if image not in uploads},
        judged=judged,
        anchors_judged={anchor for anchor, _ in judged},
        clicks=Counter(pairs.images[row] for row in clicked),
    )


def _pool(settings: Settings, store: ObjectStore, wishes: PoolWishes, say: Say) -> Pool:
    models = [candidate(settings, text, strength=wishes.strength) for text in wishes.models]
    known = _known(settings, store)
    some = some_of([*known.public], wishes.pictures, seed=wishes.seed)
    images = sorted({*known.clicks, *some} & known.public.keys())
    seen = StoredPictures(settings, store, known.public, images)
    features = [seen.features(model) for model in models]
    say(f"{len(features[0])} pictures are searched among")
    vectors = [m.vectors(f.features) for m, f in zip(models, features, strict=True)]
    return Pool(
        name=wishes.name,
        made_at=SystemClock().now(),
        models=tuple(model.name for model in models),
        depth=wishes.depth,
        seed=wishes.seed,
        anchors=_anchors(features[0], vectors, known, wishes),
    )


def _anchors(
    pictures: PictureFeatures, vectors: Sequence[Vectors], known: _Known, wishes: PoolWishes
) -> tuple[PooledAnchor, ...]:
    by_clicks = wishes.by is ChosenBy.CLICKS
    names = [image for image in pictures.images if not by_clicks or known.wanted(image)]
    rows = pictures.lookup(names).astype(np.intp)
    found = find_first(vectors, rows, depth=wishes.depth)
    wanted = [known.wanted(name) for name in names] if by_clicks else found.disagreement
    chosen = worth_grading(
        found,
        pictures.images,
        known.judged,
        first=wanted,
        groups=look_alike_groups(pictures.hashes),
        count=wishes.anchors,
    )
    if not chosen:
        raise SettingsInvalid(_NOTHING[wishes.by])
    return tuple(
        PooledAnchor(
            anchor_id=names[at],
            images=tuple(images),
            disagreement=float(found.disagreement[at]),
            clicks=known.clicks.get(names[at], 0),
        )
        for at, images in chosen
    )


_NOTHING: Mapping[ChosenBy, str] = {
    ChosenBy.DISAGREEMENT: "the models find the same everywhere, or all of it is judged",
    ChosenBy.CLICKS: "whatever was clicked for has judgements, or nothing was clicked",
}
