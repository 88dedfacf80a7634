"""`sightline doctor` without any server: settings, machine, directories, and what it prints."""

from __future__ import annotations

import fcntl
import io
import json
import resource
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sightline.engine.connecting.connections import open_object_store
from sightline.engine.settings import (
    ApiKey,
    ApiSettings,
    IndexSettings,
    KafkaSettings,
    Mode,
    Scope,
    Settings,
    StoreSettings,
)
from sightline.infra.doctor import machine, report
from sightline.infra.doctor.broker import check_broker
from sightline.infra.doctor.findings import Finding, bad, fine
from sightline.infra.doctor.index import check_index
from sightline.infra.doctor.machine import check_machine
from sightline.infra.doctor.settings import check_settings
from sightline.infra.doctor.store import check_store


def embedded(directory: Path, **parts: Any) -> Settings:
    """Settings of the embedded stack in a directory of the test's own."""
    return Settings(mode=Mode.EMBEDDED, data_directory=directory, **parts)


def only(found: list[Finding]) -> Finding:
    """The one finding."""
    assert len(found) == 1, found
    return found[0]


def test_the_shipped_settings_contradict_nothing(tmp_path: Path) -> None:
    """Whoever changes nothing is told that nothing is wrong."""
    assert only(list(check_settings(embedded(tmp_path)))).ok


@pytest.mark.parametrize(
    ("parts", "message", "remedy"),
    [
        ({"kafka": KafkaSettings(ca_file=Path("/no/ca.pem"))}, "/no/ca.pem", "kafka.ca_file"),
        ({"kafka": KafkaSettings(sasl_username="me")}, "PLAINTEXT", "security_protocol"),
        (
            {"kafka": KafkaSettings(security_protocol="SASL_SSL", sasl_username="me")},
            "without a password",
            "SIGHTLINE_KAFKA__SASL_PASSWORD",
        ),
        ({"store": StoreSettings(access_key="me")}, "belong together", "machine's role"),
        ({"store": StoreSettings(endpoint="http://s3:9000")}, "scheme", "host:port"),
        ({"api": ApiSettings(host="0.0.0.0")}, "no API keys", "api.keys"),  # noqa: S104 - the case
        (
            {"api": ApiSettings(keys=(ApiKey(sha256="0" * 64, scopes=(Scope.WRITE,), name="w"),))},
            "no owner_id",
            "owner_id",
        ),
    ],
)
def test_contradictions_are_told_with_their_setting(
    tmp_path: Path, parts: dict[str, Any], message: str, remedy: str
) -> None:
    """Each contradiction names what is wrong and which setting to change."""
    finding = only(list(check_settings(embedded(tmp_path, **parts))))
    assert not finding.ok
    assert message in finding.message
    assert remedy in finding.remedy


def test_an_open_api_with_keys_is_fine(tmp_path: Path) -> None:
    """With keys configured any address may be bound."""
    keys = (ApiKey(sha256="0" * 64, scopes=(Scope.SEARCH,)),)
    settings = embedded(tmp_path, api=ApiSettings(host="0.0.0.0", keys=keys))  # noqa: S104 - the case
    assert only(list(check_settings(settings))).ok


def test_a_full_disk_is_told_before_it_hurts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little room, where the directory does not even exist yet, is a finding."""
    monkeypatch.setattr(machine, "MIN_FREE_BYTES", 2**80)
    found = list(check_machine(embedded(tmp_path / "not" / "there" / "yet")))
    disks = [f for f in found if f.part == "disk"]
    assert disks
    assert not any(f.ok for f in disks)
    assert "free at least" in disks[0].remedy


def test_a_low_limit_of_open_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is the command to type."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    finding = list(check_machine(embedded(tmp_path)))[-1]
    assert not finding.ok
    assert finding.remedy == "ulimit -n 1024"


def test_the_embedded_broker_needs_no_server(tmp_path: Path) -> None:
    """A stack that is not running is no fault: it says how to start it."""
    finding = only(list(check_broker(embedded(tmp_path))))
    assert finding.ok
    assert "sightline up" in finding.message


def test_the_directory_store_is_probed_and_left_as_it_was(tmp_path: Path) -> None:
    """The probe object is written, read, and gone afterwards."""
    settings = embedded(tmp_path)
    assert "no objects yet" in only(list(check_store(settings))).message
    open_object_store(settings).close()
    finding = only(list(check_store(settings)))
    assert finding.ok
    assert "deleted a probe" in finding.message
    assert not [path for path in tmp_path.rglob("*doctor*") if path.is_file()]


def test_an_index_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    """Before the first start there is no generation, and none is made by asking."""
    finding = only(list(check_index(embedded(tmp_path))))
    assert finding.ok
    assert "no generation yet" in finding.message
    assert not (tmp_path / "index").exists()


def test_an_owned_index_names_its_owner(tmp_path: Path) -> None:
    """Whoever wonders why the index is locked learns the process id."""
    generation = tmp_path / "index" / "g1"
    generation.mkdir(parents=True)
    (tmp_path / "index" / "current").write_text("g1")
    (generation / "spec.json").write_text(json.dumps({"model_digest": "m"}))
    lock = generation / "owner.lock"
    lock.write_text("4711")
    assert "not in use" in only(list(check_index(embedded(tmp_path)))).message
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "process 4711" in only(list(check_index(embedded(tmp_path)))).message


def test_a_half_made_generation_is_told(tmp_path: Path) -> None:
    """A `current` that names nothing is a finding with a remedy."""
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "current").write_text("g1")
    finding = only(list(check_index(embedded(tmp_path))))
    assert not finding.ok
    assert "replay" in finding.remedy


def test_the_report_prints_one_line_each_and_says_whether_all_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad finding makes the whole report bad; each is one line with its remedy."""
    out = io.StringIO()
    monkeypatch.setattr(report, "CHECKS", (lambda _: iter([fine("a", "good\nnews")]),))
    assert report.report_findings(embedded(tmp_path), out)
    monkeypatch.setattr(report, "CHECKS", (lambda _: iter([bad("b", "broken", "mend it")]),))
    assert not report.report_findings(embedded(tmp_path), out)
    assert out.getvalue().splitlines() == [
        "ok   a: good news",
        "BAD  b: broken -> mend it",
    ]


def test_no_secret_is_printed(tmp_path: Path) -> None:
    """Passwords, keys and tokens never reach the report, whatever fails."""
    secret = "hunter2hunter2"
    settings = Settings(
        mode=Mode.SERVICES,
        data_directory=tmp_path,
        kafka=KafkaSettings(
            bootstrap_servers="127.0.0.1:1",
            security_protocol="SASL_PLAINTEXT",
            sasl_username="me",
            sasl_password=SecretStr(secret),
            request_timeout_s=1.0,
        ),
        store=StoreSettings(
            endpoint="127.0.0.1:1", access_key="me", secret_key=SecretStr(secret), timeout_s=0.5
        ),
        index=IndexSettings(url="http://127.0.0.1:1", api_key=SecretStr(secret), timeout_s=0.5),
    )
    parts = (check_settings, check_broker, check_store, check_index)
    found = [finding for check in parts for finding in check(settings)]
    assert sum(not finding.ok for finding in found) == 3
    assert all(finding.remedy for finding in found if not finding.ok)
    assert not any(secret in str(finding) for finding in found)
