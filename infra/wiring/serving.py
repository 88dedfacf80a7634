"""What serves, wired: the record, open indexes and models, and the pairs of the process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from sightline.engine.connecting.generations import generations_of, origin_of
from sightline.engine.connecting.index_and_model import open_pair
from sightline.engine.connecting.open_models import OpenModels
from sightline.engine.connecting.serving_record import begun
from sightline.engine.errors import Part, SightlineError
from sightline.engine.ports import ObjectStore, VectorIndex
from sightline.engine.serving.following import PairFollower, numbered
from sightline.engine.serving.kept_matrices import KeptMatrices
from sightline.engine.serving.open_indexes import OpenIndexes
from sightline.engine.serving.pairs import OpenedPair, ServingPairs
from sightline.engine.serving.record import ServingRecord, StoredServing
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import Serves
from sightline.engine.serving.watch import RecordWatch
from sightline.engine.settings import Settings
from sightline.engine.vector_index.edge.origin import record_origin
from sightline.infra.wiring.node import Watch
from sightline.stream_workers.image_log.fed_groups import FedGroups

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What a process holds of what serves, and of what may."""

    watched: RecordWatch
    """The record, for the loops that look at it again and again."""
    indexes: OpenIndexes
    models: OpenModels
    matrices: KeptMatrices
    pairs: ServingPairs
    opened_for: StoredServing
    """The state that the pairs were opened for at the start."""
    fed: FedGroups
    """Who reads the image topics here."""

    @property
    def record(self) -> ServingRecord:
        """The record itself: whoever changes it reads it afresh from here."""
        return self.watched.record

    def follower(self, settings: Settings, watch: Watch) -> PairFollower:
        """What exchanges the pairs as the record changes."""
        return PairFollower(
            self.watched,
            self.open_pair,
            self.pairs,
            opened_for=self.opened_for,
            look_every_s=settings.rollout.look_every_s,
            clock=watch.clock,
            metrics=watch.metrics,
        )

    @contextmanager
    def fed_indexes(self) -> Iterator[list[VectorIndex]]:
        """The generations that lack nothing, so that they need only what came last.

        One that is being filled is not among them: it lacks nearly everything, and whoever fills it
        knows of what. One that cannot be opened is noted as behind: it will need more than that.

        Raises:
            SightlineError: one that serves cannot be opened.
            PartUnavailable: the store did not answer.
        """
        state = self.opened_for.state
        with ExitStack() as held:
            found: list[VectorIndex] = []
            for one in (known for known in state.generations if known.may_serve):
                try:
                    found.append(held.enter_context(self.indexes.held(one.name)))
                except SightlineError as error:
                    if one.name in state.in_service:
                        raise
                    _log.error("generation %s cannot be opened: %s", one.name, error)
                    self.record.change(partial(ServingState.left_behind, name=one.name))
            yield found

    def open_pair(self, state: ServingState, serves: Serves) -> OpenedPair:
        """Index and model of a generation, as they are opened for searches."""
        return open_pair(self.indexes, self.models, self.matrices, state, serves)


def serving_of(
    settings: Settings,
    store: ObjectStore,
    watch: Watch,
    log_identity: Callable[[], str],
    opened: ExitStack,
) -> Serving:
    """Open what serves; the first start makes the record, and the first generation if need be.

    Args:
        settings: where index and models are.
        store: holds the record and the models of the registry.
        watch: is told that the embedder is up.
        log_identity: names the log that an embedded directory is made from.
        opened: closes what is opened here.

    Raises:
        GenerationMismatch: another model made the index than the settings name.
        OriginMismatch: the embedded directory was made from another log or bucket.
        IndexOwned: another process has the embedded directory.
        PartUnavailable: store or index did not answer.
    """
    generations = generations_of(settings, log_identity)
    opened.callback(generations.close)
    models = OpenModels(settings)
    record = ServingRecord.of(settings, store)
    matrices = KeptMatrices.of(settings, store)
    with models.keeping():
        known = begun(record, generations, settings, models, watch.clock)
        indexes = OpenIndexes(generations)
        first = open_pair(indexes, models, matrices, known.state, known.state.serves)
    pair = numbered(first, known.state)
    pairs = ServingPairs(pair)
    opened.callback(pairs.close)
    watch.health.up(Part.EMBEDDER, pair.pair.embedder.runtime)
    if settings.index.url is None:
        record_origin(settings.index_directory, origin_of(settings, log_identity))
    return Serving(
        watched=RecordWatch(record, every_s=settings.rollout.look_every_s, clock=watch.clock),
        indexes=indexes,
        models=models,
        matrices=matrices,
        pairs=pairs,
        opened_for=known,
        fed=FedGroups(known.state),
    )
