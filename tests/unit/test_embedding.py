import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torchvision import models  # type: ignore[import-untyped]

from sightline.engine.embedding import openvino_runtime
from sightline.engine.embedding.choice import open_embedder, open_runtime
from sightline.engine.embedding.model_files import model_source
from sightline.engine.embedding.networks import build_network, from_crops
from sightline.engine.embedding.normalisation import Normalisation
from sightline.engine.errors import RefusedToStart, SettingsInvalid
from sightline.engine.settings import EmbedderSettings

PLAIN = Normalisation((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
REFERENCES = {
    "squeezenet1_1": "squeezenet1_1_onnxzoo_fp32",
    "mobilenet_v2": "mobilenet_v2_onnxzoo_features_fp32",
}


@pytest.mark.parametrize("model", REFERENCES)
@pytest.mark.parametrize("runtime", ["torch-eager", "openvino"])
def test_local_weights_give_the_reference_vectors(
    weights: Path, tmp_path: Path, model: str, runtime: Literal["torch-eager", "openvino"]
) -> None:
    """SqueezeNet and MobileNetV2 features from safetensors match their references."""
    name = REFERENCES[model]
    settings = EmbedderSettings(
        model=model, weights=weights / f"{name}.safetensors", runtime=runtime, precision="fp32"
    )
    with np.load(weights / "reference_embeddings.npz") as references:
        crops, expected = references["crops_uint8_nhwc"], references[name]
    vectors = open_embedder(settings, cache=tmp_path).embed(crops)
    assert vectors.shape == expected.shape
    assert (vectors * expected).sum(axis=1).min() >= 0.999


@pytest.mark.parametrize(
    ("model", "features"),
    [
        ("resnet18", 512),
        ("mobilenet_v3_small", 576),
        ("efficientnet_b0", 1280),
        ("convnext_tiny", 768),
        ("densenet121", 1024),
        ("vgg11", 512),
        ("alexnet", 256),
        ("shufflenet_v2_x0_5", 1024),
        ("mnasnet0_5", 1280),
        ("regnet_y_400mf", 440),
        ("googlenet", 1024),
        ("vit_b_32", 768),
        ("swin_t", 768),
    ],
)
def test_any_torchvision_network_ends_in_pooled_features(
    tmp_path: Path, model: str, features: int
) -> None:
    """Saved by torchvision's names, classifier and all, it loads; what comes out is pooled."""
    quiet = {"init_weights": False} if model == "googlenet" else {}
    torch.manual_seed(1)
    state = models.get_model(model, weights=None, **quiet).state_dict()
    file = tmp_path / "weights.safetensors"
    save_file({name: value.numpy().copy() for name, value in state.items()}, file)
    network = from_crops(build_network(model, file, PLAIN))
    with torch.inference_mode():
        assert network(torch.zeros(1, 224, 224, 3, dtype=torch.uint8)).shape == (1, features)


def test_another_networks_weights_are_refused(weights: Path, tmp_path: Path) -> None:
    """A file that does not fit says how it does not."""
    file = weights / "squeezenet1_1_onnxzoo_fp32.safetensors"
    settings = EmbedderSettings(model="resnet18", weights=file, runtime="torch-eager")
    with pytest.raises(SettingsInvalid, match="tensors missing"):
        open_embedder(settings, cache=tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x10\0\0\0\0\0\0\0{}"])
def test_unreadable_weights_are_refused(tmp_path: Path, content: bytes) -> None:
    """Neither a network's safetensors file nor the default model's own may be garbage."""
    file = tmp_path / "weights"
    file.write_bytes(content)
    for model in ("resnet18", "efficientnet_lite0"):
        settings = EmbedderSettings(model=model, weights=file, runtime="torch-eager")
        with pytest.raises(SettingsInvalid, match=r"embedder\.weights"):
            open_embedder(settings, cache=tmp_path)


def test_missing_files_and_unknown_models_are_refused(tmp_path: Path) -> None:
    """The message names the setting."""
    with pytest.raises(SettingsInvalid, match="cannot read"):
        open_embedder(EmbedderSettings(model="resnet18", weights=tmp_path / "none"))
    with pytest.raises(SettingsInvalid, match=r"embedder\.model"):
        open_embedder(EmbedderSettings(model="resnet17"))
    with pytest.raises(SettingsInvalid, match="cannot read"):
        open_embedder(EmbedderSettings(projection=tmp_path / "none"))


def test_a_projection_of_another_shape_is_refused(tmp_path: Path) -> None:
    """Mean and matrix must belong together."""
    file = tmp_path / "projection.safetensors"
    save_file({"mean": np.zeros(3, np.float32), "matrix": np.zeros((4, 2), np.float32)}, file)
    with pytest.raises(SettingsInvalid, match=r"embedder\.projection"):
        open_embedder(EmbedderSettings(projection=file), cache=tmp_path)


def test_weights_that_cannot_be_downloaded_refuse_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a network the message names the setting that needs none."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    settings = EmbedderSettings(model="shufflenet_v2_x0_5", runtime="torch-eager")
    with pytest.raises(RefusedToStart, match=r"embedder\.weights"):
        open_embedder(settings, cache=tmp_path)


class _OldProcessor:
    """A CPU without bf16, as OpenVINO tells of it."""

    def get_property(self, device: str, name: str) -> list[str]:
        """What this device can do."""
        assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
        return ["FP32", "INT8"]


def test_a_processor_without_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` takes fp32 there; asking for bf16 refuses and says what to set."""
    monkeypatch.setattr("openvino.Core", _OldProcessor)
    assert openvino_runtime.cpu_precision("auto") == "fp32"
    with pytest.raises(SettingsInvalid, match="does not compute in bf16"):
        openvino_runtime.cpu_precision("bf16")


def test_digest_names_everything_that_changes_the_space(tmp_path: Path) -> None:
    """Projection, precision, runtime: another one is another digest; the same, the same."""
    source = model_source(EmbedderSettings())
    other = tmp_path / "projection.safetensors"
    save_file({"mean": np.ones(1280, np.float32), "matrix": np.eye(1280, dtype=np.float32)}, other)
    projected = model_source(EmbedderSettings(projection=other))
    digests = {
        source.digest(precision="bf16", runtime="openvino"),
        model_source(EmbedderSettings()).digest(precision="bf16", runtime="openvino"),
        source.digest(precision="fp32", runtime="openvino"),
        source.digest(precision="bf16", runtime="torch-eager"),
        projected.digest(precision="bf16", runtime="openvino"),
    }
    assert len(digests) == 4


def test_a_damaged_cache_is_converted_again(tmp_path: Path) -> None:
    """What was kept is checked by its hash before it is used."""
    settings = EmbedderSettings(runtime="openvino", precision="fp32", threads=1)
    source = model_source(settings)
    crops = np.full((1, 224, 224, 3), 90, np.uint8)
    first = open_runtime(source, settings, cache=tmp_path).features(crops)
    kept = next(tmp_path.glob("*/model.bin"))
    kept.write_bytes(bytes(kept.stat().st_size))
    again = open_runtime(source, settings, cache=tmp_path).features(crops)
    assert np.array_equal(first, again)
    assert any(kept.read_bytes()[:4096])


def test_serving_from_the_cache_does_not_import_torch(tmp_path: Path) -> None:
    """A second process reads the converted network; torch stays out of it."""
    program = (
        "import sys, pathlib\n"
        "from sightline.engine.embedding.choice import open_embedder\n"
        "from sightline.engine.settings import EmbedderSettings\n"
        "chosen = EmbedderSettings(runtime='openvino', threads=1)\n"
        "open_embedder(chosen, cache=pathlib.Path(sys.argv[1]))\n"
        "print('torch' in sys.modules)\n"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            capture_output=True,
            check=True,
            text=True,
            timeout=120,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert told == ["True", "False"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has its own priority")
def test_inference_gives_way_to_whoever_answers() -> None:
    """OpenVINO's threads are started by one of low priority; the caller keeps its own."""
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    seen: list[int] = []
    openvino_runtime._in_the_background(
        lambda: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    )
    assert seen[0] > before
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
