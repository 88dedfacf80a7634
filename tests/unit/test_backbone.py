"""Training a network's own weights: the step, whose work it is, what goes on after a kill."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, distributed, nn
from torchvision import models  # type: ignore[import-untyped]

from sightline.engine.embedding.lite0 import EfficientNetLite0
from sightline.engine.embedding.networks import Normalised, build_network
from sightline.engine.embedding.normalisation import IMAGENET
from sightline.engine.embedding.projections import Projection
from sightline.engine.errors import SettingsInvalid
from sightline.engine.pictures.hash_words import hash_words
from sightline.training.backbone.blocks import blocks_of, trained_names
from sightline.training.backbone.gradients import MATRIX, Encoder, loss_and_gradients
from sightline.training.backbone.peers import Alone, Peers, ProcessGroup
from sightline.training.backbone.settings import BackboneSettings
from sightline.training.backbone.training import TrainedBackbone, own_positives, train_backbone
from sightline.training.backbone.views import ViewDrawer
from sightline.training.loop.batches import Batches
from sightline.training.loop.checkpoint import StaleCheckpoint
from sightline.training.losses.info_nce import info_nce
from sightline.training.tracking import Item, Track, untracked
from tests.learning import clicked
from tests.patience import patient

SIZE, PICTURES = 64, 8
SETTINGS = BackboneSettings(
    steps=2, batch=3, corpus=2, blocks=1, learning_rate=1e-3, checkpoint_every=1
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The work is too small to be shared out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass(frozen=True)
class Painted:
    """Eight pictures of two kinds of noise."""

    hashes: tuple[str, ...] = tuple(
        np.random.default_rng(at).bytes(32).hex() for at in range(PICTURES)
    )

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """See `Crops.of`."""
        pictures = [
            np.random.default_rng(int(row)).integers(0, 256, (72, 72, 3), dtype=np.uint8)
            for row in rows
        ]
        return np.stack(pictures)


@dataclass(frozen=True)
class Begun:
    """Where a training begins."""

    network: Normalised
    start: Projection

    def encoder(self) -> Encoder:
        """The network and the projection's mean."""
        return Encoder(self.network, torch.from_numpy(self.start.mean), torch.float32)

    def weights(self) -> dict[str, Tensor]:
        """Copies of the last block's and the projection's."""
        inner = self.network.network
        own = dict(inner.named_parameters())
        weights = {name: own[name].detach().clone() for name in trained_names(inner, 1)}
        return weights | {MATRIX: torch.from_numpy(self.start.matrix.copy())}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """One of torchvision's, small, with random weights, as the embedder builds it."""
    torch.manual_seed(3)
    state = models.get_model("squeezenet1_1", weights=None).state_dict()
    file = tmp_path_factory.mktemp("weights") / "squeezenet.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    built = build_network("squeezenet1_1", file, IMAGENET)
    pixels = torch.from_numpy(Painted().of(np.arange(PICTURES))).permute(0, 3, 1, 2)
    mean = built(pixels.float()).mean(dim=0).numpy()
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(512, 4)))[0].astype(np.float32)
    return Begun(built, Projection(mean, matrix))


IMAGES = tuple(f"i{at}" for at in range(PICTURES))
PAIRS = clicked(IMAGES, np.array([[0, 1], [2, 3], [4, 5], [6, 7]]))


def trained(
    begun: Begun, checkpoint: Path | None = None, track: Track = untracked, **changes: Any
) -> TrainedBackbone:
    """Train with a few of the settings changed."""
    settings = replace(SETTINGS, **changes)
    return train_backbone(
        begun.network,
        begun.start,
        PAIRS,
        Painted(),
        settings,
        size=SIZE,
        checkpoint=checkpoint,
        track=track,
    )


def same(one: TrainedBackbone, other: TrainedBackbone) -> bool:
    """Whether two trainings gave equal bytes."""
    equal = [torch.equal(one.network[name], other.network[name]) for name in one.network]
    return all(equal) and np.array_equal(one.projection.matrix, other.projection.matrix)


@pytest.mark.parametrize(
    ("blocks", "trained_tensors"),
    [(0, set()), (1, {"features.12"}), (2, {"features.11", "features.12"})],
)
def test_only_the_last_blocks_and_the_projection_change(
    begun: Begun, blocks: int, trained_tensors: set[str]
) -> None:
    """The network that was given stays as it was; what comes out loads into the same."""
    before = {name: value.clone() for name, value in begun.network.network.state_dict().items()}
    found = trained(begun, blocks=blocks, steps=1)
    changed = {
        name for name, value in found.network.items() if not torch.equal(value, before[name])
    }
    assert {".".join(name.split(".")[:2]) for name in changed} == trained_tensors
    assert all(torch.equal(v, before[n]) for n, v in begun.network.network.state_dict().items())
    assert not np.array_equal(found.projection.matrix, begun.start.matrix)
    assert set(found.network) == set(before)
    assert len(found.curve.losses) == 1


