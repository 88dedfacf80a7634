"""A variable of ours that nothing reads refuses to start."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import CONFIG_VARIABLE, Settings, load_settings
from sightline.engine.settings.variables import NOT_SETTINGS, variables_of
from sightline.infra.generating.generate import CHECKOUT


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("SIGHTLINE_BOGUS", "variable SIGHTLINE_BOGUS is no setting"),
        ("SIGHTLINE_KAFKA_BOOTSTRAP_SERVERS", "did you mean SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS?"),
        ("SIGHTLINE_KAFKA__BOOTSTRAP_SERVER", "did you mean SIGHTLINE_KAFKA__BOOTSTRAP_SERVERS?"),
        ("SIGHTLINE_DATADIRECTORY", "did you mean SIGHTLINE_DATA_DIRECTORY?"),
        ("SIGHTLINE_API_PORT", "did you mean SIGHTLINE_API__PORT?"),
    ],
)
def test_a_misspelt_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    """With what was meant, where something is alike; its value is not told."""
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(SettingsInvalid, match=re.escape(told)) as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(NOT_SETTINGS))
def test_what_is_let_through_is_used_somewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the tools or the tests; and it is no setting."""
    rooms = [CHECKOUT / room for room in ("infra", "engine", "tests")]
    files = (path for room in rooms for path in room.rglob("*.*") if path.is_file())
    apart = {Path(__file__).name, "variables.py"}
    assert any(name in _text(path) for path in files if path.name not in apart)
    assert name not in variables_of(Settings)
    if name != CONFIG_VARIABLE:
        monkeypatch.setenv(name, "x")
        load_settings()


def test_a_section_that_is_no_json_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole section may be one variable of JSON; what is none is told by its name."""
    monkeypatch.setenv("SIGHTLINE_KAFKA", "hunter2")
    with pytest.raises(SettingsInvalid, match=r'"kafka".*see docs/settings\.md') as refused:
        load_settings()
    assert "hunter2" not in str(refused.value)


def test_upper_and_lower_case_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are where the values are read."""
    monkeypatch.setenv("sightline_kafka__topic_prefix", "search.")
    assert load_settings().kafka.topic_prefix == "search."


def test_the_links_of_a_kubernetes_service_are_no_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A service called sightline or sightline-api puts these into every pod."""
    for name, value in {
        "SIGHTLINE_PORT": "tcp://10.0.0.1:8080",
        "SIGHTLINE_API_PORT": "tcp://10.0.0.1:8080",
        "SIGHTLINE_API_SERVICE_HOST": "10.0.0.1",
        "SIGHTLINE_SERVICE_PORT": "8080",
        "SIGHTLINE_SERVICE_PORT_HTTP": "8080",
        "SIGHTLINE_PORT_8080_TCP_ADDR": "10.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    load_settings()


def _text(path: Path) -> str:
    return path.read_text(errors="ignore")
