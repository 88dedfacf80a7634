"""Processes of a benchmark's own: fresh interpreters, or forked ones where figures mean nothing."""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.pool import Pool, ThreadPool
from pathlib import Path

from sightline.engine.settings import Settings
from sightline.infra.local.node_process import NodeProcess

_forked: list[bool] = []
_STARTED = ("benchmarks.arrivals", "benchmarks.bare_route", "benchmarks.label_side")
"""Modules whose functions are processes."""


def fork_from_now_on() -> None:
    """Spare each process the two CPU-seconds in which it would import what all of them use."""
    _forked.append(True)


def fresh() -> SpawnContext | ForkServerContext:
    """What starts a process that shares nothing with this one, as a figure needs.

    Once they are forked: from a process that has imported everything, and is not this one.
    """
    if not _forked:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.imported", *_STARTED])
    return context


def pool(processes: int) -> Pool:
    """Fresh processes that take one task after the other.

    Once they are forked: threads of this process, which has imported what the tasks need.
    """
    return (
        ThreadPool(processes) if _forked else multiprocessing.get_context("spawn").Pool(processes)
    )


def node_process(settings: Settings, log: Path) -> NodeProcess:
    """A node that was not started yet."""
    if not _forked:
        return NodeProcess(settings, log)
    from tests.processes import ForkedNode  # noqa: PLC0415 - of a checkout, as benchmarks are

    return ForkedNode(settings, log)
