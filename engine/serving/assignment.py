"""Which arm of an experiment an actor is in: a stable hash decides, in every process alike."""

from __future__ import annotations

from hashlib import sha256

from sightline.engine.serving.record import Experiment


def is_treated(experiment: Experiment, actor_id: str) -> bool:
    """Whether the actor gets the treatment; the same for as long as the experiment runs."""
    return _place(experiment.salt, actor_id) < experiment.share


def _place(salt: str, actor_id: str) -> float:
    """A number in [0, 1) that salt and actor give, evenly spread over actors."""
    digest = sha256(f"{salt}\0{actor_id}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
