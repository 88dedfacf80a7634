"""What the workers of a run share, by its folder; made by whichever process asks first."""

from __future__ import annotations

import fcntl
from hashlib import sha256
from pathlib import Path

from sightline.engine.embedding.choice import open_embedder
from sightline.engine.settings import EmbedderSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from tests.given import given
from tests.nasty_files import add_nasty_files, make_nasty_files
from tests.shared_servers import SharedServer


def kafka_of(run: Path) -> SharedServer[LocalKafka]:
    """The run's broker, not yet used."""
    return SharedServer(run / "kafka", LocalKafka)


def minio_of(run: Path) -> SharedServer[LocalMinio]:
    """The run's object store, not yet used."""
    secret = sha256(bytes(run)).hexdigest()
    return SharedServer(
        run / "minio",
        lambda data, port: LocalMinio(data, port, access_key="tests", secret_key=secret),
    )


def networks_of(run: Path) -> Path:
    """A cache of converted networks with the default model in it: 6 CPU-seconds to convert."""
    folder = run / "networks"
    folder.mkdir(exist_ok=True)
    with (run / "networks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        open_embedder(EmbedderSettings(runtime="openvino", threads=1), cache=folder)
    return folder


def nasty_of(run: Path) -> Path:
    """A folder of hostile and broken files with their verdicts: a CPU-second to make."""
    folder, draft = run / "nasty", run / "nasty.draft"
    with (run / "nasty.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            make_nasty_files(draft)
            more = given("nasty")
            if more is not None:
                add_nasty_files(more, draft)
            draft.rename(folder)
    return folder
