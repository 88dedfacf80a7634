"""The running stack of the end-to-end tests, and the figures that they report."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sightline.infra.node_process import NodeProcess

from tests.asking import Asking, embedded

Tell = Callable[[str, str], None]
_FIGURES = pytest.StashKey[list[tuple[str, str]]]()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One `sightline up` in embedded mode, shared by the tests of a module."""
    directory = tmp_path_factory.mktemp("node")
    with NodeProcess(embedded(directory / "data"), directory / "node.log") as running:
        yield running


@pytest.fixture
def api(node: NodeProcess) -> Iterator[Asking]:
    """A caller of the module's stack."""
    with Asking(node.url) as caller:
        yield caller


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Reports a measured figure at the end of the run: name, value with unit."""
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
