"""Two models put beside what serves, by features and by bytes, switched to and taken back: killed.

    python -m benchmarks.rollout_kills [--on embedded|services|server] [--kills 10]
                                       [--folder ../shared/photos] [--photos 120] [--seed 1]

Two generations are filled, one is compared with what serves by an experiment, both are switched to,
and the last switch is taken back. The same story is lived through twice, each time by a deployment
of its own: once undisturbed, once with `kill -9` of each of its parts, and of the command, at so
many seeded moments, after each of which it is started again. People upload, hide, show and delete
meanwhile, and search without a pause. In the end both must be the same: what serves and what served
before, each generation, each image's version and state, each vector. No search may show what is
hidden, and every score must be that of the vectors of the generation which the answer names.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.rollout_killing.comparison import compared
from benchmarks.rollout_killing.deployments import PLACES, Place
from benchmarks.rollout_killing.people import MOVED, People
from benchmarks.rollout_killing.story import COMMAND, STORY, kills_of
from benchmarks.rollout_killing.telling import Lived, Telling
from sightline.engine.errors import SightlineError
from sightline.infra.sample_photos.photo_folder import PhotoFolder
from tests.qdrant_servers import BINARY

FOLDER = Path(__file__).parent.parent / "tests" / "data" / "photos" / "images"
TOUCHED = len(STORY) * MOVED * 3
"""Of the photos, every third is hidden, every third deleted, from the first on, step by step."""


def lived(folder: Path, place: Place, people: People, *, kills: int, seed: int) -> Lived:
    """One telling, in a new folder; `kills` of each part."""
    folder.mkdir()
    with place(folder) as deployment:
        parts = [*deployment.parts, COMMAND]
        return Telling(folder, deployment, kills_of(kills, seed, parts), people).live()


def main(arguments: Sequence[str] | None = None) -> None:
    """Tell the story twice, and say how both ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--on", choices=PLACES, default="embedded")
    parser.add_argument("--kills", type=int, default=10, help="of each part")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of pictures")
    parser.add_argument("--photos", type=int, default=120, help="so many; past the last, again")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if given.on == "server" and BINARY not in os.environ:
        parser.error(f"--on server starts a Qdrant server: set {BINARY} (docs/development.md)")
    if given.photos < TOUCHED:
        parser.error(f"people hide and delete {TOUCHED} photos: --photos must be as many")
    pictures = PhotoFolder(given.folder)
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as scratch:
        calm, disturbed = (
            lived(
                Path(scratch) / name,
                PLACES[given.on],
                People(pictures, given.photos),
                kills=kills,
                seed=given.seed,
            )
            for name, kills in (("calm", 0), ("killed", given.kills))
        )
    found = compared(calm, disturbed)
    lines = [
        *(f"killed: {what}" for what in disturbed.killed),
        *(
            f"{name}: {len(one.people.answers)} searches answered, {one.cpu_s:.0f} CPU-s; "
            f"by generation {_by_generation(one)}"
            for name, one in (("undisturbed", calm), ("killed", disturbed))
        ),
        f"images by generation: {[len(images) for images in disturbed.ends.values()]}",
        f"{found.scores} scores, at most {found.worst.cosine:.1e} from their generation's vectors",
        f"the worst: {found.worst.shown} asked by {found.worst.asked} in {found.worst.generation}",
        *(f"DIFFERS: {what}" for what in found.differences[:40]),
        f"{found.told_apart} times another generation's vectors give another score",
        "not the same end" if found.differences else "the same end",
    ]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    if found.differences:
        raise SightlineError(f"{len(found.differences)} differences")


def _by_generation(lived: Lived) -> list[int]:
    """How many searches each generation answered, in the order of their names."""
    counted = Counter(answer.generation for answer in lived.people.answers)
    return [counted[name] for name in sorted(lived.ends)]


if __name__ == "__main__":
    main()
