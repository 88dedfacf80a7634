"""How long after "made private" or "deleted" was acknowledged a search still returns the image.

Counted by a client that asks over and over; afterwards every hidden image is looked for
once more, and must not come back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.arrivals import Arrivals, arriving
from benchmarks.harness import Figure, Size, percentile
from benchmarks.node import Client, Node, running_node
from benchmarks.search import BASE
from benchmarks.stack import servers
from sightline.schemas.indexed import Lane

LOAD = 0.5
_DEADLINE_S = 30.0


def measure(size: Size) -> list[Figure]:
    """Idle, and while images arrive at half the capacity."""
    with servers() as own, running_node(own, pictures=size.of(2_000, 20)) as node:
        node.publish(Arrivals(prefix=BASE, count=len(node.pictures), lane=Lane.BACKFILL))
        with Client(node.process.url) as client:
            idle = _figures(node, client, "idle", size.of(40, 2))
            capacity = node.capacity_per_s(size.of(1_500, 20))
            count = int(capacity * LOAD * size.of(60, 1))
            live = Arrivals(prefix="beside", count=count, rate_per_s=capacity * LOAD, poisson=True)
            with arriving(node.settings, node.references, live):
                busy = _figures(node, client, "while indexing at half capacity", size.of(40, 2))
        return [*idle, *busy]


def _figures(node: Node, client: Client, name: str, count: int) -> list[Figure]:
    private = [f"private-{name[:5]}-{number}".replace(" ", "-") for number in range(count)]
    gone = [f"gone-{name[:5]}-{number}".replace(" ", "-") for number in range(count)]
    hide_ms, delete_ms, returned = [], [], 0
    for number in range(count):
        for image_id in (private[number], gone[number]):
            _put(node, client, image_id, number)
        hide_ms.append(_until_gone(client, number, private[number], _make_private))
        delete_ms.append(_until_gone(client, number, gone[number], _delete))
    for number in range(count):
        returned += bool({private[number], gone[number]} & _found(client, number))
    return [
        _figure(f"made private → never returned, {name}", hide_ms),
        _figure(f"deleted → never returned, {name}", delete_ms),
        Figure(
            name=f"hidden images returned later, {name}", value=returned, unit="images",
            goal="0", met=returned == 0, detail=f"of {2 * count}",
        ),
    ]  # fmt: skip


def _figure(name: str, milliseconds: list[float]) -> Figure:
    p50, worst = percentile(milliseconds, 0.5), max(milliseconds)
    p95 = percentile(milliseconds, 0.95)
    detail = f"p50 {p50:.1f}, p95 {p95:.1f}, worst {worst:.1f} ms of {len(milliseconds)}"
    return Figure(name=name, value=p50, unit="ms", detail=detail)


def _put(node: Node, client: Client, image_id: str, number: int) -> None:
    """Publish the picture of a base image once more, under another id."""
    path = f"/v1/images/{image_id}?wait=searchable&timeout_s=30"
    client.upload(node.pictures[number], path, "PUT", visibility="public")


def _make_private(client: Client, image_id: str) -> None:
    client.send("PATCH", f"/v1/images/{image_id}", {"visibility": "private"})


def _delete(client: Client, image_id: str) -> None:
    client.send("DELETE", f"/v1/images/{image_id}")


def _until_gone(
    client: Client, number: int, image_id: str, hide: Callable[[Client, str], None]
) -> float:
    """Milliseconds from the acknowledgement to the first answer without it."""
    if image_id not in _found(client, number):
        raise RuntimeError(f"{image_id} was never found")
    hide(client, image_id)
    acknowledged = time.perf_counter()
    while image_id in _found(client, number):
        if time.perf_counter() - acknowledged > _DEADLINE_S:
            raise TimeoutError(f"{image_id} is still found after {_DEADLINE_S:.0f} s")
    return (time.perf_counter() - acknowledged) * 1_000


def _found(client: Client, number: int) -> set[str]:
    question = {"image_id": f"{BASE}-{number}", "near_duplicates": "keep"}
    answer = client.send("POST", "/v1/search", question)
    return {result["image_id"] for result in answer.document["results"]}
