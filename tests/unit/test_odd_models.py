"""A model's files as nobody means them: each is refused in one sentence, and ends nothing."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save

from sightline.engine.embedding import choice
from sightline.engine.embedding.embedder import ProjectingEmbedder
from sightline.engine.embedding.encoder_card import read_card
from sightline.engine.embedding.model_files import model_source
from sightline.engine.embedding.model_registry import LINEAGE, METRICS
from sightline.engine.embedding.projections import Projection, load_projection
from sightline.engine.errors import SettingsInvalid, Unreadable
from sightline.engine.settings import EmbedderSettings
from tests.onnx_files import CARD, written
from tests.trained_files import shown

FEATURES = 4


def of(mean: Any, matrix: Any) -> bytes:
    """A projection's file."""
    return save({"mean": np.asarray(mean), "matrix": np.asarray(matrix)})


def declared(dtype: str, size: int, mean: list[int], matrix: list[int]) -> bytes:
    """A file that says what numpy would never write, with as many bytes as it says."""
    ends = np.cumsum([0, size * int(np.prod(mean)), size * int(np.prod(matrix))]).tolist()
    header = {
        "mean": {"dtype": dtype, "shape": mean, "data_offsets": ends[:2]},
        "matrix": {"dtype": dtype, "shape": matrix, "data_offsets": ends[1:]},
    }
    told = json.dumps(header).encode()
    return struct.pack("<Q", len(told)) + told + bytes(min(ends[-1], 1_000))


ZEROS, ONES = np.zeros(FEATURES, np.float32), np.ones((FEATURES, 2), np.float32)
PROJECTIONS = {
    "not a number": of(ZEROS, ONES * np.nan),
    "an infinite centre": of(ZEROS + np.inf, ONES),
    "more than float32 holds": of(np.zeros(FEATURES), np.full((FEATURES, 2), 1e300)),
    "no dimension": of(ZEROS, np.ones((FEATURES, 0), np.float32)),
    "no feature": of(np.zeros(0, np.float32), np.ones((0, 2), np.float32)),
    "bfloat16": declared("BF16", 2, [FEATURES], [FEATURES, 2]),
    "float8": declared("F8_E4M3", 1, [FEATURES], [FEATURES, 2]),
    "no feature, 2^40 dimensions": declared("F32", 4, [0], [0, 2**40]),
    "2^62 features": declared("F32", 0, [2**62, 4], [2**62, 4]),
    "a header of 2^63 bytes": struct.pack("<Q", 2**63) + b"{}",
    "a header 100,000 deep": struct.pack("<Q", 100_000) + b"[" * 100_000,
    "one tensor more": save({"mean": ZEROS, "matrix": ONES, "gate": ZEROS}),
    "no UTF-8": struct.pack("<Q", 9) + b'{"a\xff":1}',
    "nothing": b"",
}


@pytest.mark.parametrize("data", PROJECTIONS.values(), ids=PROJECTIONS)
def test_a_projection_that_gives_no_vectors_is_refused(tmp_path: Path, data: bytes) -> None:
    """By who reads the file, before anything is embedded with it."""
    file = tmp_path / "projection.safetensors"
    file.write_bytes(data)
    with pytest.raises(SettingsInvalid, match=r"embedder\.projection"):
        load_projection(file)


class _Runtime:
    """Gives every picture the same features."""

    name, precision, batched = "openvino", "fp32", False

    def __init__(self, row: NDArray[np.float32]) -> None:
        self._row = row

    def features(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Runtime.features`."""
        return np.repeat(self._row[None], len(crops), axis=0)


def test_a_network_that_does_not_fit_its_projection_is_refused() -> None:
    """Told when it is opened, and not by the first picture."""
    source = model_source(EmbedderSettings())
    with pytest.raises(SettingsInvalid, match=r"takes 4 features.*gives 3"):
        ProjectingEmbedder(source, _Runtime(np.ones(3, np.float32)), Projection(ZEROS, ONES))
    with pytest.raises(SettingsInvalid, match="not finite"):
        ProjectingEmbedder(source, _Runtime(np.full(3, np.nan, np.float32)), None)


@pytest.mark.parametrize("raised", [RuntimeError("a\nb"), TypeError("x"), MemoryError()])
def test_whatever_a_framework_raises_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, raised: Exception
) -> None:
    """A process that has another model goes on with that."""

    def opened(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(choice, "open_runtime", opened)
    with pytest.raises(SettingsInvalid, match=f"cannot be run here: {type(raised).__name__}"):
        choice.open_embedder(EmbedderSettings())


CARDS = {
    "100,000 deep": b"a=" + b"[" * 100_000,
    "no UTF-8": b"\xff",
    "a number of 5,000 digits": CARD.replace("= 5", "= " + "9" * 5_000).encode(),
    "1 MiB": CARD.encode() + b"#" * 2**20,
    "a field twice": (CARD + "features = 5").encode(),
    "a centre that is none": CARD.replace("0.4", "nan").encode(),
    "a centre beyond float32": CARD.replace("0.4", "1e308").encode(),
    "a spread of nothing": CARD.replace("0.25", "1e-320").encode(),
    "more features than float32 counts": CARD.replace("= 5", f"= {2**70}").encode(),
}


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_an_odd_card_is_refused(tmp_path: Path, card: bytes) -> None:
    """Deep, long, doubled, or with numbers that no pixel comes out of."""
    file = written(tmp_path, b"", None)
    file.with_suffix(".toml").write_bytes(card)
    with pytest.raises(SettingsInvalid, match=r"embedder\.model: .*tiny\.toml"):
        read_card(file)


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    """Nobody waits for its writer."""
    file = written(tmp_path, b"", CARD)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(SettingsInvalid, match="not a regular file"):
        model_source(EmbedderSettings(model=f"onnx:{file}"))


DOCUMENTS = {
    "100,000 deep": b'{"a":' * 100_000,
    "a list": b"[1]",
    "nothing": b"",
    "no UTF-8": b'{"\xff": 1}',
    "no digits that are read": b'{"a": ' + b"9" * 5_000 + b"}",
}
LINEAGES = {
    "a run that is a list": {"run": [1]},
    "offsets that are none": {"run": {"offsets": 3, "counted": []}},
    "more than counts": {"run": {"offsets": [], "counted": {"triples": 1e999}}},
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_document_of_the_registry_that_is_none_is_told(document: bytes) -> None:
    """By its name, whichever of the two it is."""
    for file, both in {METRICS: (document, b"{}"), LINEAGE: (b"{}", document)}.items():
        with pytest.raises(Unreadable, match=file):
            shown(*both)


@pytest.mark.parametrize("lineage", LINEAGES.values(), ids=LINEAGES)
def test_a_lineage_that_another_program_wrote_is_shown(lineage: dict[str, object]) -> None:
    """What was taken back since cannot be told then."""
    assert shown(b'{"mAP": NaN}', json.dumps(lineage).encode()).card == "# shop"
