"""The card beside an ONNX file: how pictures reach the encoder, and where its features are."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from sightline.engine.embedding.normalisation import Normalisation
from sightline.engine.errors import SettingsInvalid
from sightline.engine.records.framing import Framing, Interpolation
from sightline.engine.regular_files import OverBound, read_bounded

SCHEME = "onnx:"
Centre = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
"""Times 255, in float32, pixels by them are finite numbers."""
_LEVELS = 255.0
_MOST = 65_536
"""Features or tokens of one picture."""
_MAX_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderCard:
    """What the export of an image encoder does not say of itself; the fields of `NAME.toml`."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    input_size: Annotated[int, Field(ge=8, le=2048)]
    """The side of the square that the encoder takes, in pixels."""
    short_side: Annotated[int, Field(le=4096)] | Literal["stretch"] | None = None
    """See `Framing.short_side`."""
    interpolation: Interpolation = "bilinear"
    """How the resize makes pixels in between."""
    mean: tuple[Centre, Centre, Centre]
    """What is subtracted of pixels from 0 to 1, red, green, blue."""
    std: tuple[Spread, Spread, Spread]
    """What they are divided by then."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """The order in which the encoder takes the colours."""
    layout: Literal["nchw", "nhwc"] = "nchw"
    """Whether its input has the colours before the pixels, or behind them."""
    output: Annotated[str, Field(min_length=1)] | None = None
    """The output that has the features; none: there is only one."""
    pooling: Literal["none", "first-token", "mean-tokens", "mean-map"]
    """What makes one row of features of it."""
    skip_tokens: Annotated[int, Field(ge=0, le=_MOST)] = 0
    """So many tokens at the front are left out of `mean-tokens`: class and register tokens."""
    features: Annotated[int, Field(ge=1, le=_MOST)]
    """How many features there are in the end."""

    @property
    def framing(self) -> Framing:
        """The resize and crop that the card asks for."""
        return Framing(self.input_size, self.short_side, self.interpolation)

    @property
    def normalisation(self) -> Normalisation:
        """Mean and spread for pixels of 0-255."""
        mean, std = (tuple(_LEVELS * part for part in of) for of in (self.mean, self.std))
        return Normalisation(mean, std)  # type: ignore[arg-type] # three each, as in the fields


CARDS = TypeAdapter(EncoderCard)


def card_file(encoder: Path) -> Path:
    """Where the card of an ONNX file lies: beside it, `NAME.toml` for `NAME.onnx`."""
    return encoder.with_suffix(".toml")


def read_card(encoder: Path) -> EncoderCard:
    """The card of an ONNX file.

    Raises:
        SettingsInvalid: it is missing, no TOML, or a field is wrong; names the field.
    """
    file = card_file(encoder)
    try:
        text = read_bounded(file, _MAX_BYTES).decode()
        card = CARDS.validate_python(tomllib.loads(text))
    except OSError as error:
        raise SettingsInvalid(
            f"embedder.model: an ONNX file needs a card beside it, and {file} cannot be read: "
            f"{error.strerror} (docs/models/onnx.md)"
        ) from error
    except ValidationError as error:
        raise SettingsInvalid(f"embedder.model: {file}: {_told(error)}") from error
    except OverBound as error:
        raise SettingsInvalid(f"embedder.model: {file} is no card: {error}") from error
    except (ValueError, RecursionError) as error:  # no TOML, or no UTF-8
        raise SettingsInvalid(f"embedder.model: {file} is no TOML: {error}") from error
    if isinstance(card.short_side, int) and card.short_side < card.input_size:
        raise SettingsInvalid(
            f"embedder.model: {file}: short_side: {card.short_side} is less than input_size "
            f"{card.input_size}: there would be nothing to cut the square from"
        )
    return card


def _told(error: ValidationError) -> str:
    """What is wrong with each field, without what pydantic adds for programmers."""
    return "; ".join(
        f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()
    )
