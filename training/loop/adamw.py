"""One step of AdamW, as a function of the state before it.

I. Loshchilov, F. Hutter, "Decoupled Weight Decay Regularization" (arXiv 1711.05101), algorithm 2.
`torch.optim` does the same and needs five seconds of a core when it is first used, as long as the
whole training.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

FIRST_DECAY, SECOND_DECAY, EPSILON, WEIGHT_DECAY = 0.9, 0.999, 1e-8, 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """Weights, and the running means of their gradients and squared gradients; equal shapes."""

    weights: Tensor
    first: Tensor
    second: Tensor

    def after(self, gradient: Tensor, *, step: int, rate: float) -> Adapted:
        """Move against the gradient of `weights`.

        Args:
            gradient: shaped like the weights.
            step: how many steps were done before this one.
            rate: the learning rate.
        """
        first = FIRST_DECAY * self.first + (1 - FIRST_DECAY) * gradient
        second = SECOND_DECAY * self.second + (1 - SECOND_DECAY) * gradient.square()
        mean = first / (1 - FIRST_DECAY ** (step + 1))
        spread = (second / (1 - SECOND_DECAY ** (step + 1))).sqrt() + EPSILON
        weights = (1 - rate * WEIGHT_DECAY) * self.weights - rate * mean / spread
        return Adapted(weights, first, second)
