"""An encoder as an ONNX file with a card: its vectors, its digest, and what is refused."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from sightline.engine.embedding import openvino_runtime
from sightline.engine.embedding.choice import open_embedder
from sightline.engine.embedding.conversion import convert
from sightline.engine.embedding.embedder import ProjectingEmbedder
from sightline.engine.embedding.encoder_card import EncoderCard, read_card
from sightline.engine.embedding.model_files import model_source
from sightline.engine.errors import SettingsInvalid
from sightline.engine.records.framing import Framing
from sightline.engine.settings import EmbedderSettings
from tests.conftest import ROOT
from tests.onnx_files import (
    CARD,
    WEIGHTS,
    map_encoder,
    model,
    node,
    tensor_elsewhere,
    value,
    written,
)

CROPS = np.random.default_rng(3).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
TOKENS = CARD.replace("mean-map", "mean-tokens") + 'output = "tokens"\n'


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process would import everything anew."""
    monkeypatch.setattr(openvino_runtime, "convert_in_child", convert)


def settings_of(file: Path, **more: object) -> EmbedderSettings:
    """Settings that name the file."""
    named = {"model": f"onnx:{file}", "precision": "fp32", "threads": 1}
    return EmbedderSettings.model_validate(named | more)


def opened(file: Path, **more: object) -> ProjectingEmbedder:
    """The embedder of a file, its network kept beside it."""
    return open_embedder(settings_of(file, **more), cache=file.parent / "cache")


def maps(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """The convolution by torch: (n, 16, 16, 3) normalised to (n, 5, 4, 4)."""
    taken = torch.from_numpy(pixels.transpose(0, 3, 1, 2))
    weights = torch.from_numpy(WEIGHTS.astype(np.float64))
    return np.asarray(torch.nn.functional.conv2d(taken, weights, stride=4))


def unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of L2 norm 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


SCALED = (CROPS / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.5]
ROWS = maps(SCALED).reshape(4, 5, 16).transpose(0, 2, 1)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (CARD, ROWS.mean(axis=1)),
        (TOKENS, ROWS.mean(axis=1)),
        (TOKENS + "skip_tokens = 3\n", ROWS[:, 3:].mean(axis=1)),
        (TOKENS.replace("mean-tokens", "first-token"), ROWS[:, 0]),
        (
            CARD + 'channels = "bgr"\n',
            maps(SCALED[..., ::-1].copy()).mean(axis=(2, 3)),
        ),
    ],
    ids=["map", "tokens", "tokens-without-three", "first-token", "bgr"],
)
@pytest.mark.parametrize("size", [16, "side"], ids=["fixed", "open"])
def test_vectors_are_what_the_card_says(
    tmp_path: Path, card: str, expected: NDArray[np.float64], size: int | str
) -> None:
    """Normalised, run and pooled as torch does it; the file's own size may be open."""
    embedder = opened(written(tmp_path, map_encoder(size=size), card))
    assert (embedder.dimensions, embedder.framing.size, embedder.runtime) == (5, 16, "openvino")
    vectors = embedder.embed(CROPS)
    assert np.abs(vectors - unit(expected)).max() < 1e-5
    assert np.array_equal(vectors[2:3], embedder.embed(CROPS[2:3]))


def test_an_encoder_that_pools_by_itself(tmp_path: Path) -> None:
    """Channels last, one output without a name in the card: the row as it comes."""
    flat = model(
        [
            node("Transpose", ["pixels"], "first", perm=[0, 3, 1, 2]),
            node("GlobalAveragePool", ["first"], "mean"),
            node("Flatten", ["mean"], "row"),
        ],
        [],
        [value("pixels", ["batch", 16, 16, 3])],
        [value("row", ["batch", 3])],
    )
    card = CARD.replace('"mean-map"', '"none"').replace("features = 5", "features = 3")
    file = written(tmp_path, flat, card + 'layout = "nhwc"\noutput = "row"\n')
    card_without = file.with_suffix(".toml")
    card_without.write_text(card_without.read_text().replace('output = "row"\n', ""))
    assert np.abs(opened(file).embed(CROPS) - unit(SCALED.mean(axis=(1, 2)))).max() < 1e-5


def test_a_projection_serves_over_it(tmp_path: Path) -> None:
    """As over every other network: what was trained on its features."""
    random = np.random.default_rng(1)
    mean, matrix = (random.normal(size=size).astype(np.float32) for size in (5, (5, 2)))
    save_file({"mean": mean, "matrix": matrix}, tmp_path / "head.safetensors")
    embedder = opened(written(tmp_path), projection=tmp_path / "head.safetensors")
    expected = unit((ROWS.mean(axis=1) - mean) @ matrix)
    assert np.abs(embedder.embed(CROPS) - expected).max() < 1e-5