def test_a_step_goes_down_the_gradient(begun: Begun) -> None:
    """In small steps on the same views the loss falls."""
    views = ViewDrawer(SETTINGS, SIZE).of(Painted().of(np.arange(6)), step=0)
    encoder, weights = begun.encoder(), begun.weights()
    losses: list[float] = []
    for _ in range(3):
        loss, gradients = loss_and_gradients(
            encoder, weights, views, in_twos, chunk=6, peers=Alone()
        )
        losses.append(loss)
        stepped = zip(weights.items(), gradients, strict=True)
        weights = {name: value - 1e-3 * gradient for (name, value), gradient in stepped}
    assert losses[0] > losses[1] > losses[2]


def in_twos(vectors: Tensor) -> Tensor:
    """InfoNCE of the first three vectors, the next three being their positives."""
    half = len(vectors) // 2
    return info_nce(
        vectors[:half],
        vectors[half:],
        positive=torch.arange(half),
        masked=torch.zeros(half, half, dtype=torch.bool),
        weight=torch.ones(half),
        temperature=0.1,
    )


def test_few_pictures_at_a_time_give_the_gradients_of_all_at_once(begun: Begun) -> None:
    """And those are autograd's through the whole batch."""
    views = ViewDrawer(SETTINGS, SIZE).of(Painted().of(np.arange(6)), step=0)
    encoder = begun.encoder()
    weights = {name: value.requires_grad_() for name, value in begun.weights().items()}
    expected = torch.autograd.grad(in_twos(encoder(weights, views)), list(weights.values()))
    for chunk in (2, 6):
        _, found = loss_and_gradients(encoder, weights, views, in_twos, chunk=chunk, peers=Alone())
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours - theirs).norm() <= 1e-3 * ours.norm() + 1e-6  # sums in another order


class Threads:
    """Two ranks in one process."""

    def __init__(self, rank: int, table: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.count = rank, len(table)
        self._table, self._barrier = table, barrier

    def gathered(self, share: Tensor) -> Tensor:
        """See `Peers.gathered`."""
        return torch.cat(self._exchanged(share))

    def added(self, tensors: list[Tensor]) -> list[Tensor]:
        """See `Peers.added`."""
        return [
            torch.stack(each).sum(dim=0) for each in zip(*self._exchanged(tensors), strict=True)
        ]

    def _exchanged(self, mine: Any) -> list[Any]:
        self._table[self.rank] = mine
        self._barrier.wait(timeout=patient(30))
        every = list(self._table)
        self._barrier.wait(timeout=patient(30))
        return every


def in_two(work: Callable[[Threads], Any]) -> list[Any]:
    """What each of two ranks makes of the same work."""
    barrier, table = threading.Barrier(2), [None, None]
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(lambda rank: work(Threads(rank, table, barrier)), range(2)))


