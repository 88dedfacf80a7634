"""`python -m benchmarks [name …]`: measure, print the tables, save `benchmarks/results/`.

Without names: every goal of docs/benchmarks.md. `--tiny` runs each at a
size of seconds, to see that it runs.
"""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path

from benchmarks.harness import RESULTS, Size, report

NAMES = (
    "worker_throughput",
    "freshness",
    "search",
    "hiding",
    "recall",
    "memory",
    "reprojection",
    "label_join",
    "training",
    "training_unclicked",
    "query_matrix",
    "experiment",
)
"""Modules with a `measure(size) -> list[Figure]`."""


def main() -> None:
    """Measure what was named, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(NAMES))
    parser.add_argument("--tiny", action="store_true", help="seconds each; figures mean nothing")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes")
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(NAMES))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}: there are {', '.join(NAMES)}")
    if given.tiny and given.results == RESULTS:
        parser.error("--tiny figures mean nothing: say --results DIR for them")
    size = Size.TINY if given.tiny else Size.FULL
    with _cheaply() if given.tiny else nullcontext():
        for name in given.names or NAMES:
            module = import_module(f"benchmarks.{name}")
            report(name, module.measure(size), given.results)


def _cheaply() -> AbstractContextManager[None]:
    """Servers shared by all, and processes that are forked."""
    from benchmarks.processes import fork_from_now_on  # noqa: PLC0415 - heavy
    from benchmarks.stack import shared_servers  # noqa: PLC0415 - heavy

    fork_from_now_on()
    return shared_servers()


if __name__ == "__main__":
    main()
