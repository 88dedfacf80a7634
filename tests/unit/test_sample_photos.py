from pathlib import Path

import pytest

from sightline.infra.sample_photos import photo_folder
from sightline.infra.sample_photos.photo_folder import synthetic_folder


def test_a_folder_is_drawn_twice_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks again for drawn photos in one place gets the same ones, not an error."""
    monkeypatch.setattr(photo_folder, "DRAWN_PHOTOS", 3)
    first, again = (synthetic_folder(tmp_path / "drawn") for _ in range(2))
    assert len(first) == len(again) == 3
    assert [first.sample(n) for n in range(3)] == [again.sample(n) for n in range(3)]
