"""Who gets what in an experiment: the same everywhere, evenly, and anew in each experiment."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from importlib.resources import files

import pytest

from sightline.engine.serving.variants import Arm, arm_of, place_of, variant_of
from tests.conftest import ROOT

VECTOR = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \| `([0-9a-f]{8})` \| (0\.\d+) \|$", re.MULTILINE)
VECTORS = VECTOR.findall((ROOT / "docs/experiments.md").read_text())


@dataclass(frozen=True)
class Drawn:
    """An experiment, as far as the draw asks."""

    name: str = "clicks-in-may"
    share: float = 0.5
    salt: str = "clicks-in-may.5f1d7e84c0a9b263"
    interleave: bool = False


@pytest.mark.parametrize(("salt", "actor", "digits", "place"), VECTORS)
def test_the_vectors_of_the_documentation(salt: str, actor: str, digits: str, place: str) -> None:
    """Another program that agrees with them draws as we do."""
    assert place_of(salt, actor) == int(digits, 16) / 2**32
    assert f"{place_of(salt, actor):.6f}" == place


def test_the_documentation_has_vectors() -> None:
    """The pattern that reads them still finds them."""
    assert len(VECTORS) == 5


def test_another_language_draws_the_same() -> None:
    """The lines of the documentation, run by the Node that Playwright brings along."""
    node = files("playwright") / "driver" / "node"
    page = (ROOT / "docs/experiments.md").read_text()
    code = re.search(r"```javascript\n(.*?)```", page, re.DOTALL)
    assert code is not None
    calls = ",".join(f"placeOf({salt!r}, {actor!r})" for salt, actor, _, _ in VECTORS)
    program = f"{code[1]}\nconsole.log(JSON.stringify([{calls}]));"
    ran = subprocess.run([str(node), "-e", program], check=True, capture_output=True, text=True)
    assert ran.stdout.strip()[1:-1].split(",") == [
        str(place_of(salt, actor)) for salt, actor, _, _ in VECTORS
    ]


def test_actors_are_spread_evenly() -> None:
    """Each tenth of the line holds a tenth of 20,000 actors, within four standard deviations."""
    tenths = [0] * 10
    for number in range(20_000):
        tenths[int(10 * place_of("a.1", f"s-{number}"))] += 1
    assert max(abs(count - 2_000) for count in tenths) < 4 * (20_000 * 0.1 * 0.9) ** 0.5


def test_another_salt_draws_anew() -> None:
    """Who is treated in one experiment is so in another as often as anybody."""
    actors = [f"s-{number}" for number in range(20_000)]
    first = [actor for actor in actors if place_of("a.1", actor) < 0.5]
    again = sum(place_of("b.2", actor) < 0.5 for actor in first)
    assert abs(again - len(first) / 2) < 4 * (len(first) / 4) ** 0.5


def test_the_arm_follows_from_share_and_kind() -> None:
    """Below the share is what is new: the treatment, or pages of both."""
    place = place_of(Drawn.salt, "session-1")
    assert arm_of(Drawn(share=place), "session-1") is Arm.CONTROL
    assert arm_of(Drawn(share=place + 1e-9), "session-1") is Arm.TREATMENT
    assert arm_of(Drawn(share=1.0, interleave=True), "session-1") is Arm.INTERLEAVED
    assert variant_of("clicks-in-may", Arm.INTERLEAVED) == "clicks-in-may.interleaved"
