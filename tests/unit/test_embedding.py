import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from torchvision import models  # type: ignore[import-untyped]

from sightline.engine.embedding import capabilities, openvino_runtime
from sightline.engine.embedding.capabilities import concrete_precision
from sightline.engine.embedding.choice import open_embedder
from sightline.engine.embedding.conversion import convert
from sightline.engine.embedding.model_files import ModelSource, model_source
from sightline.engine.embedding.networks import build_network, from_crops
from sightline.engine.embedding.normalisation import Normalisation
from sightline.engine.embedding.torch_runtime import CACHE_VARIABLE, keep_compiled_apart
from sightline.engine.errors import RefusedToStart, SettingsInvalid
from sightline.engine.records.framing import Framing
from sightline.engine.settings import EmbedderSettings
from tests.patience import patient
from tests.reference_networks import CROPS, NETWORKS

PLAIN = Normalisation((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize("runtime", ["torch-eager", "openvino"])
def test_local_weights_give_the_reference_vectors(
    weights: Path,
    tmp_path: Path,
    model: str,
    runtime: Literal["torch-eager", "openvino"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SqueezeNet and MobileNetV2 features from safetensors match their references."""
    # This process has torch already; a child would import it anew.
    monkeypatch.setattr(openvino_runtime, "convert_in_child", convert)
    name = NETWORKS[model]
    settings = EmbedderSettings(
        model=model, weights=weights / f"{name}.safetensors", runtime=runtime, precision="fp32"
    )
    with np.load(weights / "reference_embeddings.npz") as references:
        crops, expected = references[CROPS], references[name]
    vectors = open_embedder(settings, cache=tmp_path).embed(crops)
    assert vectors.shape == expected.shape
    assert (vectors * expected).sum(axis=1).min() >= 0.999
    apart, expected_apart = vectors - expected.mean(axis=0), expected - expected.mean(axis=0)
    likeness = (apart * expected_apart).sum(axis=1)
    lengths = np.linalg.norm(apart, axis=1) * np.linalg.norm(expected_apart, axis=1)
    assert (likeness / lengths).min() >= 0.99


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
    # RegNet reads numbers from its tensors while it is built.
    with torch.device("cpu" if "regnet" in model else "meta"):
        quiet = {"init_weights": False} if model == "googlenet" else {}
        state = models.get_model(model, weights=None, **quiet).state_dict()
    file = tmp_path / "weights.safetensors"
    save_tensors({name: torch.zeros_like(v, device="cpu") for name, v in state.items()}, file)
    network = from_crops(build_network(model, file, PLAIN))
    with torch.inference_mode():
        assert network(torch.zeros(1, 224, 224, 3, dtype=torch.uint8)).shape == (1, features)


def test_the_default_network_needs_no_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import would double the time that a start or a conversion needs for torch."""
    for name in ("lite0", "networks"):
        monkeypatch.delitem(sys.modules, f"sightline.engine.embedding.{name}")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    anew = import_module("sightline.engine.embedding.networks")
    source = model_source(EmbedderSettings())
    network = anew.from_crops(
        anew.build_network(source.model, source.weights, source.normalisation)
    )
    with torch.inference_mode():
        assert network(torch.zeros(1, 224, 224, 3, dtype=torch.uint8)).shape == (1, 1280)


def test_the_default_network_takes_weights_of_its_own(tmp_path: Path) -> None:
    """As a training writes them: named as the network names them."""
    source = model_source(EmbedderSettings())
    state = build_network(source.model, source.weights, source.normalisation).network.state_dict()
    state["head.0.weight"] = state["head.0.weight"] * 2
    file = tmp_path / "weights.safetensors"
    save_file({name: value.numpy().copy() for name, value in state.items()}, file)
    loaded = build_network(source.model, file, source.normalisation).network.state_dict()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_another_networks_weights_are_refused(tmp_path: Path) -> None:
    """A file that does not fit says how it does not."""
    file = tmp_path / "squeezenet.safetensors"
    state = models.get_model("squeezenet1_1", weights=None).state_dict()
    save_file({name: value.numpy().copy() for name, value in state.items()}, file)
    for model, says in (("resnet18", "tensors missing"), ("efficientnet_lite0", "does not fit")):
        settings = EmbedderSettings(model=model, weights=file, runtime="torch-eager")
        with pytest.raises(SettingsInvalid, match=says):
            open_embedder(settings, cache=tmp_path)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x10\0\0\0\0\0\0\0{}"])
@pytest.mark.parametrize("name", ["weights", "weights.safetensors"])
def test_unreadable_weights_are_refused(tmp_path: Path, content: bytes, name: str) -> None:
    """Neither a network's safetensors file nor the default model's own may be garbage."""
    file = tmp_path / name
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
    assert concrete_precision("auto", "openvino") == "fp32"
    with pytest.raises(SettingsInvalid, match=r"does not compute in bf16.* set it to fp32"):
        concrete_precision("bf16", "openvino")


@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_kernels_that_are_kept_from_bf16(variable: str) -> None:
    """OpenVINO still says that the processor has it; `auto` takes what the kernels can do."""
    asked = "from sightline.engine.embedding.capabilities import concrete_precision as of"
    told = subprocess.run(
        [sys.executable, "-c", f"{asked}; print(of('auto', 'openvino'))"],
        env={**os.environ, variable: "AVX2"},
        capture_output=True,
        check=True,
        text=True,
        timeout=patient(60),
    )
    assert told.stdout == "fp32\n"


def test_a_machine_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compiled torch is not chosen there; asking for it refuses and says what is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(capabilities, "find_spec", lambda _: None)  # nor OpenVINO
    assert capabilities.fastest_runtime() in {"cuda", "torch-eager"}
    with pytest.raises(SettingsInvalid, match=r"needs a C\+\+ compiler"):
        open_embedder(EmbedderSettings(runtime="torch-compiled"))


def with_other_projection(folder: Path) -> ModelSource:
    """The default network with a projection of nobody's."""
    other = folder / "projection.safetensors"
    save_file({"mean": np.ones(1280, np.float32), "matrix": np.eye(1280, dtype=np.float32)}, other)
    return model_source(EmbedderSettings(projection=other))


def test_digest_names_everything_that_changes_the_space(tmp_path: Path) -> None:
    """Projection, precision, runtime: another one is another digest; the same, the same."""
    source, projected = model_source(EmbedderSettings()), with_other_projection(tmp_path)
    digests = {
        source.digest(precision="bf16", runtime="openvino"),
        model_source(EmbedderSettings()).digest(precision="bf16", runtime="openvino"),
        source.digest(precision="fp32", runtime="openvino"),
        source.digest(precision="bf16", runtime="torch-eager"),
        projected.digest(precision="bf16", runtime="openvino"),
    }
    assert len(digests) == 4


def test_the_features_digest_names_all_but_the_projection(tmp_path: Path) -> None:
    """What one model kept of a picture serves another of the same network, and of no other."""
    source, projected = model_source(EmbedderSettings()), with_other_projection(tmp_path)
    same = {
        each.features_digest(precision="fp32", runtime="openvino") for each in (source, projected)
    }
    assert len(same) == 1
    others = {
        source.features_digest(precision="bf16", runtime="openvino"),
        source.features_digest(precision="fp32", runtime="torch-eager"),
        replace(source, weights_id="other").features_digest(precision="fp32", runtime="openvino"),
        replace(source, framing=Framing(160)).features_digest(precision="fp32", runtime="openvino"),
        source.digest(precision="fp32", runtime="openvino"),
    }
    assert len(others - same) == 5


OPEN = """
import pathlib, sys
import numpy as np
from sightline.engine.embedding.choice import open_embedder
from sightline.engine.settings import EmbedderSettings
chosen = EmbedderSettings(runtime="openvino", precision="fp32", threads=1)
embedder = open_embedder(chosen, cache=pathlib.Path(sys.argv[1]))
print("torch" in sys.modules, *embedder.embed(np.full((1, 224, 224, 3), 90, np.uint8))[0])
"""


def test_a_damaged_cache_is_converted_again_without_torch_in_the_process(
    networks: Path, tmp_path: Path
) -> None:
    """What was kept is checked by its hash; a child converts anew, and the next process reads it.

    Nor does any of them say anything at its end, such as OpenVINO's binding of leaked objects.
    """
    cache = converted_networks(networks, tmp_path)
    kept = next(cache.glob("*/model.bin"))
    said = [_said(OPEN, cache)]
    kept.write_bytes(bytes(kept.stat().st_size))
    said += [_said(OPEN, cache), _said(OPEN, cache)]
    assert said[0].startswith("False ")
    assert said[1:] == said[:1] * 2
    assert any(kept.read_bytes()[:4096])


def converted_networks(networks: Path, directory: Path) -> Path:
    """A cache of the test's own that holds the default model, converted by whichever test first."""
    chosen = EmbedderSettings(runtime="openvino", precision="fp32", threads=1)
    open_embedder(chosen, cache=networks)
    return Path(shutil.copytree(networks, directory / "networks"))


def _said(program: str, argument: Path) -> str:
    command = [sys.executable, "-c", program, str(argument)]
    ended = subprocess.run(
        command, capture_output=True, check=True, text=True, timeout=patient(120)
    )
    assert ended.stderr == ""
    return ended.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only there a thread has its own priority")
def test_inference_gives_way_to_whoever_answers() -> None:
    """OpenVINO's threads are started by one of low priority; the caller keeps its own."""
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    seen: list[int] = []
    openvino_runtime._in_the_background(
        lambda: seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    )
    assert seen[0] == min(19, before + 10)
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_compiled_networks_are_kept_apart_by_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's cache would give a machine what was compiled for another one's instructions."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir  # noqa: PLC0415 - seconds

    monkeypatch.setenv(CACHE_VARIABLE, "chosen")
    keep_compiled_apart()
    assert os.environ[CACHE_VARIABLE] == "chosen"
    kept = set()
    for kind in ("AVX2", "AVX512"):
        monkeypatch.delenv(CACHE_VARIABLE)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda kind=kind: kind)
        keep_compiled_apart()
        kept.add(os.environ[CACHE_VARIABLE])
    assert len(kept) == 2
    monkeypatch.delenv(CACHE_VARIABLE)
    cache_dir()  # as an import of torch's compiler does: its default is nobody's choice
    keep_compiled_apart()
    assert os.environ[CACHE_VARIABLE] in kept
