"""A new model beside the one that serves: by features or bytes, under live traffic, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest

from sightline.engine.settings import Settings
from sightline.infra.local.node_process import NodeProcess, environment_of
from tests.asking import Asking, embedded, ok
from tests.processes import ForkedNode
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

T = TypeVar("T")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Settings, NodeProcess]]:
    """A stack of the test's own with forty photos, which commands find."""
    settings = embedded(tmp_path / "data")
    labels = settings.labels.model_copy(update={"supervised": False})
    settings = settings.model_copy(update={"labels": labels})
    for variable, value in environment_of(settings).items():
        monkeypatch.setenv(variable, value)
    with ForkedNode(settings, tmp_path / "node.log") as node:
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
    """By features, by bytes, promoted: no search fails, and what the record says answers."""
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
        assert changes(people.generations) == [first, generation, first]
    promoted_restarted_and_taken_back(settings, node, first)


def promoted_restarted_and_taken_back(settings: Settings, node: NodeProcess, first: str) -> None:
    """By a matrix, then by vectors of its own, which a restart finds again; one step leads back."""
    model = release(settings, "again", seed=99)
    with traffic(node.url) as people:
        told = said("promote", model).splitlines()
        own = named_in(told[-1])
        assert f"generation {first} serves, of {model}" in told[0]
        assert f"generation {own} serves, of {model}" in told[-1]
        eventually(lambda: people.generations[-1] == own, timeout_s=30)
    assert changes(people.generations) == [first, own]
    (old, _), (new, _) = people.models[0], people.models[-1]
    assert changes(people.models) == [(old, False), (new, True), (new, False)]
    assert node.stop() == 0
    node.start()
    with Asking(node.url) as api:
        assert ok(api.search(PHOTOS.sample(0)))["generation"] == own
        said("rollback")
        eventually(lambda: answered_by(api) == (first, old), timeout_s=30)


def answered_by(api: Asking) -> tuple[str, str]:
    """Generation and model of an answer."""
    answer = ok(api.search(PHOTOS.sample(0)))
    return answer["generation"], answer["model"]


def changes(each: Sequence[T]) -> list[T]:
    """The same without repeats in a row."""
    return [each[0], *(b for a, b in pairwise(each) if a != b)]


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
