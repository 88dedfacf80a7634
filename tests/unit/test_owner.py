"""Who owns an embedded stack, and who only has its number."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sightline.engine.connecting import owner


def _here() -> owner.Owner:
    return owner.Owner(pid=os.getpid(), url="http://127.0.0.1:1", bootstrap_servers="127.0.0.1:2")


def test_a_living_owner_is_found_until_it_withdraws(tmp_path: Path) -> None:
    """Announced, found, withdrawn, gone; withdrawing twice is fine."""
    owner.announce(tmp_path, _here())
    assert owner.find_owner(tmp_path) == _here()
    owner.withdraw(tmp_path)
    owner.withdraw(tmp_path)
    assert owner.find_owner(tmp_path) is None


def test_another_process_with_the_same_number_is_no_owner(tmp_path: Path) -> None:
    """After a kill, numbers are given to strangers, whom `sightline down` must not end."""
    owner.announce(tmp_path, _here())
    file = tmp_path / "owner.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"birth": "1"}))
    assert owner.find_owner(tmp_path) is None


def test_a_damaged_address_is_none(tmp_path: Path) -> None:
    """Half a file is no address."""
    (tmp_path / "owner.json").write_text('{"pid": 1')
    assert owner.find_owner(tmp_path) is None
