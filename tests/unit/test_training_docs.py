"""docs/training.md: every option, setting and file is on it, and its Python runs."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.main
from safetensors.numpy import save_file

from sightline.infra.cli import main
from sightline.training.backbone import run_files
from sightline.training.loop import run_folder, training
from sightline.training.loop.settings import HeadSettings
from tests.conftest import ROOT
from tests.learning import world

PAGE = (ROOT / "docs/training.md").read_text()
COMMAND: Any = typer.main.get_command(main.app)
OPTIONS = [option for p in COMMAND.commands["train"].params for option in p.opts]


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.startswith("--")])
def test_every_option_of_the_command_has_its_line(option: str) -> None:
    """Whoever trains finds what it does, and what its default is for."""
    assert f"| `{option}` |" in PAGE


@pytest.mark.parametrize("setting", [field.name for field in fields(HeadSettings)])
def test_every_setting_is_named(setting: str) -> None:
    """As an option of the command, or as a name in Python."""
    assert f"`{setting}`" in PAGE or f"| `--{setting.replace('_', '-')}` |" in PAGE


def test_every_file_of_a_run_is_named() -> None:
    """The page says of each what it holds, as the module does."""
    told = set(re.findall(r"^ {4}(\w+\.\w+) ", run_folder.__doc__ or "", re.MULTILINE))
    assert told == set(re.findall(r"`(\w+\.(?:safetensors|json|csv|svg))`", PAGE))


def test_the_page_s_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a small world in place of the store: a head is written, and a projection comes out."""
    seen = world()
    start = tmp_path / "start.safetensors"
    save_file({"mean": seen.start.mean, "matrix": seen.start.matrix}, start)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sightline.engine.embedding.model_files.PACKAGED_PROJECTION", start)
    monkeypatch.setattr("sightline.engine.label_data.triple_table.read_triples", lambda *_: None)
    monkeypatch.setattr("sightline.training.datasets.pairs.pairs_of", lambda _: seen.pairs)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"store": None, "bucket": "", "features": seen.features}
    exec(compile(code, "docs/training.md", "exec"), names)  # noqa: S102 - our own page
    assert (tmp_path / "head.safetensors").exists()
    assert np.isfinite(names["projection"](seen.features.features)).all()
    assert names["train_head"] is training.train_head


BACKBONE = (ROOT / "docs/backbone.md").read_text()
TRAINED = [option for p in COMMAND.commands["train-backbone"].params for option in p.opts]


@pytest.mark.parametrize("option", [option for option in TRAINED if option.startswith("--")])
def test_every_option_of_a_network_s_training_has_its_line(option: str) -> None:
    """Whoever trains a network finds what it does, and its default."""
    assert f"| `{option}` |" in BACKBONE


def test_every_file_of_a_network_s_run_is_named() -> None:
    """The page says of each what it holds, as the module does."""
    told = set(re.findall(r"^ {4}(\w+\.\w+) ", run_files.__doc__ or "", re.MULTILINE))
    assert told == set(re.findall(r"`(\w+\.(?:safetensors|json|csv|svg))`", BACKBONE))
