"""A new model beside the one that serves: by features or bytes, under live traffic, and back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from sightline.engine.settings import Settings
from sightline.infra.local.node_process import NodeProcess, environment_of
from tests.asking import Asking, embedded, ok
from tests.rollout_parts import (
    COUNT,
    PHOTOS,
    indexed,
    named_in,
    release,
    said,
    tag,
    traffic,
)
from tests.waiting import eventually


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, NodeProcess]]:
    """A stack of the test's own with forty photos, which commands find."""
    settings = embedded(tmp_path / "data")
    labels = settings.labels.model_copy(update={"supervised": False})
    settings = settings.model_copy(update={"labels": labels})
    for variable, value in environment_of(settings).items():
        monkeypatch.setenv(variable, value)
    with NodeProcess(settings, tmp_path / "node.log") as node:
        with Asking(node.url) as api:
            for number in range(COUNT):
                ok(
                    api.upload(
                        f"photo-{number}", PHOTOS.sample(number), wait=False, tags=tag(number)
                    )
                )
            eventually(lambda: indexed(api) == COUNT, timeout_s=60)
        yield settings, node


def test_a_new_model_comes_into_service_and_goes_again(
    own: tuple[Settings, NodeProcess],
) -> None:
    """By features, then by bytes: no search fails, and what answers is what the record says."""
    settings, node = own
    with Asking(node.url) as api:
        first = ok(api.search(PHOTOS.sample(0)))["generation"]
    for name, by in (("turned", "features"), ("drawn", "bytes")):
        model = release(settings, name, seed=len(name))
        with traffic(node.url) as people:
            told = said("reindex", model, "--by", by)
            generation = named_in(told)
            assert f"filled by {by}" in told
            assert "is ready" in told
            assert set(people.generations) == {first}
            said("switch", generation)
            eventually(lambda: people.generations[-1] == generation, timeout_s=30)  # noqa: B023
            said("rollback")
            eventually(lambda: people.generations[-1] == first, timeout_s=30)
        changes = [b for a, b in pairwise(people.generations) if a != b]
        assert changes == [generation, first]


def test_killed_while_it_is_filled_it_goes_on(own: tuple[Settings, NodeProcess]) -> None:
    """`kill -9` of the process in the middle of either way; the command's wish outlives it."""
    settings, node = own
    for name, by in (("turned", "features"), ("drawn", "bytes")):
        model = release(settings, name, seed=len(name))
        said("reindex", model, "--by", by, "--rate", "200", "--no-wait")
        with Asking(node.url) as api:
            ok(api.upload(f"late-{name}", PHOTOS.sample(COUNT), wait=False))
        node.kill()
        node.start()
        told = said("reindex", model)
        assert "is ready" in told, told
        assert f"{COUNT + 1 + (by == 'bytes')} images compared" in told
