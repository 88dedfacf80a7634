"""What every tier shares: markers by folder, one real broker and one real store a run, data."""

from __future__ import annotations

import fcntl
import gc
import os
import uuid
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.testing
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from sightline.engine.garbage_collection import look_for_garbage_seldom
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.settings import KafkaSettings, StoreSettings
from sightline.infra.local.kafka_server import LocalKafka
from sightline.infra.local.minio_server import LocalMinio
from sightline.infra.local.toolchain import CHROMIUM, locate
from tests.given import given
from tests.order import mixed, servers_last, tier_of
from tests.patience import patient
from tests.run_parts import kafka_of, minio_of, nasty_of, networks_of
from tests.shared_servers import SharedServer

pytest_plugins = ["tests.measured", "tests.scratch"]
# Read by torch's compiler when it is imported, else it starts processes that import torch, too.
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
# A command line is built of all its commands, 70 ms of CPU each time that a test runs one.
setattr(typer.testing, "_get_command", cache(typer.main.get_command))  # noqa: B010
ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 300
"""Of a test that names no other, on a quiet machine."""
SELDOM_GARBAGE = (10_000, 10, 10)
"""Of a test: what most of them make is gone with its last name, and looking for cycles among it
every 700 objects takes a tenth of their time."""
# Wall-clock deadlines of single examples say nothing on a shared machine.
settings.register_profile(
    "sightline",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("sightline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the task runner say that servers are still being fetched or built."""
    parser.addoption(
        "--servers-last", action="store_true", help="Run the tests that need no server first."
    )


def pytest_sessionstart() -> None:
    """Look for garbage seldom while tests are collected: nearly all that is made then stays."""
    look_for_garbage_seldom()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let the workers of a run import a test module one after the other.

    The first compiles it, which takes pytest 5 CPU-seconds for all of them; the others need not.
    """
    if not isinstance(collector, pytest.Module):
        return (yield)
    with collector.path.open("rb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        return (yield)


def pytest_collection_finish() -> None:
    """Set aside what was collected, so that no test's garbage is looked for among all tests."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*SELDOM_GARBAGE)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order by file; mark each test with its tier, and stretch its time limit."""
    in_order = servers_last if config.getoption("--servers-last") else mixed
    places = {path: at for at, path in enumerate(in_order(item.path for item in items))}
    items.sort(key=lambda item: places[item.path])
    rests = True
    for item in reversed(items):
        rests = item.stash[_RESTS] = rests and tier_of(item.path) == "unit"
    for item in items:
        limit = item.get_closest_marker("timeout")
        limit_s = limit.args[0] if limit else TIMEOUT_S
        item.add_marker(pytest.mark.timeout(patient(limit_s)), append=False)
        item.add_marker(tier_of(item.path))


_RESTS = pytest.StashKey[bool]()
"""Of a test: whether it and all that come after it need no server."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the run's servers rest once only unit tests are left.

    Each takes as much CPU for the minutes in which nobody asks it as it takes to start.
    """
    for server in _servers:
        if item.stash[_RESTS]:
            server.leave()
        elif tier_of(item.path) != "unit":
            server.use()


_servers: list[SharedServer[LocalKafka] | SharedServer[LocalMinio]] = []
"""Of the run, once this process has asked for them."""


@pytest.fixture(scope="session")
def kafka(run_folder: Path) -> Iterator[str]:
    """Bootstrap servers of the run's real broker, which all of its workers use at once.

    Tests that stop, kill or configure a broker start one of their own.
    """
    shared = kafka_of(run_folder)
    shared.use()
    _servers.append(shared)
    yield shared.server.bootstrap_servers
    shared.leave()


@pytest.fixture
def kafka_settings(kafka: str) -> KafkaSettings:
    """Settings of a corner of the broker that is this test's alone; its topics do not exist yet."""
    return KafkaSettings(
        bootstrap_servers=kafka,
        topic_prefix=f"t{uuid.uuid4().hex[:12]}.",
        partitions=3,
        session_timeout_s=6.0,
    )


@pytest.fixture(scope="session")
def minio(run_folder: Path) -> Iterator[LocalMinio]:
    """The run's object store; tests that stop or kill a store start one of their own."""
    shared = minio_of(run_folder)
    shared.use()
    _servers.append(shared)
    yield shared.server
    shared.leave()


@pytest.fixture
def store_settings(minio: LocalMinio) -> StoreSettings:
    """Settings of a bucket that is this test's alone, and exists."""
    fresh = StoreSettings(
        endpoint=minio.endpoint,
        bucket=f"t{uuid.uuid4().hex[:16]}",
        access_key=minio.access_key,
        secret_key=SecretStr(minio.secret_key),
    )
    store = S3ObjectStore(fresh)
    store.ensure_bucket(fresh.bucket)
    store.close()
    return fresh


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser's executable, for playwright's `executable_path`."""
    return locate(CHROMIUM)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the workers of a run keep what they share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "run"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def networks(run_folder: Path) -> Path:
    """A cache of converted networks that begins empty: the user's own would hide a broken one.

    The workers of a run share it, with the default model in it.
    """
    return networks_of(run_folder)


@pytest.fixture(scope="session")
def photos() -> Path:
    """A folder of labelled photos (`manifest.csv`, `images/`): 4,403, or the checkout's own 150."""
    return given("photos") or ROOT / "tests" / "data" / "photos"


@pytest.fixture(scope="session")
def nasty(run_folder: Path) -> Path:
    """A folder of hostile and broken files with the verdict that each must get; the run's."""
    return nasty_of(run_folder)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of reference networks and the embeddings that they must reproduce."""
    large = given("weights")
    if large is not None:
        return large
    # torch and torchvision take seconds to import
    from tests.reference_networks import make_reference_networks  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("weights")
    make_reference_networks(folder)
    return folder
