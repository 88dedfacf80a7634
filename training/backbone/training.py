"""Pairs, pictures, a network and a projection in, better weights of both out.

From a head that was trained on frozen features (LP-FT: A. Kumar et al., "Fine-Tuning can Distort
Pretrained Features and Underperform Out-of-Distribution", arXiv 2202.10054), so that the first
steps do not tear up what the network knows. Batch statistics stay frozen. Without clicks each
picture is its own positive: two views of it, as in SimCLR, with this loss in one direction and no
further head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sightline.engine.embedding.networks import Normalised
from sightline.engine.embedding.projections import Projection
from sightline.engine.pictures.hash_words import hash_words
from sightline.training.backbone.blocks import trained_names
from sightline.training.backbone.gradients import MATRIX, Encoder, Weights, loss_and_gradients
from sightline.training.backbone.peers import Alone, Peers
from sightline.training.backbone.settings import BackboneSettings
from sightline.training.backbone.state import State, inputs_digest
from sightline.training.backbone.views import ViewDrawer
from sightline.training.datasets.pairs import ClickPairs
from sightline.training.loop.adamw import Adapted
from sightline.training.loop.batches import Batch, Batches
from sightline.training.loop.training import Curve
from sightline.training.losses.info_nce import info_nce
from sightline.training.tracking import Track, untracked

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class Crops(Protocol):
    """The pictures, decoded when they are asked for."""

    @property
    def hashes(self) -> tuple[str, ...]:
        """The perceptual hash of each picture, by row."""

    def of(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 (n, side, side, 3), RGB; the side is the same for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainedBackbone:
    """What came out, and how it came about."""

    network: dict[str, Tensor]
    """Every tensor of the network, trained or not, by its name."""
    projection: Projection
    curve: Curve


def train_backbone(
    network: Normalised,
    start: Projection,
    pairs: ClickPairs,
    crops: Crops,
    settings: BackboneSettings,
    *,
    size: int,
    checkpoint: Path | None = None,
    peers: Peers | None = None,
    device: torch.device | None = None,
    track: Track = untracked,
) -> TrainedBackbone:
    """Train the last blocks and the projection; equal arguments give equal bytes on one processor.

    Args:
        network: from (n, 3, size, size) in 0-255 to (n, features); its own tensors stay as they
            are.
        start: the projection of the trained head.
        pairs: what people preferred, numbered by the rows of `crops`.
        crops: of the pictures.
        settings: how.
        size: of the square that the network sees, pixels.
        checkpoint: a file that keeps the state; an interrupted training of the same goes on.
        peers: who trains with this process; none: it is alone.
        device: what computes; none: the processor.
        track: shows how far it is.

    Raises:
        StaleCheckpoint: the checkpoint is of another training.
    """
    others, place = peers or Alone(), device or torch.device("cpu")
    network = network.eval().to(place)
    names = trained_names(network.network, settings.blocks)
    own = dict(network.network.named_parameters())
    weights: Weights = {name: own[name].detach().clone() for name in names}
    weights[MATRIX] = torch.from_numpy(start.matrix).to(place)
    mean = torch.from_numpy(start.mean).to(place)
    steps = _Steps(
        encoder=Encoder(network, mean, _DTYPES[settings.precision]),
        batches=Batches(pairs, hash_words(crops.hashes), settings.drawing),
        crops=crops,
        views=ViewDrawer(settings, size),
        settings=settings,
        peers=others,
        device=place,
    )
    inputs = inputs_digest(pairs, crops.hashes, weights, settings)
    kept = None if checkpoint is None else State.load(checkpoint, inputs=inputs, device=place)
    state = kept or State.begin(weights)
    left = range(state.steps, settings.steps)
    for step in track(left, "steps", len(left)):
        state = steps.after(state)
        due = (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps
        if checkpoint is not None and due and others.rank == 0:
            state.save(checkpoint, inputs=inputs)
    return _trained(network.network, start, state)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    encoder: Encoder
    batches: Batches
    crops: Crops
    views: ViewDrawer
    settings: BackboneSettings
    peers: Peers
    device: torch.device

    def after(self, state: State) -> State:
        """The state one step of AdamW later."""
        step, settings = state.steps, self.settings
        batch = self.batches.draw(step)
        loss, gradients = loss_and_gradients(
            self.encoder,
            {name: one.weights for name, one in state.adapted.items()},
            self._views(batch, step),
            lambda vectors: self._loss(batch, vectors),
            chunk=settings.chunk,
            peers=self.peers,
        )
        rate = settings.learning_rate * (1 + math.cos(math.pi * step / settings.steps)) / 2
        adapted = {
            name: one.after(gradient, step=step, rate=rate)
            for (name, one), gradient in zip(state.adapted.items(), gradients, strict=True)
        }
        return state.then(adapted, loss=loss, share=float(batch.masked.mean()))

    def _views(self, batch: Batch, step: int) -> Tensor:
        """This rank's share of the views; the last ranks' are filled up with the first picture."""
        rows = np.concatenate([batch.anchor, batch.candidates])
        each = -(-len(rows) // self.peers.count)
        filled = np.concatenate([rows, np.repeat(rows[:1], each * self.peers.count - len(rows))])
        first = each * self.peers.rank
        crops = self.crops.of(filled[first : first + each])
        return self.views.of(crops, step=step, first=first).to(self.device)

    def _loss(self, batch: Batch, vectors: Tensor) -> Tensor:
        anchors, count = len(batch.anchor), len(batch.anchor) + len(batch.candidates)
        return info_nce(
            vectors[:anchors],
            vectors[anchors:count],
            positive=torch.arange(anchors, device=self.device),
            masked=torch.from_numpy(batch.masked).to(self.device),
            weight=torch.from_numpy(batch.weight).to(self.device),
            temperature=self.settings.temperature,
        )


def _trained(network: nn.Module, start: Projection, state: State) -> TrainedBackbone:
    found: dict[str, Adapted] = dict(state.adapted)
    matrix = found.pop(MATRIX).weights.cpu().numpy()
    tensors = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    tensors |= {name: one.weights.cpu() for name, one in found.items()}
    curve = Curve(losses=state.losses, masked=state.shares)
    return TrainedBackbone(
        network=tensors,
        projection=Projection(start.mean, np.ascontiguousarray(matrix)),
        curve=curve,
    )


def own_positives(images: tuple[str, ...]) -> ClickPairs:
    """Pairs for a training without clicks: each picture with itself, once."""
    count = len(images)
    rows = np.arange(count, dtype=np.int32)
    return ClickPairs(
        images=images,
        anchor=rows,
        positive=rows,
        negative_starts=np.zeros(count + 1, np.int64),
        negatives=np.empty(0, np.int32),
        weight=np.ones(count, np.float32),
        grade=np.full(count, 5, np.int8),
        issued_at_ms=np.zeros(count, np.int64),
        search=images,
    )
