"""Anchors, candidates and a mask in, the InfoNCE loss out.

A. van den Oord, Y. Li, O. Vinyals, "Representation Learning with Contrastive Predictive Coding"
(arXiv 1807.03748), with cosine similarity and a temperature as in T. Chen et al., "A Simple
Framework for Contrastive Learning of Visual Representations" (arXiv 2002.05709).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy


def info_nce(
    anchors: Tensor,
    candidates: Tensor,
    *,
    positive: Tensor,
    masked: Tensor,
    weight: Tensor,
    temperature: float,
) -> Tensor:
    """How surprising each anchor's positive is among the candidates, in nats; the weighted mean.

    Args:
        anchors: float (b, d), L2 norm 1.
        candidates: float (c, d), L2 norm 1.
        positive: int64 (b,), the candidate that was preferred.
        masked: bool (b, c), candidates that are no negatives of an anchor; its positive counts
            whatever is said of it here.
        weight: float (b,), not below 0, above 0 somewhere.
        temperature: what similarities are divided by, above 0.

    Returns:
        A scalar; 0 where every negative is masked.
    """
    masked = masked.scatter(1, positive[:, None], value=False)
    logits = (anchors @ candidates.T / temperature).masked_fill(masked, float("-inf"))
    losses = cross_entropy(logits, positive, reduction="none")
    return (weight * losses).sum() / weight.sum()


def with_hardest(similarities: Tensor, *, positive: Tensor, masked: Tensor, count: int) -> Tensor:
    """Mask the `count` most similar negatives of each anchor as well: the likeliest to be right.

    Args:
        similarities: float (b, c), of anchors and candidates.
        positive: int64 (b,), which is never masked.
        masked: bool (b, c), candidates that are no negatives already.
        count: how many of the rest to leave out.

    Returns:
        bool (b, c).
    """
    masked = masked.scatter(1, positive[:, None], value=False)
    if count == 0:
        return masked
    open_ = ~masked.scatter(1, positive[:, None], value=True)
    rest = similarities.masked_fill(~open_, float("-inf"))
    hardest = rest.topk(min(count, rest.shape[1]), dim=1).indices
    return masked | (masked.scatter(1, hardest, value=True) & open_)
