"""`sightline doctor` on the embedder: the real model, a wrong one, and an index of another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sightline.engine.settings import EmbedderSettings, Mode, Settings
from sightline.infra.doctor.embedder import check_embedder


def settings_in(directory: Path, **embedder: object) -> Settings:
    """The embedded stack in a directory of the test's own."""
    return Settings(
        mode=Mode.EMBEDDED,
        data_directory=directory,
        embedder=EmbedderSettings.model_validate(embedder),
    )


def an_index_made_by(digest: str, directory: Path) -> None:
    """A generation that records its model."""
    generation = directory / "index" / "g1"
    generation.mkdir(parents=True)
    (directory / "index" / "current").write_text("g1")
    (generation / "spec.json").write_text(json.dumps({"model_digest": digest}))


def test_the_default_model_runs_here_and_names_its_runtime(tmp_path: Path) -> None:
    """No network and no index are needed to know that this machine can embed."""
    (finding,) = check_embedder(settings_in(tmp_path))
    assert finding.ok
    assert "efficientnet_lite0 on " in finding.message


def test_an_unknown_model_is_a_fault_with_its_setting(tmp_path: Path) -> None:
    """A name that nobody knows leads to `embedder.model`."""
    (finding,) = check_embedder(settings_in(tmp_path, model="no_such_network"))
    assert not finding.ok
    assert "no_such_network" in finding.message
    assert "embedder.model" in finding.remedy


def test_an_index_of_another_model_is_a_fault(tmp_path: Path) -> None:
    """Two vector spaces must not meet: told before the worker refuses to start."""
    an_index_made_by("another", tmp_path)
    finding = list(check_embedder(settings_in(tmp_path)))[-1]
    assert finding.part == "generation"
    assert not finding.ok
    assert "another" in finding.message


def test_an_install_that_only_publishes_is_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extras there is no embedder, and that is no fault."""
    monkeypatch.setitem(sys.modules, "sightline.engine.embedding.choice", None)
    (finding,) = check_embedder(settings_in(tmp_path))
    assert finding.ok
    assert "enough to publish" in finding.message
