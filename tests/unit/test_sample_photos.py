from pathlib import Path

from sightline.infra.sample_photos.photo_folder import PhotoFolder, synthetic_folder


def test_a_folder_is_drawn_twice_alike(tmp_path: Path) -> None:
    """Who asks again for drawn photos in one place gets the same ones, not an error."""
    first, again = (synthetic_folder(tmp_path / "drawn", 3) for _ in range(2))
    assert len(first) == len(again) == 3
    assert [first.sample(n) for n in range(3)] == [again.sample(n) for n in range(3)]


def test_a_folder_counts_the_pictures_that_a_backfill_publishes(tmp_path: Path) -> None:
    """The demo waits until as many are indexed: what a backfill skips would never come."""
    skipped = ["@eaDir/a.jpg", ".hidden/a.jpg", ".a.jpg", "Thumbs.db/a.jpg", "notes.txt"]
    published = ["a.jpg", "b.JFIF", "below/c.png"]
    for name in (*skipped, *published):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    folder = PhotoFolder(tmp_path)
    assert [file.as_posix() for file in folder.relative_files()] == published
    assert len(folder) == len(published)
