"""No test draws by a chance that nobody gave it: what fails once fails again."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.unit.test_patience import MODULES, place, tree

SEEDED = {"Random", "default_rng"}
"""Draw alike for who gives them the same seed, and by the system's chance for who gives none."""
DRAWS = {
    *("choice", "choices", "expovariate", "gauss", "getrandbits", "randbytes", "randint"),
    *("random", "randrange", "sample", "shuffle", "triangular", "uniform"),
}


def test_whatever_draws_is_given_a_seed() -> None:
    """Names that only must differ come from `uuid` and `secrets`; all else from a seed."""
    found = {place(path): [*_unseeded(tree(path))] for path in MODULES}
    assert {path: draws for path, draws in found.items() if draws} == {}


@pytest.mark.parametrize(
    "said",
    [
        "Random()",
        "random.Random()",
        "np.random.default_rng()",
        "np.random.default_rng(None)",
        "SystemRandom()",
        "import random\nrandom.shuffle(a)",
        "from random import choice\nchoice(a)",
        "np.random.normal(size=3)",
    ],
)
def test_chance_of_the_system_is_seen(said: str) -> None:
    """In whatever way it is asked for."""
    assert [*_unseeded(ast.parse(said))]


@pytest.mark.parametrize(
    "said",
    [
        "Random(3)",
        "def f(random):\n    random.shuffle(a)",
        "import random\nrandom.Random(f'{a}').shuffle(b)",
        "np.random.default_rng((1, step)).normal(size=3)",
    ],
)
def test_chance_from_a_seed_is_let_be(said: str) -> None:
    """Its draws are the same in every run."""
    assert not [*_unseeded(ast.parse(said))]


def _unseeded(module: ast.Module) -> Iterator[str]:
    drawing = {"SystemRandom", *_of_the_module(module)}
    for call in (node for node in ast.walk(module) if isinstance(node, ast.Call)):
        said = ast.unparse(call.func)
        name = said.rsplit(".", 1)[-1]
        bare = name in SEEDED and _seeds(call) in ([], ["None"])
        numpy = said.startswith(("np.random.", "numpy.random.")) and said.count(".") == 2
        if bare or {said, name} & drawing or (numpy and name not in SEEDED):
            yield f"line {call.lineno}: {ast.unparse(call)}"


def _seeds(call: ast.Call) -> list[str]:
    return [*map(ast.unparse, [*call.args, *(word.value for word in call.keywords)])]


def _of_the_module(module: ast.Module) -> Iterator[str]:
    """What calls of `random`'s own functions look like here; a `Random` may have that name, too."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import) and "random" in {each.name for each in node.names}:
            yield from (f"random.{name}" for name in DRAWS)
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            yield from {each.name for each in node.names} & DRAWS
