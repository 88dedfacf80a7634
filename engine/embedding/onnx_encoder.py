"""An ONNX file and its card in, an OpenVINO network with the runtimes' common input out.

Nothing of the file is trusted but what the card says of it: one picture in, one row of so many
features out. It is read from memory, so that weights in a second file, which no digest would name,
cannot come along.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import openvino as ov  # type: ignore[import-untyped]
from openvino import opset13 as ops
from openvino.preprocess import ColorFormat, PrePostProcessor  # type: ignore[import-untyped]

from sightline.engine.embedding.encoder_card import EncoderCard
from sightline.engine.embedding.model_files import ModelSource
from sightline.engine.embedding.normalisation import Normalisation
from sightline.engine.errors import SettingsInvalid

_RANKS = {"none": 2, "first-token": 3, "mean-tokens": 3, "mean-map": 4}
_SHAPES = {
    "none": "(1, features)",
    "first-token": "(1, tokens, features)",
    "mean-tokens": "(1, tokens, features)",
    "mean-map": "(1, features, height, width)",
}


def encoder_network(source: ModelSource) -> ov.Model:
    """uint8 (1, size, size, 3) RGB to float32 (1, features).

    Raises:
        SettingsInvalid: the file is no ONNX, has other inputs, or gives something else than its
            card says.
    """
    card, file = source.encoder, source.weights
    if card is None or file is None:
        raise SettingsInvalid(f"embedder.model: {source.model} is no ONNX file")
    model = _read(file, source.weights_id)
    _set_shape(model, file, card)
    pooled = _pooled(_output(model, file, card), file, card)
    whole = ov.Model([pooled], model.get_parameters(), "encoder")
    return _from_crops(whole, card, source.normalisation)


def _read(file: Path, sha256: str) -> ov.Model:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"embedder.model: cannot read {file}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SettingsInvalid(f"embedder.model: {file} was changed while it was read; start again")
    try:
        return ov.Core().read_model(model=data, weights=b"")
    except RuntimeError as error:
        said = " ".join(str(error).split())[-300:]
        raise SettingsInvalid(
            f"embedder.model: {file} is no ONNX file with its weights inside that OpenVINO can "
            f"read: {said}"
        ) from error


def _set_shape(model: ov.Model, file: Path, card: EncoderCard) -> None:
    """Make it take one picture of the card's size."""
    if len(model.inputs) != 1:
        names = sorted(one.any_name for one in model.inputs)
        raise SettingsInvalid(
            f"embedder.model: {file} takes {len(names)} inputs ({', '.join(names)}), not one "
            "picture: export the image encoder alone"
        )
    size = card.input_size
    wanted = [1, 3, size, size] if card.layout == "nchw" else [1, size, size, 3]
    takes = model.input(0).partial_shape
    if not takes.compatible(ov.PartialShape(wanted)):
        raise SettingsInvalid(
            f"embedder.model: {file} takes {takes}, and its card says {wanted} (input_size, layout)"
        )
    try:
        model.reshape(wanted)
    except RuntimeError as error:
        said = " ".join(str(error).split())[-300:]
        raise SettingsInvalid(f"embedder.model: {file} cannot take {wanted}: {said}") from error


def _output(model: ov.Model, file: Path, card: EncoderCard) -> ov.Output:
    every = {name: output for output in model.outputs for name in output.names}
    if card.output is None and len(model.outputs) == 1:
        return model.output(0).get_node().input_value(0)
    if card.output not in every:
        named = f"no output {card.output!r}" if card.output else "several outputs"
        raise SettingsInvalid(
            f"embedder.model: {file} has {named}: set `output` in its card to one of "
            f"{', '.join(sorted(every))}"
        )
    return every[card.output].get_node().input_value(0)


def _pooled(output: ov.Output, file: Path, card: EncoderCard) -> ov.Node:
    shape = output.partial_shape
    if shape.rank.is_dynamic or len(shape) != _RANKS[card.pooling]:
        raise SettingsInvalid(
            f"embedder.model: {file} gives {shape}, and pooling {card.pooling!r} needs "
            f"{_SHAPES[card.pooling]}"
        )
    if card.pooling == "mean-tokens" and _none_left(shape[1], card.skip_tokens):
        raise SettingsInvalid(
            f"embedder.model: {file} gives {shape}: skip_tokens {card.skip_tokens} leaves no token"
        )
    pooled = _pool(output, card)
    if pooled.get_output_partial_shape(0) != ov.PartialShape([1, card.features]):
        raise SettingsInvalid(
            f"embedder.model: {file} gives {pooled.get_output_partial_shape(0)} after pooling "
            f"{card.pooling!r}, and its card says [1,{card.features}] (features)"
        )
    return pooled


def _none_left(tokens: ov.Dimension, skipped: int) -> bool:
    return bool(tokens.is_static and tokens.get_length() <= skipped)


def _pool(output: ov.Output, card: EncoderCard) -> ov.Node:
    """One row: of a token, or the mean of tokens or of a map."""
    exact = ops.convert(output, "f32")
    if card.pooling == "first-token":
        return ops.gather(exact, ops.constant(0), ops.constant(1))
    if card.pooling == "mean-tokens":
        end = 2**31 - 1
        rest = ops.slice(exact, [card.skip_tokens], [end], [1], [1])
        return ops.reduce_mean(rest, ops.constant([1]))
    if card.pooling == "mean-map":
        return ops.reduce_mean(exact, ops.constant([2, 3]))
    return exact


def _from_crops(model: ov.Model, card: EncoderCard, normalisation: Normalisation) -> ov.Model:
    """Put what every runtime does in front: from uint8, channels last, normalised in fp32."""
    steps = PrePostProcessor(model)
    taken = steps.input()
    taken.tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC")).set_color_format(
        ColorFormat.RGB
    )
    taken.model().set_layout(ov.Layout(card.layout.upper()))
    scaled = taken.preprocess().convert_element_type(ov.Type.f32)
    scaled = scaled.mean(list(normalisation.mean)).scale(list(normalisation.std))
    if card.channels == "bgr":
        scaled.convert_color(ColorFormat.BGR)
    return steps.build()
