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
    look_for_garbage_seldom()


def look_for_garbage_seldom() -> None:
    """Raise the interpreter's thresholds; call before what takes time to import.

    What is imported stays. Walking it again and again took a seventh of the CPU time of a node's
    imports: 1.46 s, and 1.25 s without.
    """
    gc.set_threshold(50_000, 20, 100)


def never_look_for_garbage_again() -> None:
    """Set everything aside; call where the process ends.

    An interpreter that ends walks all there is, more than once, for what its end frees anyway: 0.14
    of the 0.94 CPU-seconds of `sightline status` (measured).
    """
    gc.freeze()
