"""The running stack of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sightline.infra.local.node_process import NodeProcess
from tests.asking import Asking, embedded
from tests.processes import ForkedNode


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """One `sightline up` in embedded mode, shared by the tests of a module."""
    directory = tmp_path_factory.mktemp("node")
    with ForkedNode(embedded(directory / "data"), directory / "node.log") as running:
        yield running


@pytest.fixture
def api(node: NodeProcess) -> Iterator[Asking]:
    """A caller of the module's stack."""
    with Asking(node.url) as caller:
        yield caller
