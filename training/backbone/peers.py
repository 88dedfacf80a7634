"""The processes that train one network together (`torchrun`), or the one that does so alone.

Each looks at its share of a batch's pictures. All of them see every vector, so that the loss is
that of the whole batch whatever their number; then they add up their gradients.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, distributed


class Peers(Protocol):
    """What one of them needs of the others."""

    @property
    def rank(self) -> int:
        """Which of them this is, from 0; 0 writes the files."""

    @property
    def count(self) -> int:
        """How many of them train one network together."""

    def gathered(self, share: Tensor) -> Tensor:
        """Every rank's rows, by rank; the same number of rows from each."""

    def added(self, tensors: list[Tensor]) -> list[Tensor]:
        """Sums of every rank's tensors, of the same shapes from each."""


class Alone:
    """The only process: its share is the whole batch."""

    rank, count = 0, 1

    def gathered(self, share: Tensor) -> Tensor:
        """See `Peers.gathered`."""
        return share

    def added(self, tensors: list[Tensor]) -> list[Tensor]:
        """See `Peers.added`."""
        return tensors


class ProcessGroup:
    """The processes of torch's default group, which `torchrun` started."""

    @property
    def rank(self) -> int:
        """See `Peers.rank`."""
        return distributed.get_rank()

    @property
    def count(self) -> int:
        """See `Peers.count`."""
        return distributed.get_world_size()

    def gathered(self, share: Tensor) -> Tensor:
        """See `Peers.gathered`."""
        parts = [torch.empty_like(share) for _ in range(self.count)]
        distributed.all_gather(parts, share.contiguous())
        return torch.cat(parts)

    def added(self, tensors: list[Tensor]) -> list[Tensor]:
        """See `Peers.added`."""
        for tensor in tensors:
            distributed.all_reduce(tensor)
        return tensors


@contextmanager
def peers_of(device: torch.device) -> Iterator[Peers]:
    """Whoever `torchrun` started beside this process; this process alone without it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Alone()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessGroup()
    finally:
        distributed.destroy_process_group()


def device_here() -> torch.device:
    """This process's GPU where there is one, else the processor."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


@contextmanager
def share_of_cores(peers: Peers, device: torch.device) -> Iterator[None]:
    """Divide the cores among the processes of this machine, and give them back."""
    before = torch.get_num_threads()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", peers.count))
    if device.type == "cpu":
        torch.set_num_threads(max(1, len(os.sched_getaffinity(0)) // here))
    try:
        yield
    finally:
        torch.set_num_threads(before)
