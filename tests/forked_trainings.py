"""Trainings in processes of their own: killed between two checkpoints, or two for one network."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from sightline.infra.commands.learning import backbone
from sightline.infra.commands.learning.backbone import run_backbone
from sightline.infra.local.free_ports import LOOPBACK, free_port
from sightline.training.loop.batches import Batches
from tests.small_network import SETTINGS, backbone_wishes, of_backbone, trains_means
from tests.training_place import LEARNING, Place, seen_place

HEAD = replace(LEARNING, head=replace(LEARNING.head, steps=60, checkpoint_every=20))
NETWORK = replace(SETTINGS, steps=6, checkpoint_every=3)
BETWEEN = [step for step in range(60) if step % 20]
"""Steps of the head's training, counted from 0, that are not the first one after a checkpoint."""
HEAD_DIES_AT = sorted(np.random.default_rng(1).choice(BETWEEN, 5, replace=False).tolist())
NETWORK_DIES_AT = int(np.random.default_rng(1).choice([4, 5]))


def leave_trainings(folder: str) -> None:
    """Leave what killed trainings had written, of five heads and a network, and what two made.

    A process that is new does it, in a deployment of its own.
    """
    with trainable_place(Path(folder)) as place:
        for step in HEAD_DIES_AT:
            train = partial(place.train, f"killed-{step}", learning=HEAD)
            assert _ended(forked(_dying, train, step)) == -signal.SIGKILL
        assert _ended(forked(place.train, "head")) == 0
        network = partial(train_network, place, "killed")
        assert _ended(forked(_dying, network, NETWORK_DIES_AT)) == -signal.SIGKILL
        port = free_port()
        both = [forked(_one_of_two, place, rank, port) for rank in range(2)]
        assert [_ended(each) for each in both] == [0, 0]


@contextmanager
def trainable_place(folder: Path) -> Iterator[Place]:
    """A deployment whose network can be trained, in one thread: a fork has no others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(backbone, "share_of_cores", lambda *_: nullcontext())
        patched.setattr(backbone, "device_here", lambda: torch.device("cpu"))
        trains_means(patched)
        yield seen_place(folder, patched)
    torch.set_num_threads(threads)


def train_network(place: Place, name: str) -> dict[str, bytes]:
    """Train a network from the place's head; its files' bytes by name."""
    return of_backbone(place, name, settings=NETWORK)


def forked(work: Callable[..., object], *arguments: object) -> BaseProcess:
    """A process that has begun as a copy of this one, and does the work."""
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads, which idle
        process.start()
    return process


def _ended(process: BaseProcess) -> int | None:
    process.join()
    return process.exitcode


def _dying(work: Callable[[], object], dies_at: int) -> None:
    """Do the work, and die when the batch of that step is drawn."""
    draw = Batches.draw

    def drawn(self: Batches, step: int) -> Any:
        if step == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return draw(self, step)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Batches, "draw", drawn)
        work()


def _one_of_two(place: Place, rank: int, port: int) -> None:
    """Train a network with another process, as `torchrun` starts them, and note what came out."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
    os.environ |= {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(port)}
    with pytest.MonkeyPatch.context() as patched:
        if rank:
            patched.delattr(backbone, "end_backbone_run")
        wishes = backbone_wishes(place, "two", settings=NETWORK)
        trained = run_backbone(place.settings, wishes, lambda _: None)
    (place.folder / f"rank-{rank}").write_text(hashlib.sha256(save(trained.network)).hexdigest())
