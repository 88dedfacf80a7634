"""The whole loop on the embedded stack: searches and clicks through the API, triples out of it."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sightline.engine.connecting.connections import OBJECTS, reachable_kafka
from sightline.engine.event_log.kafka import read_topics
from sightline.engine.label_data.triple_table import read_triples
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.settings import KafkaSettings, LabelSettings, Settings
from sightline.infra.local.free_ports import free_port
from sightline.infra.local.node_process import NodeProcess
from sightline.producers.click_simulator.api_driver import ApiDriver
from sightline.producers.click_simulator.user_model import UserModel
from sightline.schemas.labels import TripleMined
from sightline.schemas.registry import decode
from sightline.schemas.topics import EPOCHS_DONE, TRAINING_TRIPLES
from tests.asking import Asking, drawn, embedded
from tests.processes import ForkedNode, sightline
from tests.waiting import eventually

PICTURES = drawn(18, seed=4_711)
KINDS = 6
SEARCHES = 12
QUICK = UserModel(look_ms=300.0, dwell_relevant_ms=1_500.0, dwell_irrelevant_ms=200.0)
RULES = LabelSettings(
    epoch_s=2.0,
    attribution_window_s=6.0,
    lateness_s=1.0,
    tick_s=0.5,
    long_dwell_s=1.0,
    examined_s=0.5,
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, Settings]]:
    """`sightline up` with epochs of two seconds."""
    directory = tmp_path_factory.mktemp("labels")
    ports = {"join_metrics_port": free_port(), "mine_metrics_port": free_port()}
    labels = RULES.model_copy(update=ports)
    settings = embedded(directory / "data").model_copy(update={"labels": labels})
    with ForkedNode(settings, directory / "node.log") as node:
        yield node, settings


@pytest.fixture(scope="module")
def labels(stack: tuple[NodeProcess, Settings]) -> dict[str, str]:
    """Some pictures of a few kinds, searchable: id to kind."""
    with Asking(stack[0].url) as api:
        for number, picture in enumerate(PICTURES):
            assert api.upload(f"p-{number}", picture).is_success
    return {f"p-{number}": f"kind-{number % KINDS}" for number in range(len(PICTURES))}


def _search_and_click(url: str, labels: dict[str, str], seed: int) -> set[str]:
    """The ids of the searches."""
    with Asking(url) as api:
        driver = ApiDriver(api, labels, model=QUICK, seed=seed, leaves_after_ms=6_000)
        chosen = random.Random(seed)
        for number in range(SEARCHES):
            driver.search_and_click(chosen.choice(sorted(labels)), session_id=f"s-{number % 5}")
    return set(driver.truth.searches)


def _triples(settings: Settings, searches: set[str]) -> list[TripleMined]:
    events = (decode(m.value) for m in read_topics(_kafka(settings), [TRAINING_TRIPLES.name]))
    return [
        event.data
        for event in events
        if isinstance(event.data, TripleMined) and event.data.search_id in searches
    ]


def _kafka(settings: Settings) -> KafkaSettings:
    return reachable_kafka(settings)


def _children(pid: int) -> set[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text().split()}


def test_clicks_become_triples(stack: tuple[NodeProcess, Settings], labels: dict[str, str]) -> None:
    """Triples of these searches come, each between pictures of its page, in this run alone."""
    node, settings = stack
    searches = _search_and_click(node.url, labels, seed=1)
    triples = eventually(lambda: _triples(settings, searches), timeout_s=60, interval_s=0.5)
    assert all({t.anchor_id, t.positive_id, t.negative_id} <= set(labels) for t in triples)
    done = [decode(m.value).data for m in read_topics(_kafka(settings), [EPOCHS_DONE.name])]
    assert len({getattr(data, "run_id", None) for data in done}) == 1


def test_the_children_serve_metrics_and_say_little(
    stack: tuple[NodeProcess, Settings], labels: dict[str, str]
) -> None:
    """Epochs are done on their own ports; of Faust's starts and stops the log holds nothing."""
    node, settings = stack
    del labels
    for port in (settings.labels.join_metrics_port, settings.labels.mine_metrics_port):
        with Asking(f"http://127.0.0.1:{port}") as child:
            eventually(lambda: "sightline_label_records_total{" in child.get("/metrics").text)
    told = node.log.read_text()
    assert '"message": "join begins"' in told
    assert '"logger": "faust' not in told
    assert '"logger": "aiokafka' not in told


def test_a_trace_tells_every_hop(
    stack: tuple[NodeProcess, Settings], labels: dict[str, str]
) -> None:
    """One command: upload, search, click, triple, each with its time; the picture is gone after."""
    node, settings = stack
    ended = sightline("trace", settings=settings, environment={"COLUMNS": "140"})
    assert ended.returncode == 0, ended.stderr + ended.stdout
    names = (
        "upload in the log",
        "searchable",
        "search answered",
        "click in the log",
        "epoch closed",
        "closed search in the log",
        "first triple in the log",
    )
    places = [ended.stdout.index(name) for name in names]
    assert places == sorted(places)
    # Told after the answer: on a busy machine a click can be there first.
    assert "impression in the log" in ended.stdout
    search_id = ended.stdout.split()[1]
    again = sightline("trace", search_id, settings=settings, environment={"COLUMNS": "140"})
    assert names[-1] in again.stdout
    with Asking(node.url) as api:
        found = api.post("/v1/search", json={"image_id": min(labels)}).json()["results"]
    assert {result["image_id"] for result in found} <= set(labels)


def test_killed_stages_come_back(
    stack: tuple[NodeProcess, Settings], labels: dict[str, str]
) -> None:
    """Both children are killed -9 with clicks on their way; new ones take over, triples come."""
    node, settings = stack
    before = _children(node.pid)
    searches = _search_and_click(node.url, labels, seed=2)
    for child in before:
        os.kill(child, signal.SIGKILL)
    assert len(before) == 2
    assert eventually(lambda: _triples(settings, searches), timeout_s=90, interval_s=0.5)
    assert len(_children(node.pid) - before) == 2


def test_what_is_hidden_is_out_of_the_files_when_it_stops(
    stack: tuple[NodeProcess, Settings], labels: dict[str, str]
) -> None:
    """The hourly retraction has not run; its log ends with the owner, so there is a last round."""
    node, settings = stack
    searches = _search_and_click(node.url, labels, seed=3)
    triples = eventually(lambda: _triples(settings, searches), timeout_s=60, interval_s=0.5)
    gone = triples[0].positive_id
    with Asking(node.url) as api:
        assert api.remove(gone).is_success
    node.stop()
    held = read_triples(
        DirectoryObjectStore(settings.data_directory / OBJECTS), settings.store.bucket
    )
    assert held.num_rows
    for column in ("anchor_id", "positive_id", "negative_id"):
        assert gone not in held[column].to_pylist()


def test_the_stages_end_with_their_owner(tmp_path: Path) -> None:
    """The owner is killed -9: its children notice and end."""
    settings = embedded(tmp_path / "data", learns=True)
    with ForkedNode(settings, tmp_path / "node.log") as node:
        children = eventually(lambda: len(found := _children(node.pid)) == 2 and found)
        node.kill()
        eventually(lambda: not any(Path(f"/proc/{child}").exists() for child in children or ()))
