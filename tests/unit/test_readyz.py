"""A loop that stopped is told by `/readyz`, and takes no API out of service."""

from __future__ import annotations

from pathlib import Path

import httpx

from sightline.search_api.operations.readiness import STOPPED
from tests.api_parts import KEYS, ApiWorld, run

WHY = "101 dead letters of /srv/bridge within 60 s"


def test_a_stopped_loop_is_told_with_200(tmp_path: Path) -> None:
    """By name to everybody, with its reason to an operator, until it runs again."""
    world = ApiWorld.open(tmp_path)
    world.health.stop("bridge", WHY)

    async def scenario(client: httpx.AsyncClient) -> None:
        for key, reason in ((None, STOPPED), ("searcher", STOPPED), ("admin", WHY)):
            headers = {} if key is None else {"X-API-Key": key}
            answer = await client.get("/readyz", headers=headers)
            assert (answer.status_code, answer.json()["ready"]) == (200, True)
            assert answer.json()["stopped"] == {"bridge": reason}
        world.health.resume("bridge")
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["stopped"]) == (200, {})

    run(world, scenario, keys=KEYS)
    world.index.close()
