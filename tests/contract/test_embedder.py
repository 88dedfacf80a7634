import csv
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from sightline.engine.embedding.choice import fastest_runtime, open_embedder
from sightline.engine.embedding.torch_runtime import has_compiler, has_cuda
from sightline.engine.pictures.prepare import prepare
from sightline.engine.ports import Embedder
from sightline.engine.settings import DecodeSettings, EmbedderSettings

Name = Literal["torch-eager", "torch-compiled", "openvino", "cuda"]
Precision = Literal["fp32", "bf16"]
Crops = NDArray[np.uint8]
Opened = Callable[[Precision], Embedder]

HERE = {
    "torch-eager": lambda: True,
    "torch-compiled": has_compiler,
    "openvino": lambda: True,
    "cuda": has_cuda,
}
PHOTOS = 60


@pytest.fixture(scope="module")
def crops(photos: Path) -> Crops:
    """The same few photos for every runtime."""
    with (photos / "manifest.csv").open(newline="") as file:
        names = [row["image"] for row in csv.DictReader(file)][::70][:PHOTOS]
    taken = [
        prepare((photos / name).read_bytes(), limits=DecodeSettings(), size=224) for name in names
    ]
    return np.stack([picture.crop for picture in taken])


@pytest.fixture(scope="module", params=list(HERE))
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """Opens the default model on one runtime, each precision once."""
    name: Name = request.param
    if not HERE[name]():
        pytest.skip(f"this machine cannot run {name}")
    cache = tmp_path_factory.mktemp("networks")
    kept: dict[str, Embedder] = {}

    def opening(precision: Precision) -> Embedder:
        if precision not in kept:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler's own deprecations
                chosen = EmbedderSettings(runtime=name, precision=precision, threads=2)
                kept[precision] = open_embedder(chosen, cache=cache)
        return kept[precision]

    return opening


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def embedder(opened: Opened, request: pytest.FixtureRequest) -> Embedder:
    """The default model on one runtime in one precision."""
    return opened(request.param)


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


def test_no_crops_no_vectors(embedder: Embedder) -> None:
    """An empty batch is fine."""
    size = embedder.input_size
    assert embedder.embed(np.empty((0, size, size, 3), np.uint8)).shape == (0, 512)


@pytest.mark.parametrize("shape", [(1, 10, 10, 3), (1, 3, 224, 224), (224, 224, 3)])
def test_other_shapes_are_refused(embedder: Embedder, shape: tuple[int, ...]) -> None:
    """What are not crops of the model's size is an error of the caller."""
    with pytest.raises(ValueError, match="crops must be"):
        embedder.embed(np.zeros(shape, np.uint8))


def test_threads_agree(embedder: Embedder, crops: Crops) -> None:
    """Four threads at once get what one gets."""
    alone = embedder.embed(crops[:8])
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda _: embedder.embed(crops[:8]), range(8)))
    assert all(np.array_equal(result, alone) for result in results)


def test_precision_names_another_space(opened: Opened, crops: Crops) -> None:
    """The digest tells bf16 from fp32; the vectors stay close."""
    exact, rounded = opened("fp32"), opened("bf16")
    assert exact.digest != rounded.digest
    assert exact.runtime == rounded.runtime
    cosines = (exact.embed(crops) * rounded.embed(crops)).sum(axis=1)
    assert np.median(cosines) > 0.99
    assert cosines.min() > 0.97


def test_runtimes_agree_in_fp32(
    opened: Opened, crops: Crops, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In fp32 every runtime computes the network that eager torch computes."""
    eager = open_embedder(
        EmbedderSettings(runtime="torch-eager", precision="fp32"),
        cache=tmp_path_factory.mktemp("reference"),
    )
    cosines = (opened("fp32").embed(crops[:8]) * eager.embed(crops[:8])).sum(axis=1)
    assert cosines.min() > 0.9995


def test_the_fastest_is_chosen() -> None:
    """Without CUDA, OpenVINO."""
    assert fastest_runtime() == ("cuda" if has_cuda() else "openvino")
