from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.search_ids import (
    IssuedSearch,
    SearchIdInvalid,
    SearchIds,
    upload_ids,
)
from sightline.engine.signing_secret import stored_secret
from sightline.schemas.searches import CropBox
from tests.matching import matching

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)
IDS = SearchIds(b"a secret of thirty-two bytes ....")
NONCE = bytes(range(12))
"""Of ids whose letters decide a test: those of a drawn one may be any."""
PARTS = matching("[A-Za-z0-9._~-]{1,128}")


@given(actor=PARTS, anchor=PARTS, variant=PARTS)
def test_a_search_id_carries_what_it_authorises(actor: str, anchor: str, variant: str) -> None:
    """Whatever the ids, even at their full length, the search id fits its field and reads back."""
    search = IssuedSearch(issued_at=NOW, actor_id=actor, anchor_id=anchor, variant=variant)
    issued = IDS.issue(search)
    assert re.fullmatch(r"[A-Za-z0-9._~-]{1,512}", issued)
    assert IDS.read(issued) == search


@given(place=st.integers(min_value=0), letter=st.sampled_from("0123456789abcdefXYZ~"))
def test_an_altered_search_id_is_refused(place: int, letter: str) -> None:
    """No character can be changed."""
    search = IssuedSearch(issued_at=NOW, actor_id="a", anchor_id="b", variant="c")
    issued = IDS.issue(search, NONCE)
    at = place % len(issued)
    altered = issued[:at] + letter + issued[at + 1 :]
    if altered != issued:
        with pytest.raises(SearchIdInvalid):
            IDS.read(altered)


@pytest.mark.parametrize("nonsense", ["", "1", "x" * 600, "é" * 80])
def test_what_was_never_issued_is_refused(nonsense: str) -> None:
    """Garbage of any kind is refused in the same way."""
    with pytest.raises(SearchIdInvalid):
        IDS.read(nonsense)


def test_a_search_id_is_good_for_a_day() -> None:
    """At 24 h it still authorises, later no more; under another secret never."""
    issued = IDS.issue(IssuedSearch(issued_at=NOW, actor_id="a", anchor_id="b", variant="c"))
    IDS.read(issued, now=NOW + timedelta(hours=24))
    with pytest.raises(SearchIdInvalid, match="24 h"):
        IDS.read(issued, now=NOW + timedelta(hours=24, seconds=1))
    with pytest.raises(SearchIdInvalid):
        SearchIds(b"another secret, of some length").read(issued)


def test_two_searches_never_share_an_id() -> None:
    """The same search twice is two searches."""
    search = IssuedSearch(issued_at=NOW, actor_id="a", anchor_id="b", variant="c")
    assert len({IDS.issue(search) for _ in range(100)}) == 100


def test_an_uploads_anchor_is_its_bytes_and_box() -> None:
    """`q-` + 32 hex of SHA-256(bytes, box to a thousandth); a hair's move is the same anchor."""
    digest, anchor = upload_ids(b"picture")
    assert digest == sha256(b"picture").hexdigest()
    assert anchor == f"q-{digest[:32]}"
    box = CropBox(x=0.1, y=0.2, w=0.3, h=0.4)
    near = CropBox(x=0.1001, y=0.2, w=0.3, h=0.4)
    other = CropBox(x=0.102, y=0.2, w=0.3, h=0.4)
    assert upload_ids(b"picture", box) == upload_ids(b"picture", near)
    assert len({upload_ids(b"picture", b)[1] for b in (None, box, other)}) == 3


def test_a_pseudonym_is_stable_and_says_nothing() -> None:
    """The same user, the same pseudonym; another secret, another one; the user is not in it."""
    assert IDS.pseudonym("ann@example") == IDS.pseudonym("ann@example")
    assert "ann" not in IDS.pseudonym("ann@example")
    other = SearchIds(b"another secret, of some length")
    assert IDS.pseudonym("ann@example") != other.pseudonym("ann@example")


def test_a_short_secret_is_none() -> None:
    """Less than 16 bytes are refused."""
    with pytest.raises(ValueError, match="16 bytes"):
        SearchIds(b"short")


def test_the_first_to_ask_makes_the_secret(tmp_path: Path) -> None:
    """Every process of a deployment gets the same one."""
    store = DirectoryObjectStore(tmp_path)
    store.ensure_bucket("ours")
    made = stored_secret(store, "ours")
    assert len(made) == 32
    assert stored_secret(store, "ours") == made


def test_a_search_id_says_nothing_to_who_has_no_secret() -> None:
    """Neither in clear nor decoded does it hold who asked, for what, or when."""
    search = IssuedSearch(issued_at=NOW, actor_id="u-pseudonym", anchor_id="cat", variant="b-test")
    issued = IDS.issue(search, NONCE)
    sealed = urlsafe_b64decode(issued[1:] + "=" * (-len(issued[1:]) % 4))
    for part in ("u-pseudonym", "cat", "b-test"):
        assert part not in issued
        assert part.encode() not in sealed
    assert f"{round(NOW.timestamp() * 1000):012x}" not in issued
    assert SearchIds(b"another secret, of some length").opened(issued) is None


def test_ids_of_an_earlier_release_are_refused() -> None:
    """They carried the pseudonym in clear."""
    old = "1019aa0c1d400" + "0" * 16 + "030303" + "anncat" + "def" + "0" * 32
    assert IDS.opened(old) is None


def test_what_is_no_id_is_never_sealed() -> None:
    """A caller's odd session is an error at once."""
    with pytest.raises(ValueError, match="cannot stand in a search id"):
        IDS.issue(IssuedSearch(issued_at=NOW, actor_id="a/b c", anchor_id="b", variant="c"))


def test_a_judges_pseudonym_names_the_key() -> None:
    """The same person with another key is another judge; an erasure finds both by the end."""
    one, two = IDS.judge_pseudonym("lab", "ann"), IDS.judge_pseudonym("shop", "ann")
    assert one == f"lab~{IDS.pseudonym('ann')}"
    assert one != two
    assert two.endswith(IDS.pseudonym("ann"))
