"""docs/settings.md: every setting, with its variable, and a meaning for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import Section, Settings, load_settings
from sightline.infra.generating.generate import CHECKOUT, SETTINGS_PAGE
from sightline.infra.generating.settings_page import HEAD, settings_page, variable


def every_setting() -> Iterator[tuple[str, str, Any]]:
    """Section, name and field of every setting; the section of the general ones is empty."""
    for name, info in Settings.model_fields.items():
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from ((name, inner, field) for inner, field in kind.model_fields.items())
        else:
            yield "", name, info


ALL = list(every_setting())


def test_every_setting_is_documented() -> None:
    """Its variable is on the page and its field has a docstring that says what it means."""
    page = (CHECKOUT / SETTINGS_PAGE).read_text()
    variables = [variable(section, name) for section, name, _ in ALL]
    assert [name for name in variables if f"| `{name}` |" not in page] == []
    assert [(section, name) for section, name, field in ALL if not field.description] == []


@pytest.mark.parametrize("value", ["inf", "nan"])
@pytest.mark.parametrize(
    ("section", "name"), [(s, n) for s, n, field in ALL if field.annotation is float]
)
def test_no_setting_is_without_end(
    monkeypatch: pytest.MonkeyPatch, section: str, name: str, value: str
) -> None:
    """Infinity and NaN are refused where they are read, not where somebody counts with them."""
    monkeypatch.setenv(variable(section, name), value)
    with pytest.raises(SettingsInvalid, match=name):
        load_settings()


def test_fields_of_lists_of_tables_are_documented() -> None:
    """API keys are a list of tables; their fields are on the page too."""
    page = settings_page()
    for _, _, field in ALL:
        for entry in get_args(field.annotation):
            if isinstance(entry, type) and issubclass(entry, Section):
                assert all(f"| `{name}` |" in page for name in entry.model_fields)


def test_the_variable_on_the_page_is_the_one_that_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page and the settings agree on how a variable is spelt."""
    monkeypatch.setenv(variable("kafka", "topic_prefix"), "search.")
    monkeypatch.setenv(variable("", "mode"), "services")
    settings = load_settings()
    assert settings.kafka.topic_prefix == "search."
    assert settings.mode.value == "services"


def test_the_example_file_on_the_page_is_valid(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever copies it gets settings, not an error."""
    path = tmp_path_factory.mktemp("settings") / "sightline.toml"
    path.write_text(HEAD.partition("```toml\n")[2].partition("```")[0])
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(path))
    assert load_settings().kafka.security_protocol == "SASL_SSL"
