import csv
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.engine.embedding.capabilities import can_run, computes_in_bf16, fastest_runtime
from sightline.engine.embedding.choice import open_embedder
from sightline.engine.embedding.model_files import model_source
from sightline.engine.embedding.projections import projection_bytes
from sightline.engine.errors import SettingsInvalid
from sightline.engine.pictures.prepare import prepare
from sightline.engine.ports import Embedder
from sightline.engine.records.framing import Framing
from sightline.engine.settings import DecodeSettings, EmbedderSettings
from tests.compiled_networks import find_compiled_again, take_probes_out_of
from tests.conftest import ROOT
from tests.onnx_files import CARD, map_encoder, written
from tests.patience import patient
from tests.unit.test_familiarity_gate import drawn

Name = Literal["torch-eager", "torch-compiled", "openvino", "cuda"]
Precision = Literal["fp32", "bf16"]
Crops = NDArray[np.uint8]
Opened = Callable[[Name, Precision], Embedder]

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
RUNTIMES: tuple[Name, ...] = ("torch-eager", "torch-compiled", "openvino", "cuda")
HERE = tuple(name for name in RUNTIMES if can_run(name))
IN_BF16 = tuple(name for name in HERE if computes_in_bf16(name))
NO_CUDA = pytest.mark.skipif("cuda" not in HERE, reason="this machine has no CUDA device")
RUNNABLE = [
    *(pytest.param((name, "fp32"), id=f"fp32-{name}") for name in HERE),
    *(pytest.param((name, "bf16"), id=f"bf16-{name}") for name in IN_BF16),
    *([] if "cuda" in HERE else [pytest.param(("cuda", "fp32"), id="cuda", marks=NO_CUDA)]),
    pytest.param("gated", id="familiarity-gate"),
    pytest.param("onnx", id="onnx-file"),
]
EVERY = [
    pytest.param(name, precision, id=f"{precision}-{name}")
    for precision in PRECISIONS
    for name in RUNTIMES
]
MASKED = {
    "OV_CPU_MAX_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "CUDA_VISIBLE_DEVICES": "",
}
"""Makes OpenVINO and torch see a processor of 2013, without bf16 and AVX-512, and no GPU."""
WHEN_MASKED = "fp32-openvino or bf16- or precision or agree_in_fp32 or lacks or fastest"
PHOTOS = 24


