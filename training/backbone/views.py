"""Crops in, one random view of each out: crop, flip, colours, grey, blur; a turn, if wanted.

T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A Simple Framework for Contrastive Learning of Visual
Representations" (arXiv 2002.05709), appendix A. A view follows from the seed, the step and its
place in the batch alone, so that a killed training goes on with the same views.

A turn is one more augmentation, as in figure 5 there: two views match however they are turned. It
is no task of its own as in S. Gidaris, P. Singh, N. Komodakis, "Unsupervised Representation
Learning by Predicting Image Rotations" (arXiv 1803.07728): that wants a further head and loss, and
vectors that tell how a picture is turned, which no search wants.
"""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import v2  # type: ignore[import-untyped]

from sightline.training.backbone.settings import BackboneSettings

_GENERATOR = threading.Lock()
"""Torchvision draws from the process's only generator."""
_GREY, _JITTERED, _BLURRED, _SIGMA = 0.2, 0.8, 0.5, (0.1, 2.0)


class ViewDrawer:
    """Makes views of one size.

    Args:
        settings: how much is cropped away, and how much colours change.
        size: of the square that the network sees, pixels.
    """

    def __init__(self, settings: BackboneSettings, size: int) -> None:
        strength, kernel = settings.jitter, size // 20 * 2 + 1
        colours = (0.8 * strength, 0.8 * strength, 0.8 * strength, 0.2 * strength)
        changed = [
            v2.RandomApply([v2.ColorJitter(*colours)], p=_JITTERED),
            v2.RandomGrayscale(p=_GREY),
            v2.RandomApply([v2.GaussianBlur(kernel, _SIGMA)], p=_BLURRED),
        ]
        self._seed = settings.seed
        self._made = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(settings.smallest, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                *(changed if strength else []),
                *([v2.Lambda(_turned)] if settings.rotation else []),
            ]
        )

    def of(self, crops: NDArray[np.uint8], *, step: int, first: int = 0) -> Tensor:
        """uint8 (n, side, side, 3) to uint8 (n, 3, size, size).

        Args:
            crops: of the pictures at the places `first` and after in the batch.
            step: which batch.
            first: the place of the first of them.
        """
        pixels = torch.from_numpy(crops).permute(0, 3, 1, 2)
        with _GENERATOR, torch.random.fork_rng(devices=[]):
            views = [self._view(one, step, first + at) for at, one in enumerate(pixels)]
        return torch.stack(views)

    def _view(self, pixels: Tensor, step: int, place: int) -> Tensor:
        drawn = np.random.SeedSequence((self._seed, step, place)).generate_state(1, np.uint64)
        torch.manual_seed(int(drawn[0]))
        view: Tensor = self._made(pixels)
        return view


def _turned(view: Tensor) -> Tensor:
    """A square turned by 0, 90, 180 or 270 degrees, each as likely.

    It is drawn after all else, so that the rest of a view is the same without it.
    """
    return torch.rot90(view, int(torch.randint(4, ())), dims=(-2, -1))
