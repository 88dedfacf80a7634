"""How often a long-lived process looks for reference cycles."""

from __future__ import annotations

import gc


def collect_garbage_seldom() -> None:
    """Set what is there now aside, and walk what comes later rarely; call when all is wired.

    A full collection walks every object while it holds the interpreter's lock: 50-90 ms in a node,
    during which no search is answered (measured), and with the interpreter's own thresholds a
    quarter of the join's core. What these processes make and drop has next to no cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
