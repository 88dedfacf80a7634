"""The one choke point of API reads: what a caller may not see does not exist."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sightline.engine.errors import NotFound
from sightline.engine.records import IndexedImage
from sightline.engine.settings import IndexSettings, Scope
from sightline.engine.vector_index.edge import upserts
from sightline.engine.vector_index.edge.index import EdgeVectorIndex
from sightline.engine.vector_index.payload import to_payload
from sightline.engine.vector_index.visible import Caller, VisibleIndex
from tests.indexed_images import SPEC, Kind, image, query

ADMIN = Caller(scopes=frozenset({Scope.ADMIN}))
SEARCH = Caller(scopes=frozenset({Scope.SEARCH}))
ANN = Caller(scopes=frozenset({Scope.WRITE}), owner_id="ann")
BOB = Caller(scopes=frozenset({Scope.WRITE}), owner_id="bob")
ANN_SEARCHING = Caller(scopes=frozenset({Scope.WRITE, Scope.SEARCH}), owner_id="ann")
NOBODY = Caller(scopes=frozenset())
WRITE_WITHOUT_OWNER = Caller(scopes=frozenset({Scope.WRITE}))


@pytest.fixture
def visible(tmp_path: Path) -> Iterator[VisibleIndex]:
    """Ann's image of every kind, and one without an owner."""
    with closing(EdgeVectorIndex.open(tmp_path, SPEC, IndexSettings())) as index:
        index.apply([image(kind, kind=kind, owner_id="ann") for kind in Kind])
        index.apply([image("ownerless", kind=Kind.PRIVATE)])
        yield VisibleIndex(index)


LISTED = {Kind.PUBLIC, Kind.CHANGED}


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (ADMIN, {*Kind, "ownerless"}),
        (SEARCH, LISTED),
        (ANN, set(Kind)),
        (ANN_SEARCHING, set(Kind)),
        (BOB, set()),
        (NOBODY, set()),
        (WRITE_WITHOUT_OWNER, set()),
    ],
    ids=["admin", "search", "owner", "owner-searching", "other-owner", "nobody", "no-owner"],
)
def test_a_caller_sees_what_its_scopes_allow(
    visible: VisibleIndex, caller: Caller, seen: set[str]
) -> None:
    """Everything else is answered like an id that never was."""
    for name in (*Kind, "ownerless", "never-was"):
        if name in seen:
            assert visible.get(name, caller).image_id == name
        else:
            with pytest.raises(NotFound, match=f"^there is no image {name}$"):
                visible.get(name, caller)
    assert set(visible.get_many([*Kind, "ownerless", "never-was"], caller)) == seen


def test_a_search_returns_listed_images_to_everyone(visible: VisibleIndex) -> None:
    """Visibility is inside the index read; no caller widens it."""
    assert {hit.image.image_id for hit in visible.search(query())} == LISTED


def test_points_of_an_earlier_release_are_their_owners_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have no owner that a filter could read; the owner still sees them, a rival does not."""

    def of_old(one: IndexedImage) -> dict[str, Any]:
        return {name: value for name, value in to_payload(one).items() if name != "owner"}

    monkeypatch.setattr(upserts, "to_payload", of_old)
    with closing(EdgeVectorIndex.open(tmp_path, SPEC, IndexSettings())) as index:
        index.apply([image("old", kind=Kind.PRIVATE, owner_id="ann")])
        seen = VisibleIndex(index)
        assert seen.get("old", ANN).image_id == "old"
        for stranger in (BOB, SEARCH):
            with pytest.raises(NotFound):
                seen.get("old", stranger)
