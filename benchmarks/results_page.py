"""`python -m benchmarks.results_page`: the committed results into `docs/benchmarks.md`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.__main__ import NAMES
from benchmarks.harness import RESULTS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
BEGIN = "<!-- results: python -m benchmarks.results_page -->"
END = "<!-- end of results -->"
_WHOLE_FROM = 100
_MET = {True: "yes", False: "**no**", None: ""}


def with_results(page: str) -> str:
    """The page with the tables of the results between its two marks."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def tables() -> str:
    """One table a benchmark that has results, in the order in which they run."""
    files = [RESULTS / f"{name}.json" for name in NAMES]
    return "\n".join(_table(json.loads(file.read_text())) for file in files if file.exists())


def _table(document: dict[str, Any]) -> str:
    machine = document["machine"]
    load = machine.get("load_average")
    busy = "" if load is None else f", load average {load:.1f}"
    rows = "\n".join(_row(figure) for figure in document["figures"])
    return (
        f"\n### {document['name']}\n\n"
        f"{document['measured_at'][:16].replace('T', ' ')} UTC, {machine['cores']} cores{busy}.\n\n"
        f"| figure | value | goal | met | detail |\n|---|---|---|---|---|\n{rows}\n"
    )


def _row(figure: dict[str, Any]) -> str:
    unit = "" if figure["unit"] == "ratio" else f" {figure['unit']}"
    cells = (
        figure["name"],
        f"{_number(figure['value'])}{unit}",
        figure["goal"],
        _MET[figure["met"]],
        figure["detail"],
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    """Three digits, but never an exponent."""
    return f"{value:.0f}" if abs(value) >= _WHOLE_FROM else f"{value:.3g}"


if __name__ == "__main__":
    PAGE.write_text(with_results(PAGE.read_text()))
