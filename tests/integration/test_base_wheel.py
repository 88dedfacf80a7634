"""The wheel of the base install, in a clean environment, publishes an upload to Kafka and S3."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from sightline.engine.event_log.kafka import read_topics
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.settings import KafkaSettings, StoreSettings
from sightline.schemas.topics import IMAGES, TOPICS
from tests.conftest import ROOT

ROOMS = ("schemas", "engine", "producers", "stream_workers", "search_api", "training", "infra")
PICTURE = b"\xff\xd8\xff not looked at by a producer"
PUBLISH = """
import json, sys
from importlib.util import find_spec
from sightline.producers.connect import connect

with connect(source="/wheel-test") as images:
    done = images.upload(
        sys.stdin.buffer.read(), image_id="from-a-wheel", version=7, content_type="image/jpeg"
    )
unwanted = ("engine", "schemas", "torch", "numpy", "PIL", "fastapi", "prometheus_client")
found = [name for name in unwanted if find_spec(name)]
print(json.dumps({"image_id": done.image_id, "offset": done.offset, "found": found}))
"""


def run(command: Sequence[str | Path], **more: object) -> str:
    """Run to the end, outside the checkout's influence; standard output."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, check=False, **more)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr.decode()
    answer: str = done.stdout.decode()
    return answer


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building in the checkout would leave files there."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    unwanted = shutil.ignore_patterns("__pycache__")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=unwanted)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "uv",
        "build",
        "--wheel",
        "--no-build-isolation",
    ]
    run([*build, "--python", sys.executable, "--out-dir", folder, source])
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="session")
def clean_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the pinned base install and nothing else."""
    environment = tmp_path_factory.mktemp("clean") / "venv"
    python = environment / "bin" / "python"
    uv: list[str | Path] = [sys.executable, "-m", "uv"]
    run([*uv, "venv", "--python", sys.executable, environment])
    install: list[str | Path] = [*uv, "pip", "install", "--python", python]
    run([*install, "--require-hashes", "-r", ROOT / "infra/requirements" / "base.txt"])
    run([*install, "--no-deps", wheel])
    run([*uv, "pip", "check", "--python", python])
    return python


def test_the_base_install_publishes_an_upload(
    clean_python: Path, kafka_settings: KafkaSettings, store_settings: StoreSettings, tmp_path: Path
) -> None:
    """Bytes in the store, event in the log, and neither torch nor a package named `engine`."""
    KafkaTopics(kafka_settings).ensure(TOPICS)
    assert store_settings.access_key is not None
    assert store_settings.secret_key is not None
    environment = {
        "PATH": os.environ["PATH"],
        "SIGHTLINE_MODE": "services",
        "SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS": kafka_settings.bootstrap_servers,
        "SIGHTLINE_KAFKA__TOPIC_PREFIX": kafka_settings.topic_prefix,
        "SIGHTLINE_STORE__ENDPOINT": store_settings.endpoint,
        "SIGHTLINE_STORE__BUCKET": store_settings.bucket,
        "SIGHTLINE_STORE__ACCESS_KEY": store_settings.access_key,
        "SIGHTLINE_STORE__SECRET_KEY": store_settings.secret_key.get_secret_value(),
    }
    said = run([clean_python, "-I", "-c", PUBLISH], input=PICTURE, env=environment, cwd=tmp_path)
    assert json.loads(said) == {"image_id": "from-a-wheel", "offset": 0, "found": []}
    [message] = list(read_topics(kafka_settings, [IMAGES.name]))
    event = json.loads(message.value or b"")
    assert (event["source"], event["data"]["version"]) == ("/wheel-test", 7)
    store = S3ObjectStore(store_settings)
    key = f"images/from-a-wheel/{hashlib.sha256(PICTURE).hexdigest()}"
    assert store.get(store_settings.bucket, key) == PICTURE
    store.close()


def test_the_command_of_the_base_install_starts(clean_python: Path, tmp_path: Path) -> None:
    """`sightline --help` works without the extras."""
    said = run([clean_python.with_name("sightline"), "--help"], cwd=tmp_path)
    assert "upload" in said
