"""The embedded stack killed in the middle of writes: what was acknowledged is there afterwards."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from tests.asking import Asking, drawn, embedded
from tests.processes import ForkedNode
from tests.waiting import eventually

KILLS = 5
WRITERS = 3
SEED = 7_203
PICTURES = drawn(12, seed=SEED)


@dataclass(frozen=True)
class State:
    """What an image must be after a write."""

    status: str
    tags: tuple[str, ...] = ()


@dataclass
class Told:
    """What the writers know: one writer an image, so that its writes have an order."""

    acknowledged: dict[str, State] = field(default_factory=dict)
    cut_off: dict[str, State] = field(default_factory=dict)
    """Writes without an answer: they may or may not have happened."""
    writes: int = 0

    def wrong(self, api: Asking) -> dict[str, Any]:
        """Acknowledged images that are neither as acknowledged nor as the cut-off write says."""
        found = {image_id: _state(api, image_id) for image_id in self.acknowledged}
        return {
            image_id: (found[image_id], state)
            for image_id, state in self.acknowledged.items()
            if found[image_id] not in (state, self.cut_off.get(image_id))
        }

    def not_to_be_found(self) -> set[str]:
        """Images that were hidden or deleted for sure."""
        return {
            image_id
            for image_id, state in self.acknowledged.items()
            if state.status != "indexed" and image_id not in self.cut_off
        }


def test_no_acknowledged_image_or_change_is_gone_after_kills(tmp_path: Path) -> None:
    """Five kill -9 at seeded moments of uploads, changes and deletes; then every state is right."""
    moments = random.Random(SEED)
    told = Told()
    node = ForkedNode(embedded(tmp_path / "data"), tmp_path / "node.log")
    with node:
        for round_number in range(KILLS):
            writers = [
                threading.Thread(target=_write, args=(node.url, f"r{round_number}-w{writer}", told))
                for writer in range(WRITERS)
            ]
            due = told.writes + moments.randrange(20, 120)
            for writer in writers:
                writer.start()
            eventually(lambda due=due: told.writes >= due, timeout_s=60)  # type: ignore[misc]
            node.kill()
            for writer in writers:
                writer.join()
            node.start()
            with Asking(node.url) as api:
                eventually(lambda: not told.wrong(api), timeout_s=30, reason="every state is right")
        with Asking(node.url) as api:
            found = {image_id for data in PICTURES for image_id in api.found(data, limit=100)}
        assert not found & told.not_to_be_found()
        assert node.stop() == 0


def _write(url: str, name: str, told: Told) -> None:
    """Give images a life, one after another, until nobody answers."""
    choose = random.Random(f"{SEED}-{name}")
    with Asking(url) as api:
        for number in range(1_000):
            image_id = f"{name}-{number}"
            for state in _life(choose):
                try:
                    answer = _send(api, image_id, state, told.acknowledged.get(image_id), choose)
                    answer.raise_for_status()
                except httpx.HTTPError:
                    told.cut_off[image_id] = state
                    return
                told.acknowledged[image_id] = state
                told.writes += 1


def _life(choose: random.Random) -> Iterator[State]:
    state = State("indexed")
    yield state
    for _ in range(choose.randrange(4)):
        match choose.choice(["retag", "hide", "delete"]):
            case "retag":
                state = replace(state, tags=(f"t{choose.randrange(1_000)}",))
            case "hide":
                state = replace(state, status="hidden")
            case _:
                state = replace(state, status="deleted", tags=())  # a delete leaves none
        yield state
        if state.status == "deleted":
            return


def _send(
    api: Asking, image_id: str, state: State, before: State | None, choose: random.Random
) -> httpx.Response:
    """The write that leads to the state; acknowledged, not waited for."""
    if before is None:
        return api.upload(image_id, choose.choice(PICTURES), wait=False)
    if state.status == "deleted":
        return api.remove(image_id, wait=False)
    visibility = "private" if state.status == "hidden" else "public"
    return api.change(image_id, wait=False, tags=list(state.tags), visibility=visibility)


def _state(api: Asking, image_id: str) -> State | None:
    answer = api.get(f"/v1/images/{image_id}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    document = answer.raise_for_status().json()
    return State(document["status"], tuple(document["tags"]))