@pytest.fixture(scope="module")
def crops(photos: Path) -> Crops:
    """The same few photos for every runtime."""
    with (photos / "manifest.csv").open(newline="") as file:
        every = [row["image"] for row in csv.DictReader(file)]
    names = every[:: max(1, len(every) // PHOTOS)][:PHOTOS]
    taken = [
        prepare((photos / name).read_bytes(), limits=DecodeSettings(), framing=Framing(224))
        for name in names
    ]
    return np.stack([picture.crop for picture in taken])


@pytest.fixture(scope="module")
def opened(networks: Path) -> Opened:
    """Opens the default model on one runtime in one precision, each of them once."""
    kept: dict[tuple[Name, Precision], Embedder] = {}

    def opening(name: Name, precision: Precision) -> Embedder:
        if (name, precision) not in kept:
            runs = name in (HERE if precision == "fp32" else IN_BF16)
            if name == "torch-compiled" and runs:
                find_compiled_again()
                take_probes_out_of(opening("torch-eager", precision))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's own deprecations
                chosen = EmbedderSettings(runtime=name, precision=precision, threads=2)
                kept[name, precision] = open_embedder(chosen, cache=networks)
        return kept[name, precision]

    return opening


@pytest.fixture(scope="module", params=RUNNABLE)
def embedder(
    opened: Opened,
    networks: Path,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Embedder:
    """The default model on each runtime and precision of this machine, or gated; an ONNX file."""
    if isinstance(request.param, tuple):
        return opened(*request.param)
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "gated":
        file = folder / "projection.safetensors"
        file.write_bytes(projection_bytes(drawn(1280, 512)[0]))
        return open_embedder(EmbedderSettings(projection=file, threads=2), cache=networks)
    weights = np.random.default_rng(7).normal(size=(512, 3, 32, 32)).astype(np.float32)
    card = CARD.replace("= 16", "= 224").replace("= 5", "= 512")
    file = written(folder, map_encoder(size=224, weights=weights), card)
    return open_embedder(EmbedderSettings(model=f"onnx:{file}", threads=2), cache=folder)


def test_vectors_have_length_one(embedder: Embedder, crops: Crops) -> None:
    """Rows are float32, of the promised length, of L2 norm 1, finite."""
    vectors = embedder.embed(crops[:5])
    assert vectors.shape == (5, embedder.dimensions) == (5, 512)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_batching_changes_nothing(embedder: Embedder, crops: Crops) -> None:
    """Alone or in company, a crop gets the same vector, bit by bit, hence the same order."""
    together = embedder.embed(crops[:16])
    alone = np.concatenate([embedder.embed(crop[None]) for crop in crops[:16]])
    assert np.array_equal(together, alone)
    assert np.array_equal(together[::-1], embedder.embed(crops[15::-1]))


def test_crops_are_only_read(embedder: Embedder, crops: Crops) -> None:
    """So they may be such as nobody can write to, and are afterwards what they were."""
    locked = crops[:2].copy()
    locked.flags.writeable = False
    assert np.array_equal(embedder.embed(locked), embedder.embed(crops[:2]))
    assert np.array_equal(locked, crops[:2])


def test_a_vector_is_its_features_projected(embedder: Embedder, crops: Crops) -> None:
    """Bit by bit, so that the worker may keep the one and index the other of one forward pass."""
    features = embedder.features(crops[:5])
    assert features.shape == (5, embedder.feature_count)
    assert features.dtype == np.float32
    assert np.array_equal(embedder.project(features), embedder.embed(crops[:5]))
    assert np.array_equal(embedder.project(features[2:3]), embedder.embed(crops[2:3]))


def test_no_crops_no_vectors(embedder: Embedder) -> None:
    """An empty batch is fine."""
    size = embedder.framing.size
    assert embedder.embed(np.empty((0, size, size, 3), np.uint8)).shape == (0, 512)


@pytest.mark.parametrize("shape", [(1, 10, 10, 3), (1, 3, 224, 224), (224, 224, 3)])
def test_other_shapes_are_refused(embedder: Embedder, shape: tuple[int, ...]) -> None:
    """What are not crops of the model's size is an error of the caller."""
    for look in (embedder.embed, embedder.features):
        with pytest.raises(ValueError, match="crops must be"):
            look(np.zeros(shape, np.uint8))


def test_threads_agree(embedder: Embedder, crops: Crops) -> None:
    """Four threads at once get what one gets."""
    alone = embedder.embed(crops[:8])
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: embedder.embed(crops[:8]), range(8)))
    assert all(np.array_equal(result, alone) for result in results)


def test_precision_names_another_space(opened: Opened, crops: Crops) -> None:
    """The digest tells bf16 from fp32, and where a machine has both, the vectors stay close."""
    for name in HERE:
        exact = opened(name, "fp32")
        source = model_source(EmbedderSettings())
        assert exact.digest == source.digest(precision="fp32", runtime=name)
        assert exact.digest != source.digest(precision="bf16", runtime=name)
    for name in IN_BF16:
        exact, rounded = opened(name, "fp32"), opened(name, "bf16")
        assert rounded.digest == source.digest(precision="bf16", runtime=name)
        assert exact.runtime == rounded.runtime
        cosines = (exact.embed(crops) * rounded.embed(crops)).sum(axis=1)
        assert np.median(cosines) > 0.99
        assert cosines.min() > 0.97


@pytest.mark.parametrize("name", [name for name in HERE if name != "torch-eager"])
def test_runtimes_agree_in_fp32(opened: Opened, crops: Crops, name: Name) -> None:
    """In fp32 every runtime computes the network that eager torch computes."""
    eager, other = opened("torch-eager", "fp32"), opened(name, "fp32")
    cosines = (other.embed(crops[:8]) * eager.embed(crops[:8])).sum(axis=1)
    assert cosines.min() > 0.9995


@pytest.mark.parametrize(("name", "precision"), EVERY)
def test_what_the_machine_lacks_is_refused(
    opened: Opened, name: Name, precision: Precision
) -> None:
    """What cannot run here is refused, and the line names the setting; all the rest opens."""
    if name not in HERE:
        with pytest.raises(SettingsInvalid, match=r"embedder\.runtime: .* set it to auto"):
            opened(name, precision)
    elif precision == "bf16" and name not in IN_BF16:
        with pytest.raises(SettingsInvalid, match=r"embedder\.precision: .* set it to fp32"):
            opened(name, precision)
    else:
        digest = model_source(EmbedderSettings()).digest(precision=precision, runtime=name)
        assert opened(name, precision).digest == digest


def test_the_fastest_is_chosen() -> None:
    """Without CUDA, OpenVINO."""
    assert fastest_runtime() == ("cuda" if "cuda" in HERE else "openvino")


def test_the_default_runtime_needs_no_bf16_and_no_compiler(tmp_path: Path) -> None:
    """What the default runtime promises, with newer instructions masked and no compiler on PATH."""
    command = ["-m", "pytest", "-v", "-p", "no:cacheprovider", str(Path(__file__))]
    ended = subprocess.run(
        [sys.executable, *command, "-k", WHEN_MASKED, "--basetemp", str(tmp_path / "masked")],
        env={**os.environ, **MASKED, "PATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patient(300),
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:]
    cases = [line for line in ended.stdout.splitlines() if re.search(r"\[.+\] ", line)]
    assert any("[fp32-openvino] PASSED" in case for case in cases)
    lacking = [case for case in cases if "bf16-" in case or "torch-compiled" in case]
    assert len(lacking) == len(RUNTIMES) + 1
    assert all("_lacks_is_refused" in case and "PASSED" in case for case in lacking)
