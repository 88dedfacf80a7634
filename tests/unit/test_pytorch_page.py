"""docs/pytorch.md: its Python runs on what is exported, with pandas and torch alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyarrow import parquet  # type: ignore[import-untyped]

from sightline.engine.clock import ManualClock
from sightline.engine.connecting import connections
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.event_log import MemoryEventLog
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records import ProducerRecord
from sightline.schemas.fields import Visibility
from sightline.schemas.images import ImageUploaded, ObjectReference
from sightline.schemas.topics import IMAGES
from tests.conftest import ROOT
from tests.label_rows import encoded
from tests.training_rows import table, triple

PAGE = (ROOT / "docs/pytorch.md").read_text()
TRAINING, PICTURES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def run(code: str, **names: Any) -> dict[str, Any]:
    """The page's code with some names given."""
    exec(compile(code, "docs/pytorch.md", "exec"), names)  # noqa: S102 - our own page
    return names


def test_the_training_runs_on_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row per click, no negative within two clicks, the newest kept out, a head that learns."""
    torch.manual_seed(0)
    images = [f"i{number}" for number in range(12)]
    rows = [
        triple(f"s{n}", images[n % 4], images[4 + n % 4], images[8 + (n + k) % 4], minute=n)
        for n in range(100)
        for k in range(3)
    ]
    # i0 and i1 share a click, so what was clicked for the one is no negative of the other.
    rows += [triple("s100", "i0", "i5", "i6", minute=100), triple("s101", "i1", "i5", "i4")]
    parquet.write_table(table(rows), tmp_path / "triples.parquet")
    monkeypatch.chdir(tmp_path)
    features = {image: torch.randn(16) for image in images}
    found = run(TRAINING, features=features)
    assert len(found["pairs"]) == 102
    assert len(found["earlier"]) + len(found["later"]) == 102
    assert found["earlier"]["at"].max() < found["later"]["at"].min()
    assert found["near"]["i1"] == {"i0", "i1", "i4", "i5"}
    shared = found["pairs"][found["pairs"]["search_id"] == "s101"]
    _, counts, _ = found["Clicks"](shared, features)[0]
    assert counts.tolist() == [True, True, False, False, False]
    assert np.isfinite(float(found["loss"].detach()))


def test_pictures_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes of each public image, by its id."""
    store, broker = MemoryObjectStore("sightline"), MemoryBroker(clock=ManualClock())
    store.put("sightline", "a.jpg", b"bytes")
    stored = ObjectReference(bucket="sightline", key="a.jpg", size_bytes=5)
    event = ImageUploaded(image_id="a", version=1, object=stored, visibility=Visibility.PUBLIC)
    MemoryEventProducer(broker).append(ProducerRecord(IMAGES.name, "a", encoded(event, "a")))
    monkeypatch.setattr(connections, "open_object_store", lambda _: store)
    monkeypatch.setattr(connections, "open_event_log", lambda _: MemoryEventLog(broker))
    assert run(PICTURES)["bytes_of"] == {"a": b"bytes"}
