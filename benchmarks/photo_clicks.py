"""Labelled photos and vectors in; what people click on pages ranked by them, and its triples, out.

Everything after the click is the product's: join and miner see the simulated records alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

from benchmarks.label_replay import Epochs, closed_searches, closing_ms
from benchmarks.photo_features import LabelledPhotos
from sightline.engine.embedding.projections import Features
from sightline.engine.label_data.event_rows import Row, triple_row
from sightline.engine.label_data.triple_columns import triples_table
from sightline.engine.records import Message
from sightline.producers.click_simulator.catalogue import SimulatedPicture
from sightline.producers.click_simulator.ranked_catalogue import RankedCatalogue
from sightline.producers.click_simulator.simulated_log import SimulatedLog, Site
from sightline.producers.click_simulator.truth import Truth
from sightline.producers.click_simulator.user_model import UserModel
from sightline.schemas.labels import Verdict
from sightline.schemas.registry import decode
from sightline.schemas.topics import TRAINING_TRIPLES
from sightline.stream_workers.labels.codecs import instants
from sightline.stream_workers.labels.codecs.searches import Search
from sightline.stream_workers.labels.codecs.triples import Mined, TripleWriter
from sightline.stream_workers.labels.mine.epoch import clicked_by_people, mine_epoch
from sightline.stream_workers.labels.rules import LabelRules

_WRITTEN_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Habits:
    """How people behave, and how many of the actors are no people."""

    name: str
    model: UserModel = field(default_factory=UserModel)
    bots: float = 0.04

    def site(self) -> Site:
        """Half of the bots open everything, half click a few images over and over."""
        return Site(crawlers=self.bots / 2, hammers=self.bots / 2)


CLEAN = Habits(name="clean", model=UserModel(click_irrelevant=0.0), bots=0.0)
DEFAULT = Habits(name="default")
NOISY = Habits(
    name="noisy",
    model=UserModel(patience=0.8, click_relevant=0.4, click_irrelevant=0.1),
    bots=0.12,
)


class NearestPhotos:
    """Ranks photos by cosine, exactly; ties keep the photos' order.

    Args:
        images: their names; some thousands, since all cosines are held.
        vectors: (images, dimensions), not zero.
    """

    def __init__(self, images: Sequence[str], vectors: Features) -> None:
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._images = images
        self._rows = {image: row for row, image in enumerate(images)}
        self._cosines = unit @ unit.T
        np.fill_diagonal(self._cosines, -np.inf)

    def __call__(self, image_id: str, limit: int, /) -> list[tuple[str, float]]:
        """The `limit` nearest other photos with their cosines, best first."""
        cosines = self._cosines[self._rows[image_id]]
        best = np.argsort(-cosines, kind="stable")[: min(limit, len(cosines) - 1)]
        return [(self._images[each], float(cosines[each])) for each in best]


def catalogue_of(
    photos: LabelledPhotos, vectors: Features, digest: str, *, families: bool = False
) -> RankedCatalogue:
    """The photos as a site that a model ranks.

    Args:
        photos: all that the site has.
        vectors: the model's, photo by photo.
        digest: names the model.
        families: whether a photo of the same coarse label is half an answer.
    """
    columns = (photos.images, photos.labels, photos.hashes, photos.families)
    pictures = [
        SimulatedPicture(image, label, bits, family=family if families else "")
        for image, label, bits, family in zip(*(c.tolist() for c in columns), strict=True)
    ]
    nearest = NearestPhotos(photos.images.tolist(), vectors)
    return RankedCatalogue(pictures, nearest, model_digest=digest)


@dataclass(frozen=True, slots=True)
class Clicks:
    """What the join closed, and what was really so."""

    epochs: Epochs
    truth: Truth

    @property
    def searches(self) -> int:
        """Counts the closed searches, those of bots too."""
        return sum(map(len, self.epochs.values()))

    @property
    def count(self) -> int:
        """Counts what people clicked: each image once a page."""
        return sum(_clicked(search) for each in self.epochs.values() for _, search in each)

    def first(self, count: int) -> Clicks:
        """The earliest searches that have at least so many clicks between them, or all."""
        kept: Epochs = {}
        so_far = 0
        for epoch, searches in sorted(self.epochs.items()):
            for source, search in sorted(searches, key=lambda each: _age(each[1])):
                if so_far >= count:
                    return Clicks(kept, self.truth)
                kept.setdefault(epoch, []).append((source, search))
                so_far += _clicked(search)
        return Clicks(kept, self.truth)


def _age(search: Search) -> tuple[str, str]:
    return search.issued_at, search.search_id


def _clicked(search: Search) -> int:
    person = search.verdict == Verdict.PERSON.value
    return sum(image.clicks > 0 for image in search.shown) if person else 0


def clicks_on(
    catalogue: RankedCatalogue,
    habits: Habits,
    records: int,
    rules: LabelRules,
    *,
    seed: int,
    site: Site | None = None,
) -> Clicks:
    """People, bots and a network for so many records, then the join.

    Args:
        catalogue: what is searched.
        habits: how people behave.
        records: without ticks.
        rules: of the join.
        seed: of all chance.
        site: what else happens there; None: what the habits say.
    """
    log = SimulatedLog(catalogue, site or habits.site(), habits.model, seed=seed)
    epochs = closed_searches(log.records(records, end_ms=closing_ms(rules)), rules)
    return Clicks(epochs, log.truth)


Triples = list[tuple[str, Mined]]


def mined(clicks: Clicks, rules: LabelRules) -> Iterator[tuple[int, Triples]]:
    """Each epoch with its triples, under all rules."""
    acts = {e: clicked_by_people(s for _, s in each) for e, each in clicks.epochs.items()}
    for epoch, searches in sorted(clicks.epochs.items()):
        history = [acts.get(past, {}) for past in range(epoch - rules.history, epoch + 1)]
        yield epoch, mine_epoch(searches, history, rules)


def triple_table(epochs: Iterable[tuple[int, Triples]], rules: LabelRules) -> pa.Table:
    """The triples as the sink writes them to Parquet: through their events."""
    rows: list[Row] = []
    for epoch, triples in epochs:
        time = instants.text(rules.closes_at(epoch))
        writer = TripleWriter(epoch=epoch, rules_version=rules.version, time=time)
        for name, triple in triples:
            message = Message(
                topic=TRAINING_TRIPLES.name,
                partition=0,
                offset=len(rows),
                key=None,
                value=writer.encode(name, triple),
                timestamp=_WRITTEN_AT,
            )
            rows.append(triple_row(decode(message.value), message))
    return triples_table(rows)
