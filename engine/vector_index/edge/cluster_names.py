"""The names of one generation's clusters in memory: whether a hash is near any of them.

A cluster is named by the hash that began it, in 32 bytes; a vector takes two thousand. While no
graph covers the vectors, a look among them reads every one, and evicts from the processor's caches
what inference needs there. So it is asked for only where it can find something (docs/adr/0017).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np

from sightline.engine.pictures.hash_words import Words, bits_apart, hash_words
from sightline.engine.pictures.near_duplicates import is_founding_hash

MOST = 32_768
"""Names up to which they are looked through. Long before that a graph covers the vectors, and many
hashes are near some name."""
_BLOCK = 448
"""Names that are compared at once. With 500 and more numpy gives the interpreter's lock away at
each step, and gets it back after whoever took it."""
_ROOM = 1_024


class ClusterNames:
    """Each name once; only ever more of them. Safe from several threads."""

    def __init__(self) -> None:
        self._adding = threading.Lock()
        self._known: set[str] = set()
        self._too_many = False
        self._words = np.empty((4, _ROOM), np.uint64)
        """A column a name, so that a look reads the first words of all in one piece."""

    def add(self, names: Iterable[str]) -> None:
        """Remember those that are hashes: no picture is near the name of flat ones."""
        with self._adding:
            new = set(filter(is_founding_hash, names)) - self._known
            if len(self._known) + len(new) > MOST:
                self._give_up()
            if new and not self._too_many:
                self._append(sorted(new))

    def give_up(self) -> None:
        """Forget the names: there are more than are looked through."""
        with self._adding:
            self._give_up()

    def may_be_near(self, perceptual_hash: str, *, bits: int) -> bool:
        """Whether a name differs in at most `bits` bits; True, too, where there are very many."""
        with self._adding:
            if self._too_many:
                return True
            held = self._words.T[: len(self._known)]
        mine = hash_words([perceptual_hash])[0]
        blocks = (held[start : start + _BLOCK] for start in range(0, len(held), _BLOCK))
        return any(_any_near(block, mine, bits=bits) for block in blocks)

    def _give_up(self) -> None:
        self._too_many = True
        self._known, self._words = set(), np.empty((4, 0), np.uint64)

    def _append(self, names: list[str]) -> None:
        """A look that is under way goes on with what it took: what is held never changes."""
        held, end = len(self._known), len(self._known) + len(names)
        if end > self._words.shape[1]:
            grown = np.empty((4, 2 * end), np.uint64)
            grown[:, :held] = self._words[:, :held]
            self._words = grown
        self._words[:, held:end] = hash_words(names).T
        self._known.update(names)


def _any_near(names: Words, mine: Words, *, bits: int) -> bool:
    """Whether any of (n, 4) names is within `bits`; two words tell that nearly none is."""
    half = np.bitwise_count(names[:, 0] ^ mine[0]) + np.bitwise_count(names[:, 1] ^ mine[1])
    return half.min() <= bits and bool(bits_apart(names[half <= bits], mine).min() <= bits)
