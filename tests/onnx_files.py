"""Small ONNX files, written byte by byte: no package of ONNX is needed to test what reads them.

Field numbers are those of onnx.proto (IR version 8, opset 17).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_DTYPES = {"float32": 1, "int64": 7}
CARD = """
input_size = 16
mean = [0.4, 0.5, 0.6]
std = [0.2, 0.25, 0.5]
pooling = "mean-map"
features = 5
"""
"""Fits `map_encoder`."""
WEIGHTS: NDArray[np.float32] = np.random.default_rng(5).normal(size=(5, 3, 4, 4)).astype(np.float32)
"""Of its only layer."""


def _number(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | str | bytes) -> bytes:
    """One field of a message: a number, or bytes with their length."""
    if isinstance(value, int):
        return _number(number << 3) + _number(value)
    data = value.encode() if isinstance(value, str) else value
    return _number(number << 3 | 2) + _number(len(data)) + data


def tensor(name: str, array: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    """A constant."""
    dims = b"".join(field(1, size) for size in array.shape)
    raw = np.ascontiguousarray(array).tobytes()
    return dims + field(2, _DTYPES[str(array.dtype)]) + field(8, name) + field(9, raw)


def tensor_elsewhere(name: str, shape: Sequence[int], location: str) -> bytes:
    """A constant whose bytes lie in another file."""
    dims = b"".join(field(1, size) for size in shape)
    where = field(13, field(1, "location") + field(2, location))
    return dims + field(2, 1) + field(8, name) + where + field(14, 1)


def value(name: str, shape: Sequence[int | str]) -> bytes:
    """An input or output of floats; a dimension with a name is open."""
    dims = b"".join(field(1, field(1 if isinstance(d, int) else 2, d)) for d in shape)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))


def node(kind: str, inputs: Sequence[str], output: str, **numbers: Sequence[int]) -> bytes:
    """An operation with attributes of whole numbers."""
    told = b"".join(
        field(5, field(1, name) + b"".join(field(8, one) for one in each) + field(20, 7))
        for name, each in numbers.items()
    )
    return b"".join(field(1, one) for one in inputs) + field(2, output) + field(4, kind) + told


def model(
    nodes: Sequence[bytes],
    constants: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
) -> bytes:
    """A whole file."""
    parts = ((1, nodes), (2, [b"g"]), (5, constants), (11, inputs), (12, outputs))
    graph = b"".join(field(number, one) for number, every in parts for one in every)
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


def map_encoder(*, size: int | str = 16, weights: NDArray[np.float32] = WEIGHTS) -> bytes:
    """A convolution that gives a map (1, 5, 4, 4), and the same as (1, 16, 5) tokens.

    Args:
        size: of the square, pixels; a name leaves it open.
        weights: (features, 3, n, n); squares of n x n pixels become one place of the map.
    """
    features, _, step, _ = weights.shape
    wide = size if isinstance(size, str) else size // step
    return model(
        [
            node("Conv", ["pixels", "w"], "map", strides=[step, step]),
            node("Reshape", ["map", "flat"], "rows"),
            node("Transpose", ["rows"], "tokens", perm=[0, 2, 1]),
        ],
        [tensor("w", weights), tensor("flat", np.array([0, features, -1], np.int64))],
        [value("pixels", ["batch", 3, size, size])],
        [value("map", ["batch", features, wide, wide]), value("tokens", ["batch", "n", features])],
    )


def written(folder: Path, data: bytes | None = None, card: str | None = CARD) -> Path:
    """An ONNX file with its card beside it; without one where it is None."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "tiny.onnx"
    file.write_bytes(map_encoder() if data is None else data)
    if card is not None:
        file.with_suffix(".toml").write_text(card + 'output = "map"\n' * ("output" not in card))
    return file
