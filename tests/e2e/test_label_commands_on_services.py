"""The label half as it is run for real: each command a process of its own, on Kafka and MinIO.

One deployment for the whole module, its windows of seconds: the node, join, miner and sink run,
people search and click, and every command on labels is run against what comes of it.
"""

from __future__ import annotations

import csv
import random
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from typer.testing import CliRunner

from sightline.engine.label_data.triple_table import read_triples
from sightline.engine.object_store.s3 import S3ObjectStore
from sightline.engine.search_ids import SearchIds
from sightline.engine.settings import (
    ApiSettings,
    KafkaSettings,
    LabelSettings,
    Mode,
    Settings,
    SinkSettings,
    StoreSettings,
)
from sightline.infra.cli import main
from sightline.infra.commands.learning import networks
from sightline.infra.local.free_ports import free_port
from sightline.infra.local.minio_server import LocalMinio
from sightline.infra.local.node_process import NodeProcess, environment_of
from sightline.producers.click_simulator.api_driver import ApiDriver
from sightline.producers.click_simulator.user_model import UserModel
from sightline.training.loop.run_folder import read_record
from tests.asking import MANY_A_MINUTE, Asking, drawn, ok
from tests.forking import Forked
from tests.processes import ForkedNode, sightline, started, stopped
from tests.waiting import eventually

PICTURES = drawn(12, seed=815)
KINDS = 4
SEARCHES = 12
SECRET = "of thirty-two bytes, for tests .."
USER = "ann@shop.example"
WIDE = {"COLUMNS": "160"}
QUICK = UserModel(look_ms=300.0, dwell_relevant_ms=1_500.0, dwell_irrelevant_ms=200.0)
RULES = LabelSettings(
    epoch_s=1.0,
    attribution_window_s=3.0,
    lateness_s=1.0,
    tick_s=0.5,
    long_dwell_s=1.0,
    examined_s=0.5,
    supervised=False,
)
STAGES = ("join", "mine", "sink")


@dataclass
class Deployment:
    """What runs, and how it is reached."""

    settings: Settings
    node: NodeProcess
    stages: dict[str, Forked]
    folder: Path

    def run(self, *arguments: str) -> str:
        """A command to its end; what it says."""
        ended = sightline(*arguments, settings=self.settings, environment=WIDE)
        assert ended.returncode == 0, f"{arguments}: {ended.stderr}{ended.stdout}"
        return ended.stdout

    def triples(self) -> pa.Table:
        """Those that hold, from the store."""
        store = S3ObjectStore(self.settings.store)
        try:
            return read_triples(store, self.settings.store.bucket)
        finally:
            store.close()

    def search_and_click(self, seed: int) -> None:
        """Simulated people do, over HTTP."""
        kinds = {f"p-{number}": f"kind-{number % KINDS}" for number in range(len(PICTURES))}
        with Asking(self.node.url) as api:
            driver = ApiDriver(api, kinds, model=QUICK, seed=seed, leaves_after_ms=3_000)
            chosen = random.Random(seed)
            for number in range(SEARCHES):
                driver.search_and_click(chosen.choice(sorted(kinds)), session_id=f"s-{number}")

    def click_as_user(self) -> tuple[str, str]:
        """A signed-in visitor searches and clicks the last result: the search, and that image."""
        with Asking(self.node.url) as api:
            fields = {"image_id": "p-0", "user_id": USER, "near_duplicates": "keep"}
            answer = ok(api.post("/v1/search", json=fields))
            last = answer["results"][-1]
            item = {"image_id": last["image_id"], "position": last["position"]}
            click = item | {"event_id": "c", "kind": "clicked", "since_answer_ms": 1}
            beacon = {"search_id": answer["search_id"], "items": [click]}
            ok(api.post("/v1/interactions", json=beacon))
            return str(answer["search_id"]), str(last["image_id"])

    def log(self) -> str:
        """What everybody said lately."""
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{log.name}: {log.read_text()[-1_500:]}" for log in logs)


def _settings(folder: Path, kafka: str, minio: LocalMinio) -> Settings:
    join_port, mine_port, sink_port = (free_port() for _ in range(3))
    labels = {"join_metrics_port": join_port, "mine_metrics_port": mine_port}
    return Settings(
        mode=Mode.SERVICES,
        data_directory=folder / "data",
        kafka=KafkaSettings(
            bootstrap_servers=kafka,
            topic_prefix=f"t{uuid.uuid4().hex[:12]}.",
            partitions=2,
            session_timeout_s=6.0,
        ),
        store=StoreSettings(
            endpoint=minio.endpoint,
            bucket=f"t{uuid.uuid4().hex[:16]}",
            access_key=minio.access_key,
            secret_key=SecretStr(minio.secret_key),
        ),
        labels=RULES.model_copy(update=labels),
        sink=SinkSettings(max_age_s=0.5, metrics_port=sink_port, retract_every_s=2.0),
        api=ApiSettings(
            port=0, requests_per_minute=MANY_A_MINUTE, signing_secret=SecretStr(SECRET)
        ),
    )


