"""Freshness (log to searchable, docs/images.md): alone, at 70 % of capacity, and beside a backfill.

Real broker and store share the cores with the node; another process publishes (docs/benchmarks.md).
"""

from __future__ import annotations

import statistics

from benchmarks.arrivals import Arrivals, arriving
from benchmarks.harness import Figure, Size, percentile, ratio
from benchmarks.node import Node, running_node
from benchmarks.stack import servers
from sightline.schemas.indexed import Lane

LOAD = 0.7
ALONE_PER_S = 4.0
"""Far enough apart that the one before is long done."""
LIVE_SHARE = 0.1
"""Of capacity: the live traffic whose freshness a backfill must not move."""


def measure(size: Size) -> list[Figure]:
    """Both goals, on one node."""
    with servers() as own, running_node(own, pictures=size.of(4_403, 20)) as node:
        node.publish(Arrivals(prefix="warm", count=size.of(200, 5)))
        capacity = node.capacity_per_s(size.of(2_500, 20))
        return [*_under_load(node, size, capacity), _beside_backfill(node, size, capacity)]


def _under_load(node: Node, size: Size, capacity: float) -> list[Figure]:
    alone: list[float] = []
    loaded: list[float] = []
    seconds = size.of(15.0, 0.5)
    for turn in range(size.of(3, 1)):
        node.publish(
            Arrivals(
                prefix=f"alone{turn}",
                count=int(ALONE_PER_S * seconds),
                rate_per_s=ALONE_PER_S,
                first=1_000 * turn,
            )
        )
        alone += node.freshness_ms(f"alone{turn}")
        node.publish(
            Arrivals(
                prefix=f"loaded{turn}",
                count=max(10, int(LOAD * capacity * seconds)),
                rate_per_s=LOAD * capacity,
                poisson=True,
                first=1_000 * turn + 100,
                seed=turn,
            )
        )
        loaded += node.freshness_ms(f"loaded{turn}")
    base = statistics.median(alone)
    p50, p99 = percentile(loaded, 0.5), percentile(loaded, 0.99)
    detail = (
        f"alone {base:.1f} ms ({len(alone)} images), capacity {capacity:.0f}/s, "
        f"{len(loaded)} loaded"
    )
    return [
        ratio(
            "freshness p50 at 70 % load ÷ one image alone",
            p50 / base,
            at_most=1.5,
            detail=f"{p50:.1f} ms; {detail}",
        ),
        ratio(
            "freshness p99 at 70 % load ÷ one image alone",
            p99 / base,
            at_most=5.0,
            detail=f"{p99:.1f} ms; {detail}",
        ),
    ]


def _beside_backfill(node: Node, size: Size, capacity: float) -> Figure:
    rate = LIVE_SHARE * capacity
    count = max(5, int(rate * size.of(40.0, 0.5)))
    live = Arrivals(prefix="without", count=count, rate_per_s=rate, poisson=True)
    node.publish(live)
    without = node.freshness_ms("without")
    backfill = Arrivals(prefix="backfill", count=size.of(20_000, 20), lane=Lane.BACKFILL)
    before = node.settled(Lane.BACKFILL)
    beside = Arrivals(prefix="beside", count=count, rate_per_s=rate, poisson=True, first=2_000)
    with arriving(node.settings, node.references, backfill):
        node.publish(beside)
    left = before + backfill.count - node.settled(Lane.BACKFILL)
    beside_ms = node.freshness_ms("beside")
    ours, theirs = percentile(beside_ms, 0.99), percentile(without, 0.99)
    return ratio(
        f"live freshness p99 with a backfill of {backfill.count:,} running ÷ without",
        ours / theirs,
        at_most=1.5,
        detail=f"{ours:.1f} ms ÷ {theirs:.1f} ms; p50 {percentile(beside_ms, 0.5):.1f} ÷ "
        f"{percentile(without, 0.5):.1f} ms; {count} live images each at {rate:.0f}/s; "
        f"{left:,} of the backfill still to come at the end",
    )
