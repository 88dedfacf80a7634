"""The embedded stack: broker, journal, store and index of one owner process (docs/adr/0008)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from sightline.engine.connecting.connections import (
    EMBEDDED_PARTITIONS,
    embedded_kafka,
    event_log_on,
    object_directory,
    open_object_store,
)
from sightline.engine.event_log.embedded.bounded_producer import (
    BoundedEventProducer,
    CommittedOffsets,
)
from sightline.engine.event_log.embedded.broker import InProcessBroker
from sightline.engine.event_log.embedded.journal import JOURNAL_FILE, Journal, as_messages
from sightline.engine.event_log.embedded.journaled_producer import (
    DECISION_TOPICS,
    IMAGE_TOPICS,
    JournaledEventProducer,
)
from sightline.engine.event_log.embedded.sealed import Seal, SealingProducer
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.ports import EventProducer
from sightline.engine.private_files import private_folder
from sightline.engine.records import Message
from sightline.engine.serving.current_index import CurrentIndex
from sightline.engine.settings import Settings
from sightline.infra.wiring.node import Events, Node
from sightline.infra.wiring.publishing import known_in, publishing, watch
from sightline.infra.wiring.serving import serving_of
from sightline.producers.images.catalogued import CataloguedImages
from sightline.schemas.topics import INTERACTIONS, TOPICS
from sightline.stream_workers.image_log.fed_groups import FedGroups
from sightline.stream_workers.labels.groups import join_group


@contextmanager
def embedded_node(settings: Settings) -> Iterator[Node]:
    """The owner's parts, closed last first; everything durable lies in the data directory.

    The index comes before all that is written to: its lock on the directory keeps a second owner
    out.

    Raises:
        RefusedToStart: other users of the machine can enter a directory of it.
        IndexOwned: another process owns the directory.
        GenerationMismatch: another model made the index.
        OriginMismatch: the index was made from another journal or bucket.
    """
    for folder in _outermost(settings):
        private_folder(folder)
    seen = watch()
    with ExitStack() as opened:
        store = open_object_store(settings)
        opened.callback(store.close)
        serving = serving_of(settings, store, seen, lambda: _log_identity(settings), opened)
        index = CurrentIndex(serving.pairs)
        broker = InProcessBroker(TOPICS, EMBEDDED_PARTITIONS)
        opened.callback(broker.close)
        journal = Journal(settings.data_directory / JOURNAL_FILE)
        opened.callback(journal.close)
        kafka = embedded_kafka(settings, broker.bootstrap_servers)
        # Without a bound and without the journal.
        seal = Seal()
        bare = SealingProducer(KafkaEventProducer(kafka), seal)
        opened.callback(bare.close)
        journaled = JournaledEventProducer(bare, journal, clock=seen.clock)
        producer = _bounded(settings, CommittedOffsets(kafka), journaled, serving.fed, opened)
        made = publishing(settings, producer, store, seen.clock, index)
        yield Node(
            settings=settings,
            watch=seen,
            events=Events(
                kafka=kafka,
                log=event_log_on(kafka, settings),
                producer=producer,
                worker_producer=bare,
                run_id=uuid.uuid4().hex,
                # The journal's: the broker keeps about 5 MiB a partition.
                read_images=partial(_journaled, journal, IMAGE_TOPICS),
                read_decisions=partial(_journaled, journal, DECISION_TOPICS),
                remembered_images=partial(_journaled, journal, IMAGE_TOPICS | DECISION_TOPICS),
                seal=seal,
                journal=journal,
            ),
            store=store,
            publishing=made,
            serving=serving,
            index=index,
            catalogued=CataloguedImages(made.catalogue, made.publisher, known=known_in(index)),
        )


def _outermost(settings: Settings) -> list[Path]:
    """The data directory, and what the settings keep outside of it."""
    data = settings.data_directory
    named = (settings.index_directory, object_directory(settings))
    return [data, *(one for one in named if one is not None and data not in one.parents)]


def _log_identity(settings: Settings) -> str:
    # Relative: both directories may move together.
    place = os.path.relpath(settings.data_directory.resolve(), settings.index_directory.resolve())
    return f"the embedded journal in {place}"


def _bounded(
    settings: Settings,
    committed: CommittedOffsets,
    inner: EventProducer,
    fed: FedGroups,
    opened: ExitStack,
) -> EventProducer:
    """Refuses what the consumers are too far behind for, else passes it on."""
    labelled: dict[str, list[str]] = {}
    if settings.labels.supervised:  # else nobody ever commits
        labelled[INTERACTIONS.name] = [join_group(settings.labels, INTERACTIONS.name)]
    opened.callback(committed.close)
    producer = BoundedEventProducer(
        inner,
        lambda topic: labelled.get(topic) or fed.of(topic),
        committed,
        partitions=EMBEDDED_PARTITIONS,
    )
    opened.callback(producer.close)
    return producer


def _journaled(journal: Journal, topics: Collection[str] = ()) -> Iterable[Message]:
    """What the journal holds of these topics, as messages; none: of all."""
    return as_messages(journal.winners(topics))