@pytest.fixture(scope="module")
def deployment(
    kafka: str, minio: LocalMinio, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Node, join, miner and sink run; people have clicked, and their triples are in Parquet."""
    folder = tmp_path_factory.mktemp("services")
    settings = _settings(folder, kafka, minio)
    with ExitStack() as running:
        node = running.enter_context(ForkedNode(settings, folder / "node.log"))
        stages = {}
        for name in STAGES:
            stages[name] = started(name, settings=settings, log=folder / f"{name}.log")
            running.callback(stopped, stages[name])
        made = Deployment(settings, node, stages, folder)
        with Asking(node.url) as api:
            for number, picture in enumerate(PICTURES):
                assert api.upload(f"p-{number}", picture).is_success
        made.search_and_click(seed=1)
        eventually(lambda: made.triples().num_rows, timeout_s=60, interval_s=0.5, reason=made.log())
        yield made


def test_a_trace_tells_every_hop(deployment: Deployment) -> None:
    """One upload to its search, its click and its triple, in order; again by its search's id."""
    told = deployment.run("trace", "--keep")
    names = (
        "upload in the log",
        "taken by the worker",
        "embedded",
        "searchable",
        "search answered",
        "click in the log",
        "epoch closed",
        "closed search in the log",
        "first triple in the log",
    )
    places = [told.index(name) for name in names]
    assert places == sorted(places)
    # Told after the answer: on a busy machine a click can be there first.
    assert "impression in the log" in told
    assert names[-1] in deployment.run("trace", told.split()[1])


def test_triples_are_shown_counted_exported_and_explained(
    deployment: Deployment, tmp_path: Path
) -> None:
    """`triples head`, `stats`, `export` and `why` agree with the files."""
    held = deployment.triples()
    triple_id, search_id = held["triple_id"][0].as_py(), held["search_id"][0].as_py()
    assert "triples hold" in deployment.run("triples", "stats")
    assert len(deployment.run("triples", "head", "-n", "3").splitlines()) >= 3
    deployment.run("triples", "export", str(tmp_path / "t.csv"))
    with (tmp_path / "t.csv").open() as file:
        assert triple_id in {row["triple_id"] for row in csv.DictReader(file)}
    story = deployment.run("triples", "why", triple_id)
    assert held["positive_id"][0].as_py() in story
    answer = deployment.run("triples", "why", search_id, held["positive_id"][0].as_py())
    assert answer.startswith("made_triples")


def test_what_came_from_the_wire_teaches_a_head(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`train` on the sink's files and on the topic itself: the same bytes; `evaluate` judges.

    In this process: three more of them would take longer than all else here.
    """
    for name, value in environment_of(deployment.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(networks, "_CACHE", tmp_path / "features")

    def said(*arguments: str) -> str:
        ended = CliRunner().invoke(main.app, [*arguments], catch_exceptions=False)
        assert ended.exit_code == 0, ended.output
        return ended.output

    written, streamed = tmp_path / "written", tmp_path / "streamed"
    options = ("--held-out", "0.4", "--steps", "5")
    said("train", str(written), *options)
    said("train", str(streamed), *options, "--from-topic", "--like", str(written))
    runs = (written, streamed)
    assert len({(run / "head.safetensors").read_bytes() for run in runs}) == 1
    offsets = [read_record(run)["offsets"] for run in runs]
    assert offsets[0] == offsets[1] != []
    judged = said("evaluate", str(written)).splitlines()
    # So few pictures release nothing; whether they seem worse or too few depends on which clicks
    # were joined in the epochs that this run happened to lie in.
    assert judged[-1].startswith(("verdict: too_little", "verdict: refused"))
    assert any("needed 200 and 0.9999" in line for line in judged)


def test_an_erased_user_leaves_the_files(deployment: Deployment) -> None:
    """`erase-user`; the sink's own rounds and the command take back, `status` says when."""
    pseudonym = SearchIds(SECRET.encode()).pseudonym(USER)

    def theirs() -> int:
        return int(deployment.triples()["actor_id"].to_pylist().count(pseudonym))

    search_id, clicked = deployment.click_as_user()
    eventually(theirs, timeout_s=60, interval_s=0.5, reason="the user's triples are there")
    assert pseudonym in deployment.run("erase-user", USER)
    eventually(lambda: not theirs(), timeout_s=60, interval_s=0.5, reason="theirs are gone")
    assert "rows read, 0 removed" in deployment.run("retract")
    assert deployment.run("triples", "why", search_id, clicked).startswith("retracted")
    assert "s ago" in deployment.run("status").split("last retraction: ")[1]


def test_position_bias_is_fitted(deployment: Deployment) -> None:
    """Over so few searches it knows nothing, stores that, and says so."""
    told = deployment.run("propensity", "fit")
    assert told.startswith("version 1: ")
    assert "weight 1" in told
    assert len(told.splitlines()) < len(PICTURES)


def test_each_stage_serves_its_metrics(deployment: Deployment) -> None:
    """On the port of its setting: records, epochs, files, rounds."""
    labels, sink = deployment.settings.labels, deployment.settings.sink
    wanted = {
        labels.join_metrics_port: "sightline_label_epochs_done",
        labels.mine_metrics_port: "sightline_label_epochs_done",
        sink.metrics_port: "sightline_retractions",
    }
    for port, name in wanted.items():
        with Asking(f"http://127.0.0.1:{port}") as caller:
            families = text_string_to_metric_families(caller.get("/metrics").text)
            samples = [
                sample for family in families if family.name == name for sample in family.samples
            ]
        assert any(sample.value > 0 for sample in samples), name


def test_the_api_tells_what_searches_came_to(deployment: Deployment) -> None:
    """`GET /v1/stats`, from the metrics that the sink's process folds."""

    def searches() -> int:
        with Asking(deployment.node.url) as api:
            rows = ok(api.get("/v1/stats", params={"period": "all"}))["rows"]
        return sum(row["searches"] for row in rows)

    assert eventually(searches, timeout_s=60, interval_s=0.5, reason="statistics") > 0


def test_everything_stops_when_told(deployment: Deployment) -> None:
    """SIGTERM: exit code 0 of join, miner, sink and node; the last of the module."""
    for name, process in deployment.stages.items():
        assert process.poll() is None, f"{name} ended: {deployment.log()}"
    codes = {name: stopped(process) for name, process in deployment.stages.items()}
    assert codes == dict.fromkeys(STAGES, 0), deployment.log()
    assert deployment.node.stop() == 0
