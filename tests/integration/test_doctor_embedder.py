"""`sightline doctor` on the embedder: the real model, a wrong one, and an index of another."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sightline.engine.connecting.connections import open_object_store
from sightline.engine.connecting.released_model import embedder_settings, naming
from sightline.engine.embedding.choice import open_embedder
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION
from sightline.engine.embedding.projections import Projection, load_linear
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.values import GenerationStage, KnownGeneration
from sightline.engine.settings import EmbedderSettings, Mode, Settings
from sightline.infra.doctor.embedder import check_embedder
from sightline.training.models.candidates import of_settings
from sightline.training.models.registry import store_model
from sightline.training.models.released_head import registered
from tests.indexed_images import NOON


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


def a_released_model(settings: Settings) -> tuple[str, str]:
    """`NAME@DIGEST` and the embedder's digest of a head of its own over the shipped network."""
    shipped = load_linear(PACKAGED_PROJECTION)
    turned = Projection(shipped.mean, np.ascontiguousarray(shipped.matrix[:, ::-1]))
    candidate = replace(of_settings("turned", settings.embedder), projection=turned)
    with closing(open_object_store(settings)) as store:
        model = registered(candidate, "turned", metrics={}, lineage={})
        reference = f"turned@{store_model(store, settings.store.bucket, model)}"
    return reference, open_embedder(embedder_settings(naming(settings, reference))).digest


def a_record_of(reference: str, digest: str, settings: Settings) -> None:
    """The record says that generation `g1`, made by this model, serves."""
    known = KnownGeneration(
        name="g1",
        model=reference,
        model_digest=digest,
        group="index",
        stage=GenerationStage.READY,
        made_at=NOON,
    )
    with closing(open_object_store(settings)) as store:
        record = ServingRecord.of(settings, store)
        record.begin(ServingState.first(known, NOON))


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


def test_after_a_switch_the_model_of_the_record_is_checked(tmp_path: Path) -> None:
    """The settings name the first model still: what serves by the record is in order."""
    settings = settings_in(tmp_path)
    reference, digest = a_released_model(settings)
    an_index_made_by(digest, tmp_path)
    a_record_of(reference, digest, settings)
    embedder, generation = check_embedder(settings)
    assert embedder.ok
    assert reference in embedder.message
    assert (generation.part, generation.ok) == ("generation", True)


def test_an_install_that_only_publishes_is_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extras there is no embedder, and that is no fault."""
    monkeypatch.setitem(sys.modules, "sightline.engine.embedding.choice", None)
    (finding,) = check_embedder(settings_in(tmp_path))
    assert finding.ok
    assert "enough to publish" in finding.message
