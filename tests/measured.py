"""Figures that tests measure on their way and do not assert: printed at the end of the run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Tell = Callable[[str, str], None]
"""Takes a figure's name, and its value with its unit."""

_FIGURES = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Reports a measured figure at the end of the run."""
    figures = request.config.stash.setdefault(_FIGURES, [])
    return lambda name, value: figures.append((name, value))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what was measured."""
    figures = config.stash.get(_FIGURES, [])
    if figures:
        terminalreporter.section("measured")
    for name, value in figures:
        terminalreporter.line(f"{name}: {value}")