def test_the_digest_names_the_file_and_every_field_of_its_card(tmp_path: Path) -> None:
    """Not where it lies: worker and API may have it in different places."""
    changed = {
        "again": (None, CARD),
        "other-weights": (map_encoder() + b"\x32\x01x", CARD),  # a doc_string
        "short-side": (None, CARD + "short_side = 20\n"),
        "stretch": (None, CARD + 'short_side = "stretch"\n'),
        "filter": (None, CARD + 'interpolation = "bicubic"\n'),
        "mean": (None, CARD.replace("0.4", "0.41")),
        "std": (None, CARD.replace("0.25", "0.26")),
        "bgr": (None, CARD + 'channels = "bgr"\n'),
        "tokens": (None, TOKENS),
        "skip": (None, TOKENS + "skip_tokens = 1\n"),
    }
    files = {name: written(tmp_path / name, *of) for name, of in changed.items()}
    digests = {
        name: model_source(settings_of(file)).digest(precision="fp32", runtime="openvino")
        for name, file in files.items()
    }
    assert digests["again"] == opened(written(tmp_path / "here")).digest
    assert len({*digests.values()}) == len(changed)


@pytest.mark.parametrize(
    ("card", "says"),
    [
        (None, "needs a card beside it"),
        ("input_size = ", "is no TOML"),
        (CARD + "colour = 1\n", "colour: Unexpected"),
        (CARD.replace("features = 5", ""), "features: "),
        (CARD.replace("0.25", "0.0"), "std.1: "),
        (CARD.replace("0.4", "nan"), "mean.0: "),
        (CARD.replace("mean-map", "attention"), "pooling: "),
        (CARD + "short_side = 15\n", "short_side: 15 is less than input_size"),
    ],
)
def test_a_card_that_does_not_do_is_refused(tmp_path: Path, card: str | None, says: str) -> None:
    """The message names the file and the field, before anything is loaded."""
    with pytest.raises(SettingsInvalid, match=rf"embedder\.model: .*{says}"):
        opened(written(tmp_path, card=card))


TWO_INPUTS = model(
    [node("Add", ["pixels", "text"], "sum")],
    [],
    [value("pixels", [1, 3, 16, 16]), value("text", [1, 3, 16, 16])],
    [value("sum", [1, 3, 16, 16])],
)
ELSEWHERE = model(
    [node("Conv", ["pixels", "w"], "map", strides=[4, 4])],
    [tensor_elsewhere("w", [5, 3, 4, 4], "weights.bin")],
    [value("pixels", [1, 3, 16, 16])],
    [value("map", [1, 5, 4, 4])],
)


@pytest.mark.parametrize(
    ("data", "card", "says"),
    [
        (b"", CARD, "is no ONNX file"),
        (b"garbage", CARD, "is no ONNX file"),
        (map_encoder()[:-40], CARD, "is no ONNX file"),
        (ELSEWHERE, CARD, "is no ONNX file with its weights inside"),
        (TWO_INPUTS, CARD, r"takes 2 inputs \(pixels, text\)"),
        (map_encoder(), CARD.replace("= 16", "= 32"), r"input_size, layout"),
        (map_encoder(), CARD + 'layout = "nhwc"\n', r"input_size, layout"),
        (map_encoder(), CARD + 'output = "pooled"\n', "no output 'pooled': set `output`.*map, tok"),
        (map_encoder(), CARD.replace("= 5", "= 6"), r"its card says \[1,6\]"),
        (map_encoder(), TOKENS + "skip_tokens = 16\n", "leaves no token"),
        (map_encoder(), CARD.replace("mean-map", "none"), r"needs \(1, features\)"),
    ],
)
def test_a_file_that_does_not_do_is_refused(
    tmp_path: Path, data: bytes, card: str, says: str
) -> None:
    """What it is, what the card says, and what to set; other weights beside it are never read."""
    (tmp_path / "weights.bin").write_bytes(bytes(5 * 3 * 4 * 4 * 4))
    with pytest.raises(SettingsInvalid, match=rf"embedder\.model: .*{says}"):
        opened(written(tmp_path, data, card))


def test_only_openvino_runs_it_and_it_has_its_weights(tmp_path: Path) -> None:
    """Where a machine has a GPU, `auto` is OpenVINO all the same."""
    file = written(tmp_path)
    with pytest.raises(SettingsInvalid, match=r"embedder\.runtime: an ONNX file is run by openv"):
        opened(file, runtime="torch-eager")
    with pytest.raises(SettingsInvalid, match=r"embedder\.weights"):
        opened(file, weights=tmp_path / "w.safetensors")
    with pytest.raises(SettingsInvalid, match="cannot read"):
        opened(written(tmp_path / "gone").rename(tmp_path / "gone/other.onnx").parent / "tiny.onnx")


PAGE = (ROOT / "docs/models/onnx.md").read_text()


@pytest.mark.parametrize("name", [one.name for one in fields(EncoderCard)])
def test_every_field_of_a_card_has_its_line(name: str) -> None:
    """Alone, or beside one that is nothing without it."""
    assert re.search(rf"^\| (`\w+`, )?`{name}`(, `\w+`)? \|", PAGE, re.MULTILINE)


def test_the_page_s_card_is_one(tmp_path: Path) -> None:
    """Whoever copies it has a card."""
    card = re.findall(r"^```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]
    assert read_card(written(tmp_path, card=card)).framing == Framing(224, 256, "bicubic")
