"""Batches in, the residual that they teach out: steps of AdamW, and the state between them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from sightline.training.loop.adamw import Adapted
from sightline.training.loop.batches import Batch, Batches
from sightline.training.loop.checkpoint import Checkpoint
from sightline.training.loop.residual import moved, nearest_linear, untrained
from sightline.training.loop.settings import HeadSettings
from sightline.training.losses.info_nce import info_nce, with_hardest

Floats = NDArray[np.float32]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch to the calling thread: a step is 17 ms of one core.

    A second thread mostly waits for the first one, spinning: on a busy machine of two cores it took
    seven times the CPU and five times as long. Nor does the result depend on the number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Steps:
    """Leads from one state of a training to a later one.

    Args:
        base_vectors: (n, d) of the pictures, projected by the head's base.
        batches: what each step looks at.
        settings: of the loss and the learning rate.
        count: the steps of the whole training.
    """

    def __init__(
        self, *, base_vectors: Floats, batches: Batches, settings: HeadSettings, count: int
    ) -> None:
        self._vectors = torch.from_numpy(base_vectors)
        self._batches = batches
        self._settings = settings
        self.count = count

    def begin(self) -> Checkpoint:
        """The state before the first step: nothing is learnt yet."""
        weights = untrained(self._settings, self._vectors.shape[1])
        none, empty = np.zeros_like(weights), np.empty(0, np.float32)
        return Checkpoint(
            residual=weights, first_moment=none, second_moment=none, losses=empty, shares=empty
        )

    def linear(self, state: Checkpoint) -> Floats:
        """The residual as the (d, d) that a head keeps."""
        with _one_thread():
            return nearest_linear(self._vectors.numpy(), state.residual, self._settings.activation)

    def done(self, state: Checkpoint, *, at_most: int | None = None) -> Checkpoint:
        """Do the steps that are left, or the next few of them; `state` stays as it is."""
        with _one_thread():
            return self._done(state, at_most)

    def _done(self, state: Checkpoint, at_most: int | None) -> Checkpoint:
        last = self.count if at_most is None else min(self.count, state.steps + at_most)
        moments = (state.residual, state.first_moment, state.second_moment)
        adapted = Adapted(*(torch.from_numpy(tensor) for tensor in moments))
        losses, shares = state.losses.tolist(), state.shares.tolist()
        for step in range(state.steps, last):
            batch = self._batches.draw(step)
            loss, gradient = self._gradient(batch, adapted.weights)
            adapted = adapted.after(gradient, step=step, rate=self._rate(step))
            losses.append(loss)
            shares.append(float(batch.masked.mean()))
        return Checkpoint(
            residual=adapted.weights.numpy(),
            first_moment=adapted.first.numpy(),
            second_moment=adapted.second.numpy(),
            losses=np.asarray(losses, np.float32),
            shares=np.asarray(shares, np.float32),
        )

    def _rate(self, step: int) -> float:
        return self._settings.learning_rate * (1 + math.cos(math.pi * step / self.count)) / 2

    def _gradient(self, batch: Batch, residual: torch.Tensor) -> tuple[float, torch.Tensor]:
        varied = residual.clone().requires_grad_()
        loss = self._loss(batch, varied)
        (gradient,) = torch.autograd.grad(loss, varied)
        return float(loss.detach()), gradient

    def _loss(self, batch: Batch, residual: torch.Tensor) -> torch.Tensor:
        anchors = self._embedded(batch.anchor, residual)
        candidates = self._embedded(batch.candidates, residual)
        positive, masked = torch.arange(len(anchors)), torch.from_numpy(batch.masked)
        if self._settings.skip_hardest:
            masked = with_hardest(
                (anchors @ candidates.T).detach(),
                positive=positive,
                masked=masked,
                count=self._settings.skip_hardest,
            )
        return info_nce(
            anchors,
            candidates,
            positive=positive,
            masked=masked,
            weight=torch.from_numpy(batch.weight),
            temperature=self._settings.temperature,
        )

    def _embedded(self, rows: NDArray[np.int64], residual: torch.Tensor) -> torch.Tensor:
        vectors = self._vectors[torch.from_numpy(rows)]
        return normalize(moved(vectors, residual, self._settings.activation))
