"""What people clicked or judged in, queries to measure models on out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightline.engine.label_data.judgements import Pair
from sightline.engine.ports import ObjectStore
from sightline.engine.settings import Settings
from sightline.infra.commands.extent import Extent
from sightline.infra.commands.learning.picture_set import PictureSet
from sightline.infra.commands.learning.stored_pictures import StoredPictures
from sightline.infra.commands.learning.training_data import (
    EVERYTHING,
    Labels,
    read_labels,
    read_pictures,
    some_of,
)
from sightline.infra.commands.taken_back import taken_back_told
from sightline.training.datasets.clusters import picture_clusters
from sightline.training.datasets.features import PictureFeatures
from sightline.training.datasets.judgements import JudgesVerdict, verdicts_of
from sightline.training.datasets.look_alikes import look_alike_groups
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.datasets.pictures import Picture, uploaded_pictures
from sightline.training.datasets.splits import cut_by_time, held_out
from sightline.training.datasets.triple_rows import JUDGED
from sightline.training.evaluation.click_truth import PictureQueries, clicks_as_truth
from sightline.training.evaluation.judged_truth import judgements_as_truth
from sightline.training.evaluation.query_sample import at_most
from sightline.training.loop.run_folder import PictureKind, read_kinds, read_record, recorded
from sightline.training.models.candidates import Candidate

PICTURES = 2_000
"""So many public pictures are ranked beside the judged ones, where no training names its own."""
Verdicts = Mapping[Pair, JudgesVerdict]
_UNKNOWN = PictureKind(-1, held_out=False, aside=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Sides:
    """How the pictures may be asked by, (n,) each."""

    clusters: NDArray[np.int64]
    clicked: NDArray[np.bool_]
    """Whether training saw clicks on pictures of its kind."""
    usable: NDArray[np.bool_]
    """Whether a judgement on it is news to the training."""


def clicks_held_out(
    settings: Settings,
    store: ObjectStore,
    folder: Path,
    first: Candidate,
    *,
    until: Extent = EVERYTHING,
    cache: Path | None = None,
) -> PictureSet:
    """The clicks that a training did not see: on what it kept out, and later ones.

    Only the pictures of the training are ranked. Where people graded anything, their grades that
    the training did not see stand beside the clicks.

    Args:
        settings: the process's.
        store: of these settings, open.
        folder: of the training.
        first: any of the models that are measured.
        until: count clicks up to there; where it is all, those since the training ended, too.
        cache: of features; None: `~/.cache/sightline/features`.

    Raises:
        SettingsInvalid: the folder holds no training.
        PartUnavailable: the log or the store did not answer.
    """
    record, kinds = read_record(folder), read_kinds(folder)
    labels = read_labels(settings, store, until)
    clicks = _clicked(labels)

    def queries_of(features: PictureFeatures) -> PictureQueries:
        queries = unseen_clicks(clicks.among(features.images), features, record, kinds)
        seed = int(recorded(record, "settings", "head", "seed"))
        return at_most(queries, settings.evaluation.queries, seed=seed)

    def graded_of(features: PictureFeatures) -> PictureQueries:
        sides = _sides(features, labels, record, kinds)
        return _graded(verdicts, features, labels, sides, most=settings.evaluation.queries)

    pictures, verdicts = read_pictures(settings, labels.held), verdicts_of(labels.judgements)
    seen = StoredPictures(settings, store, pictures, sorted(kinds), cache=cache)
    graded = PictureSet(seen, first, _told(verdicts), graded_of) if verdicts else None
    gone = taken_back_told(settings, store, record)
    named = "; ".join([f"clicks that {folder} did not see", *filter(None, [gone])])
    return PictureSet(seen, first, named, queries_of, graded)


def unseen_clicks(
    pairs: ClickPairs,
    features: PictureFeatures,
    record: Mapping[str, Any],
    kinds: Mapping[str, PictureKind],
) -> PictureQueries:
    """The clicks on what a training kept out, and those by anchors that came after its last.

    What was kept out is taken from the training's own record: kinds are numbered anew in each data
    set, and what taught must not judge.

    Args:
        pairs: numbered by the pictures.
        features: of pictures that the training knew.
        record: of the training.
        kinds: of its pictures.
    """
    shown = [kinds[image] for image in features.images]
    kept = held_out(
        pairs,
        np.asarray([kind.cluster for kind in shown], np.int64),
        np.asarray([kind.held_out for kind in shown], bool),
        np.asarray([kind.aside for kind in shown], bool),
    )
    if not len(pairs):
        return clicks_as_truth(pairs, kept, np.zeros(0, bool))
    bits = int(recorded(record, "settings", "head", "near_duplicate_bits"))
    groups = look_alike_groups(features.hashes, bits=bits)
    time = cut_by_time(pairs, groups, cut_ms=learnt_until_ms(record))
    return clicks_as_truth(pairs, kept, time.later)


def learnt_until_ms(record: Mapping[str, Any]) -> int:
    """The first instant whose clicks did not teach the training, in milliseconds since 1970."""
    newest_taught = not recorded(record, "settings", "later")
    return int(recorded(record, "counted", "later_from_ms")) + newest_taught


def judged(
    settings: Settings, store: ObjectStore, folder: Path | None, first: Candidate
) -> PictureSet:
    """What people judged, whenever they did.

    Args:
        settings: the process's.
        store: of these settings, open.
        folder: of a training, whose kinds are those of the queries, and whose pictures are ranked
            beside the judged ones. What it learnt from is not asked by, nor what it does not know.
            None: k-means in the space of `first` tells the kinds, and public pictures are ranked.
        first: any of the models that are measured.

    Raises:
        SettingsInvalid: the folder holds no training.
        PartUnavailable: the log or the store did not answer.
    """
    labels = read_labels(settings, store)
    verdicts = verdicts_of(labels.judgements)
    pictures = read_pictures(settings, labels.held)
    if folder is None:
        uploads = uploaded_pictures(labels.held.table).keys()
        others = some_of([*(pictures.keys() - uploads)], PICTURES, seed=0)
    else:
        record, kinds = read_record(folder), read_kinds(folder)
        others = [*kinds]

    def queries_of(features: PictureFeatures) -> PictureQueries:
        if folder is None:
            sides = _all_usable(first, features, pictures)
        else:
            sides = _sides(features, labels, record, kinds)
        return _graded(verdicts, features, labels, sides, most=settings.evaluation.queries)

    images = sorted({*others, *(image for pair in verdicts for image in pair)} & pictures.keys())
    seen = StoredPictures(settings, store, pictures, images)
    return PictureSet(seen, first, _told(verdicts), queries_of)


def _told(verdicts: Verdicts) -> str:
    return f"{len(verdicts)} judgements of people"


def _graded(
    verdicts: Verdicts, features: PictureFeatures, labels: Labels, sides: _Sides, *, most: int
) -> PictureQueries:
    clicked = _clicked(labels).among(features.images)
    queries = judgements_as_truth(
        verdicts,
        features.images,
        clusters=sides.clusters,
        clicked=sides.clicked,
        usable=sides.usable,
        asked=np.bincount(clicked.anchor, minlength=len(features)),
    )
    return at_most(queries, most, seed=0)


def _clicked(labels: Labels) -> ClickPairs:
    """The pairs that people clicked, without those that they judged."""
    return labels.pairs.chosen(np.asarray([name != JUDGED for name in labels.pairs.search], bool))


def _sides(
    features: PictureFeatures,
    labels: Labels,
    record: Mapping[str, Any],
    kinds: Mapping[str, PictureKind],
) -> _Sides:
    """By what a training knew: what it held out, or was judged since, is news to it."""
    shown = [kinds.get(image, _UNKNOWN) for image in features.images]
    clusters = np.asarray([kind.cluster for kind in shown], np.int64)
    held = np.asarray([kind.held_out for kind in shown], bool)
    kept = held | np.asarray([kind.aside for kind in shown], bool)
    until_ms = learnt_until_ms(record)
    known = labels.pairs.among(features.images)
    asked = known.anchor[known.issued_at_ms < until_ms]
    taught = {each.anchor for each in labels.judgements if each.judged_at_ms < until_ms}
    news = kept | ~np.isin(features.images, sorted(taught))
    return _Sides(
        clusters=clusters,
        clicked=np.isin(clusters, clusters[asked]) & ~held,
        usable=news & (clusters != _UNKNOWN.cluster),
    )


def _all_usable(
    first: Candidate, features: PictureFeatures, pictures: Mapping[str, Picture]
) -> _Sides:
    groups = [pictures[image].group for image in features.images]
    alike = look_alike_groups(features.hashes)
    vectors = first.vectors(features.features).astype(np.float32)
    clusters = picture_clusters(vectors, alike, labels=groups)
    every = np.ones(len(features), bool)
    return _Sides(clusters=clusters, clicked=~every, usable=every)
