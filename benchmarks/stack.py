"""The stack that benchmarks measure: real broker and store, photos published, a worker to time."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from sightline.engine.serving.who_is_told import Voice
from sightline.engine.settings import KafkaSettings, Mode, Settings, StoreSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from sightline.infra.sample_photos.photo_folder import DRAWN_PHOTOS, PhotoFolder, synthetic_folder
from sightline.infra.wiring.generations import FedGeneration, index_worker
from sightline.infra.wiring.node import Node, Watch
from sightline.producers.images.publisher import ImagePublisher
from sightline.schemas.fields import Visibility
from sightline.schemas.indexed import Lane
from sightline.stream_workers.indexing.worker import IndexWorker

SHARED_PHOTOS = Path(__file__).resolve().parent.parent.parent / "shared" / "photos" / "images"

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Servers:
    """A broker and a store of the benchmark's own."""

    kafka: LocalKafka
    minio: LocalMinio
    scratch: Path

    def settings(self, *, directory_store: bool = False, threads: int | None = None) -> Settings:
        """Settings of a fresh corner: own topics, own bucket, own index."""
        corner = uuid.uuid4().hex[:10]
        base = Settings()
        return base.model_copy(
            update={
                "mode": Mode.SERVICES,
                "data_directory": self.scratch / corner,
                "kafka": KafkaSettings(
                    bootstrap_servers=self.kafka.bootstrap_servers,
                    topic_prefix=f"b{corner}.",
                    partitions=1 if _sharing else 4,
                    session_timeout_s=6.0,
                ),
                "store": StoreSettings(
                    directory=self.scratch / corner / "objects" if directory_store else None,
                    endpoint=self.minio.endpoint,
                    bucket=f"b{corner}",
                    access_key=self.minio.access_key,
                    secret_key=SecretStr(self.minio.secret_key),
                ),
                "embedder": base.embedder.model_copy(update={"threads": threads}),
                "api": base.api.model_copy(update={"port": 0, "requests_per_minute": 10**9}),
            }
        )


class _Shared:
    """One broker and one store for whoever asks, from the first who does to the end."""

    def __init__(self, opened: ExitStack) -> None:
        self._opened = opened
        self._servers: Servers | None = None

    def servers(self) -> Servers:
        """Those that run, or new ones."""
        if self._servers is None:
            self._servers = self._opened.enter_context(_started(None))
        return self._servers


_sharing: list[_Shared] = []


@contextmanager
def shared_servers() -> Iterator[None]:
    """Inside, `servers` gives the same ones to all: for figures that mean nothing."""
    with ExitStack() as opened:
        _sharing.append(_Shared(opened))
        try:
            yield
        finally:
            _sharing.pop()


@contextmanager
def servers(*, affinity: set[int] | None = None) -> Iterator[Servers]:
    """Broker and store; with `affinity`, on those cores alone, unless they are shared."""
    if _sharing:
        yield _sharing[-1].servers()
        return
    with _started(affinity) as own:
        yield own


@contextmanager
def broker(directory: Path) -> Iterator[LocalKafka]:
    """A broker alone, with its data there, unless the servers are shared."""
    if _sharing:
        yield _sharing[-1].servers().kafka
        return
    with LocalKafka(directory) as own:
        yield own


@contextmanager
def _started(affinity: set[int] | None) -> Iterator[Servers]:
    own = os.sched_getaffinity(0)
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="sightline-bench-")))
        os.sched_setaffinity(0, affinity or own)  # children inherit it
        try:
            kafka = opened.enter_context(LocalKafka(scratch / "kafka"))
            minio = opened.enter_context(LocalMinio(scratch / "minio"))
        finally:
            os.sched_setaffinity(0, own)
        yield Servers(kafka, minio, scratch)


def photo_bytes(count: int, scratch: Path) -> list[bytes]:
    """`count` real photos where they are on this machine, else drawn ones; repeated if too few."""
    folder = (
        PhotoFolder(SHARED_PHOTOS)
        if SHARED_PHOTOS.is_dir()
        else synthetic_folder(scratch / f"drawn-{count}", min(count, DRAWN_PHOTOS))
    )
    return [folder.sample(number) for number in range(count)]


def publish(
    publisher: ImagePublisher, pictures: Sequence[bytes], *, prefix: str, lane: Lane = Lane.LIVE
) -> None:
    """Put and publish pictures as `<prefix>-<number>`, all acknowledged when it returns."""

    def upload(item: tuple[int, bytes]) -> None:
        number, picture = item
        publisher.upload(
            picture,
            image_id=f"{prefix}-{number}",
            version=1,
            visibility=Visibility.PUBLIC,
            lane=lane,
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, enumerate(pictures)))


def serving_worker(node: Node) -> IndexWorker:
    """The worker of the generation that served when the node began, to be run alone."""
    state, pair = node.serving.opened_for.state, node.serving.pairs.now()
    fed = FedGeneration(
        known=state.serving,
        index=pair.index,
        embedder=pair.embedder,
        voice=Voice(state.serving.name, state),
    )
    return index_worker(node, fed)


def run_worker_until(watch: Watch, worker: IndexWorker, expected: int) -> None:
    """Run a worker that is watched so until so many image versions are settled, then stop it.

    Raises:
        RuntimeError: it ended before.
    """
    stop = threading.Event()
    thread = threading.Thread(target=worker.run, args=(stop,))
    thread.start()
    while outcome_count(watch) < expected:
        if not thread.is_alive():
            raise RuntimeError(f"the worker ended after {outcome_count(watch)} of {expected}")
        time.sleep(_LOOK_EVERY_S)
    stop.set()
    thread.join()


def outcome_count(watch: Watch) -> int:
    """How many image versions this process's worker has settled."""
    return int(
        sum(
            sample.value
            for family in watch.metrics.outcomes.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        )
    )
