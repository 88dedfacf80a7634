"""A deployment with pictures, clicks and a judgement, small enough to train on in a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sightline.engine.clock import ManualClock
from sightline.engine.embedding.model_files import model_source
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import Settings, SinkSettings, StoreSettings
from sightline.infra.commands import kept_messages
from sightline.infra.commands.learning import networks
from sightline.infra.commands.learning.train import TrainWishes, run_training
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageUploaded, ObjectReference
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.searches import ImageQuery
from sightline.schemas.topics import IMAGES, JUDGEMENTS, TRAINING_TRIPLES
from sightline.stream_workers.labels.sink.partition import PartitionSink
from sightline.training.loop.learning import LearningSettings
from sightline.training.loop.settings import HeadSettings
from sightline.training.loop.steps import Steps
from tests.label_rows import at, encoded, message, triple
from tests.learning import Colours
from tests.pictures import encoded as picture_bytes
from tests.pictures import scene

BUCKET = "sightline"
NAMES = tuple(f"i{number:02}" for number in range(24))
LEARNING = LearningSettings(
    head=HeadSettings(steps=12, batch=16, checkpoint_every=4), held_out=0.3, later=0.2
)


@dataclass(frozen=True)
class Place:
    """A deployment's settings, its store and its log."""

    settings: Settings
    store: DirectoryObjectStore
    broker: MemoryBroker
    producer: MemoryEventProducer
    folder: Path
    said: list[str] = field(default_factory=list)
    """What trainings told of themselves."""

    def train(self, name: str, **changes: Any) -> dict[str, bytes]:
        """Train into a folder; its files' bytes by name."""
        wishes = TrainWishes(
            folder=self.folder / name, learning=LEARNING, corpus=4, cache=self.folder / "cache"
        )
        run_training(self.settings, replace(wishes, **changes), self.said.append)
        return {path.name: path.read_bytes() for path in (self.folder / name).iterdir()}

    @property
    def log(self) -> MemoryEventLog:
        """What commands read."""
        return MemoryEventLog(self.broker)

    def tag(self, name: str, *tags: str, version: int = 2) -> None:
        """Append to the log what an image is now, with these tags."""
        size = self.store.stat(BUCKET, name).size_bytes
        stored = ObjectReference(bucket=BUCKET, key=name, size_bytes=size)
        event = ImageUploaded(
            image_id=name, version=version, object=stored, visibility=Visibility.PUBLIC, tags=tags
        )
        told = encoded(event, f"{name}.{version}" if version > 1 else name)
        self.producer.append(ProducerRecord(IMAGES.name, name, told))

    def judge(self, anchor: str, image: str, grade: int, judge: str = "key~ann") -> None:
        """Append a person's grade to the log."""
        said = RelevanceJudged(
            anchor_id=anchor, image_id=image, grade=grade, judge_id=judge, judged_at=at(0)
        )
        name = f"{anchor}.{image}.{judge}"
        self.producer.append(ProducerRecord(JUDGEMENTS.name, anchor, encoded(said, name)))

    def sink(self, values: list[bytes], start: int) -> None:
        """Write records of the labelled topic to Parquet, from an offset on."""
        limits = SinkSettings()
        manifest = TripleManifest(self.store, BUCKET, TRAINING_TRIPLES.name)
        sink = PartitionSink(manifest, 0, limits=limits, clock=ManualClock(), bury=lambda *_: None)
        for offset, value in enumerate(values, start):
            sink.take(message(value, offset))
        sink.flush()


def made_place(folder: Path) -> Place:
    """Twenty-four public pictures, sixty clicks on twenty of them, and a judgement."""
    settings = Settings(
        data_directory=folder / "data", store=StoreSettings(directory=folder / "objects")
    )
    store = DirectoryObjectStore(folder / "objects")
    store.ensure_bucket(BUCKET)
    broker = MemoryBroker()
    producer = MemoryEventProducer(broker)
    place = Place(settings, store, broker, producer, folder)
    for number, name in enumerate(NAMES):
        store.put(BUCKET, name, picture_bytes(scene(seed=number), "PNG"))
        place.tag(name, version=1)
    place.judge("i00", "i05", 5)
    place.sink([clicked(number) for number in range(60)], 0)
    return place


@contextmanager
def dying(monkeypatch: pytest.MonkeyPatch, *, after: int) -> Iterator[None]:
    """Within it a training dies after so many checkpoints."""
    done, calls = Steps.done, iter(range(after))

    def counted(self: Steps, *arguments: Any, **options: Any) -> Any:
        next(calls)
        return done(self, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "done", counted)
        with pytest.raises(StopIteration):
            yield


def clicked(number: int, **changes: object) -> bytes:
    """A triple of a search a minute after the one before."""
    anchor, positive, negative = (NAMES[(number * step) % 20] for step in (1, 7, 11))
    fields = {
        "anchor_id": anchor,
        "positive_id": positive,
        "negative_id": negative,
        "search_id": f"search-{number:03}",
        "issued_at": at(number),
        "query": ImageQuery(image_id=anchor),
    }
    return triple(number, **fields | changes)


def seen_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A deployment whose pictures a network of sixteen features sees."""
    place = made_place(folder)
    monkeypatch.setattr(kept_messages, "open_event_log", lambda _: place.log)
    monkeypatch.setattr(networks, "open_runtime", lambda *_: Colours())
    source = replace(model_source(place.settings.embedder), projection=None, projection_id=None)
    monkeypatch.setattr(networks, "model_source", lambda _: source)
    return place