def test_two_processes_have_the_gradients_of_one(begun: Begun) -> None:
    """Each looks at half of the pictures; both have the loss and the gradients of all."""
    weights = begun.weights()
    views = ViewDrawer(SETTINGS, SIZE).of(Painted().of(np.arange(6)), step=0)

    def found(peers: Peers) -> tuple[float, list[Tensor]]:
        encoder = Encoder(deepcopy(begun.network), begun.encoder().mean, torch.float32)
        share = views[6 // peers.count * peers.rank :][: 6 // peers.count]
        return loss_and_gradients(encoder, weights, share, in_twos, chunk=2, peers=peers)

    loss, gradients = found(Alone())
    for other_loss, others in in_two(found):
        assert other_loss == pytest.approx(loss, rel=1e-4)
        for ours, theirs in zip(gradients, others, strict=True):
            assert (ours - theirs).norm() <= 1e-3 * ours.norm() + 1e-6  # sums in another order


def test_two_processes_train_one_network(begun: Begun) -> None:
    """With an odd number of pictures, too; their first loss is that of one that saw all."""
    settings = replace(SETTINGS, corpus=3)

    def work(peers: Peers) -> TrainedBackbone:
        network = deepcopy(begun.network)  # each process has its own
        return train_backbone(
            network, begun.start, PAIRS, Painted(), settings, size=SIZE, peers=peers
        )

    one, other = in_two(work)
    assert same(one, other)
    alone = trained(begun, corpus=3, steps=1)
    assert one.curve.losses[0] == pytest.approx(alone.curve.losses[0], rel=1e-3)


def test_a_process_group_is_a_group(tmp_path: Path) -> None:
    """The adapter of torch's processes, in a group of one."""
    store = f"file://{tmp_path / 'rendezvous'}"
    distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        peers, rows = ProcessGroup(), torch.arange(6.0).view(2, 3)
        assert (peers.rank, peers.count) == (0, 1)
        assert torch.equal(peers.gathered(rows), rows)
        assert torch.equal(peers.added([rows.clone()])[0], rows)
    finally:
        distributed.destroy_process_group()


def test_a_killed_training_goes_on_with_the_same_bytes(begun: Begun, tmp_path: Path) -> None:
    """From its last checkpoint; one with other settings is refused."""
    file = tmp_path / "checkpoint.safetensors"

    def dying(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
        assert (what, total) == ("steps", 2)
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(begun, file, dying)
    assert file.exists()
    with pytest.raises(StaleCheckpoint, match="other settings"):
        trained(begun, file, temperature=0.2)
    assert same(trained(begun, file), trained(begun))


def test_bf16_is_the_network_s_alone(begun: Begun) -> None:
    """Weights and vectors stay fp32, and the loss stays close."""
    exact, rounded = (trained(begun, steps=1, precision=p) for p in ("fp32", "bf16"))
    assert {value.dtype for value in rounded.network.values()} == {torch.float32}
    assert rounded.curve.losses == pytest.approx(exact.curve.losses, rel=0.1)
    assert not np.array_equal(rounded.curve.losses, exact.curve.losses)


def test_without_clicks_a_picture_is_its_own_positive(begun: Begun) -> None:
    """Two views of it; and no other view of it, nor of what looks like it, is a negative."""
    pairs = own_positives(IMAGES)
    settings = replace(SETTINGS, batch=8, corpus=8, near_duplicate_bits=0)
    batch = Batches(pairs, hash_words(Painted().hashes), settings.drawing).draw(0)
    same_picture = batch.candidates == batch.anchor[:, None]
    np.fill_diagonal(same_picture, val=False)
    assert same_picture.any()
    assert np.array_equal(batch.masked, same_picture)
    found = train_backbone(
        begun.network, begun.start, pairs, Painted(), replace(SETTINGS, steps=1), size=SIZE
    )
    assert np.isfinite(found.curve.losses).all()


def test_views_follow_from_seed_step_and_place() -> None:
    """The same again, whatever was drawn meanwhile and however the batch is divided."""
    crops = np.repeat(Painted().of(np.array([0])), 4, axis=0)
    views, state = ViewDrawer(SETTINGS, SIZE), torch.random.get_rng_state()
    whole = views.of(crops, step=3)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(1)
    parts = [views.of(crops[:1], step=3), views.of(crops[1:], step=3, first=1)]
    assert torch.equal(torch.cat(parts), whole)
    assert whole.shape == (4, 3, SIZE, SIZE)
    assert whole.dtype == torch.uint8
    distinct = {one.numpy().tobytes() for one in (*whole, *views.of(crops, step=4))}
    assert len(distinct) == 8


def test_a_turned_view_is_the_same_view_turned() -> None:
    """By each quarter alike; nothing else about it is drawn otherwise."""
    crops = np.repeat(Painted().of(np.array([0])), 16, axis=0)
    upright, turned = (
        ViewDrawer(replace(SETTINGS, rotation=rotation), SIZE).of(crops, step=0)
        for rotation in (False, True)
    )
    quarters = [
        next(turns for turns in range(4) if torch.equal(one.rot90(turns, (1, 2)), other))
        for one, other in zip(upright, turned, strict=True)
    ]
    assert set(quarters) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("name", "count", "last"),
    [("resnet18", 9, 1), ("vit_b_32", 13, 2), ("densenet121", 8, 2), ("vgg11", 1, 1)],
)
def test_networks_have_blocks(name: str, count: int, last: int) -> None:
    """Of whatever they are built; what stands alone belongs to the block before it."""
    with torch.device("meta"):
        found = models.get_model(name, weights=None)
    for head in ("fc", "heads", "classifier"):
        if hasattr(found, head):
            setattr(found, head, nn.Identity())
    blocks = blocks_of(found)
    assert (len(blocks), len(blocks[-1])) == (count, last)
    outside = set(trained_names(found, None)) - set(trained_names(found, count))
    assert outside == ({"class_token", "encoder.pos_embedding"} if name == "vit_b_32" else set())


def test_the_default_network_has_blocks() -> None:
    """Stem, sixteen blocks, and the convolution at its end."""
    with torch.device("meta"):
        network = EfficientNetLite0()
    assert len(blocks_of(network)) == 18
    assert {name.split(".")[0] for name in trained_names(network, 1)} == {"head"}


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"blocks": -1}, {"smallest": 1.5}, {"jitter": -1}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    """The message names the setting."""
    with pytest.raises(SettingsInvalid, match=next(iter(wrong))):
        replace(SETTINGS, **wrong)
