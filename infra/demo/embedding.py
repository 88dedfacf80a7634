"""What the demo says of the model that embeds: its runtime, its precision, and what that costs."""

from __future__ import annotations

from sightline.engine.embedding.capabilities import computes_in_bf16, concrete_precision
from sightline.engine.settings import EmbedderSettings

# Of the network alone, measured: 6.7 and 10.6 ms.
_FP32_COSTS = "on one core of an AMD EPYC of 2024 a photo takes about 11 ms, and 7 in bf16"
_BF16_COSTS = "on one core of an AMD EPYC of 2024 a photo takes about 7 ms, and 11 in fp32"


def what_runs(settings: EmbedderSettings, runtime: str) -> str:
    """A line for a person: model, runtime, precision and why that, and the cost of a photo."""
    precision = concrete_precision(settings.precision, runtime)
    line = f"{settings.model} on {runtime} in {precision}"
    if runtime != "openvino":
        return line
    if precision == "bf16":
        return f"{line}: {_BF16_COSTS}"
    why = "as set" if computes_in_bf16(runtime) else "this machine does not compute in bf16"
    return f"{line} ({why}): {_FP32_COSTS}"
