"""infra/compose.yaml and the Dockerfile agree with the specification, the code and each other.

No Docker engine is at hand, so nothing here runs them.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import typer.main
import yaml

from sightline.engine.settings import Mode, Settings, load_settings
from sightline.infra.cli.main import app
from sightline.infra.local import compose_environment
from sightline.infra.local.minio_binary import VERSION
from sightline.schemas.topics import BUCKET_NOTIFICATIONS
from tests.conftest import ROOT

OURS = ("worker", "bridge", "join", "mine", "sink", "retrain", "api")
VARIABLE = re.compile(r"\$\{([A-Z_]+):\?[^}]*\}")


@pytest.fixture
def text() -> str:
    """compose.yaml."""
    return (ROOT / "infra/compose.yaml").read_text()


@pytest.fixture
def compose(text: str) -> dict[str, Any]:
    """compose.yaml with its anchors resolved."""
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def test_it_is_valid_by_the_specification(compose: dict[str, Any]) -> None:
    """The published JSON schema of the Compose specification accepts it."""
    carrier = distribution("check-jsonschema")  # not imported: its command line wants another click
    file = carrier.locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(file)).read_text())
    assert "Compose" in schema["title"]
    jsonschema.validate(compose, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(compose | {"services": {"api": {"imagee": "x"}}}, schema)


def test_every_part_is_there_and_watched(compose: dict[str, Any]) -> None:
    """Each long-running service restarts, and each that answers has a health check."""
    services = compose["services"]
    answering = {"kafka", "minio", "qdrant", "worker", "join", "mine", "sink", "retrain", "api"}
    assert answering | {"bridge", "tests"} == set(services)
    for name in answering:
        assert services[name]["healthcheck"]["test"], name
        assert services[name]["restart"] == "unless-stopped", name
    assert services["tests"]["profiles"] == ["tests"]
    assert services["tests"]["environment"]["QDRANT_URL"]


def test_dependencies_volumes_and_networks_exist(compose: dict[str, Any]) -> None:
    """Nothing refers to a part that is not declared."""
    services = compose["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        assert set(service["networks"]) <= set(compose["networks"])
        named = {v.split(":")[0] for v in service.get("volumes", ()) if not v.startswith(".")}
        assert named <= set(compose["volumes"])


def test_only_the_api_is_published_and_only_on_loopback(compose: dict[str, Any]) -> None:
    """Broker, store and index are reachable from inside alone."""
    published = {n: s["ports"] for n, s in compose["services"].items() if "ports" in s}
    assert published == {"api": ["127.0.0.1:8080:8080"]}


def test_images_are_pinned(compose: dict[str, Any]) -> None:
    """Images of others carry a version; ours are built here."""
    for name, service in compose["services"].items():
        assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_secrets_come_from_outside(text: str, compose: dict[str, Any]) -> None:
    """No secret has a value here, and `make compose-env` writes each that is asked for."""
    assert set(VARIABLE.findall(text)) == set(compose_environment.compose_variables("key"))
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|_KEY|KEYS|ROOT_USER", name):
                assert VARIABLE.fullmatch(value), name


@pytest.mark.parametrize("name", OURS)
def test_our_services_get_settings_that_load(
    name: str, compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every variable of ours is a setting that exists and accepts its value."""
    monkeypatch.chdir(tmp_path)
    values = compose_environment.compose_variables("key")
    for variable, value in compose["services"][name]["environment"].items():
        monkeypatch.setenv(variable, VARIABLE.sub(lambda found: values[found[1]], value))
    settings = load_settings()
    assert settings.mode is Mode.SERVICES
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.index.url == "http://qdrant:6333"
    assert name != "api" or settings.api.keys[0].scopes


@pytest.mark.parametrize("name", OURS)
def test_each_service_runs_a_command_that_exists(name: str, compose: dict[str, Any]) -> None:
    """What stands as `command` is one of `sightline`'s."""
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    [command] = compose["services"][name]["command"]
    assert command == name
    assert command in known


@pytest.mark.parametrize("name", ["worker", "join", "mine", "sink", "api"])
def test_the_health_check_asks_the_port_that_is_served(name: str, compose: dict[str, Any]) -> None:
    """The default of the setting, or what the service sets."""
    settings = Settings()
    ports = {
        "worker": settings.worker.metrics_port,
        "join": settings.labels.join_metrics_port,
        "mine": settings.labels.mine_metrics_port,
        "sink": settings.sink.metrics_port,
        "api": int(compose["services"]["api"]["environment"]["SIGHTLINE_API__PORT"]),
    }
    asked = urlsplit(compose["services"][name]["environment"]["HEALTH_URL"])
    assert asked.port == ports[name]


def test_what_is_written_to_disk_may_be_written(compose: dict[str, Any]) -> None:
    """The containers are read-only but for /tmp: the address of the API, the files of stages."""
    for name in OURS:
        service = compose["services"][name]
        assert service["read_only"]
        assert service["environment"]["SIGHTLINE_DATA_DIRECTORY"].startswith("/tmp/")  # noqa: S108
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108


def test_the_image_has_what_the_services_need() -> None:
    """The image installs the lock file of the `services` extra, with what each process imports."""
    dockerfile = (ROOT / "infra/Dockerfile").read_text()
    assert "--require-hashes -r infra/requirements/services.txt" in dockerfile
    locked = (ROOT / "infra/requirements/services.txt").read_text()
    for needed in ("faust-streaming", "pyarrow", "qdrant-client", "minio", "confluent-kafka"):
        assert re.search(rf"^{needed}==", locked, flags=re.MULTILINE), needed


def test_the_build_stages_exist_and_do_not_run_as_root(compose: dict[str, Any]) -> None:
    """Every target is a stage of the Dockerfile whose last user is not root."""
    stages = re.split(r"^FROM ", (ROOT / "infra/Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    users = {}
    for stage in stages:
        named = re.match(r"\S+ AS (\S+)", stage)
        if named:
            users[named[1]] = re.findall(r"^USER (\S+)", stage, flags=re.MULTILINE)
    targets = {s["build"]["target"] for s in compose["services"].values() if "build" in s}
    for target in targets:
        assert users[target], target
        assert users[target][-1] != "root"


def test_store_version_and_topic_are_those_of_the_code(compose: dict[str, Any]) -> None:
    """The tests' MinIO is the one that Compose builds, and it notifies the bridge's topic."""
    assert f"MINIO_VERSION={VERSION}" in (ROOT / "infra/Dockerfile").read_text()
    environment = compose["services"]["minio"]["environment"]
    assert environment["MINIO_NOTIFY_KAFKA_TOPIC_SIGHTLINE"] == BUCKET_NOTIFICATIONS.name


def test_the_secrets_file_is_private_and_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The key is shown once and only its hash kept; a repeat leaves everything alone."""
    file = tmp_path / ".env"
    assert compose_environment.main(file) == 0
    key = capsys.readouterr().out.split()[-1]
    before = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert key not in before
    assert compose_environment.main(file) == 0
    assert file.read_text() == before
    assert "stays" in capsys.readouterr().out
