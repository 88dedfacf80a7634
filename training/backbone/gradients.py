"""A network, a projection and a batch of views in, loss and gradients out, in bounded memory.

L. Gao, Y. Zhang, J. Han, J. Callan, "Scaling Deep Contrastive Learning Batch Size under Memory
Limited Setup" (arXiv 2101.06983): vectors without a graph first, the loss's gradient by vector,
then a graph for a few pictures at a time. Without dropout and with frozen batch statistics both
passes give the same vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import normalize

from sightline.engine.embedding.networks import Normalised
from sightline.training.backbone.peers import Peers

Weights = dict[str, Tensor]
MATRIX = "projection.matrix"
"""The projection's name among the weights; no parameter of a network can have it."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """Maps views to unit vectors, as the embedder would."""

    network: Normalised
    """From (n, 3, size, size) in 0-255 to (n, features), in evaluation mode."""
    mean: Tensor
    """(features,) what is subtracted before the projection."""
    dtype: torch.dtype
    """What the network computes in."""

    def __call__(self, weights: Weights, views: Tensor) -> Tensor:
        """(n, dimensions), L2 norm 1, in fp32.

        Args:
            weights: those that are trained, in place of the network's own; and the projection.
            views: uint8 (n, 3, size, size), on the network's device.
        """
        named = {name: value for name, value in weights.items() if name != MATRIX}
        scaled = self.network.scaled(views.float())
        with torch.autocast(views.device.type, self.dtype, enabled=self.dtype != torch.float32):
            features = functional_call(self.network.network, named, (scaled,))
        return normalize((features.float() - self.mean) @ weights[MATRIX])


def loss_and_gradients(
    encoder: Encoder,
    weights: Weights,
    views: Tensor,
    loss_of: Callable[[Tensor], Tensor],
    *,
    chunk: int,
    peers: Peers,
) -> tuple[float, list[Tensor]]:
    """The loss of the whole batch, and its gradients by weight, in the order of the weights.

    Args:
        encoder: maps views to vectors.
        weights: what is trained.
        views: this rank's share of the batch: as many as every other rank's.
        loss_of: of every rank's vectors, by rank.
        chunk: how many views have a graph at once.
        peers: the other ranks.
    """
    with torch.no_grad():
        share = torch.cat([encoder(weights, part) for part in torch.split(views, chunk)])
    vectors = peers.gathered(share).requires_grad_()
    loss = loss_of(vectors)
    (by_vector,) = torch.autograd.grad(loss, vectors)
    mine = by_vector[peers.rank * len(views) :][: len(views)]
    varied = {name: value.detach().requires_grad_() for name, value in weights.items()}
    total = [torch.zeros_like(value) for value in weights.values()]
    for part, towards in zip(torch.split(views, chunk), torch.split(mine, chunk), strict=True):
        found = torch.autograd.grad(
            encoder(varied, part), list(varied.values()), towards, allow_unused=True
        )
        total = [
            kept if new is None else kept + new for kept, new in zip(total, found, strict=True)
        ]
    return float(loss.detach()), peers.added(total)
