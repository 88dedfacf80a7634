"""Search over HTTP: while indexing ÷ idle, by id ÷ a bare route, by upload ÷ its bare parts.

The node, the publisher, the bare route and the client are four processes.
"""

from __future__ import annotations

import itertools
import statistics
import time

from benchmarks.arrivals import Arrivals, arriving
from benchmarks.bare_route import PATH, bare_route
from benchmarks.harness import Figure, Size, percentile, ratio
from benchmarks.node import Answer, Client, Node, running_node
from benchmarks.stack import servers
from sightline.engine.embedding.choice import open_embedder
from sightline.engine.pictures.prepare import prepare
from sightline.schemas.indexed import Lane

BASE = "base"
BLOCK = 25
"""Requests of one side before the other side's turn."""
PACE_PER_S = 25.0
PAGE = 24


def measure(size: Size) -> list[Figure]:
    """All three, on one node."""
    with servers() as own, running_node(own, pictures=size.of(4_403, 30)) as node:
        node.publish(Arrivals(prefix=BASE, count=size.of(4_403, 30), lane=Lane.BACKFILL))
        with Client(node.process.url) as client:
            for number in range(size.of(100, 5)):  # warm
                client.upload(node.pictures[number])
                by_id(client, number)
            return [
                _by_id(node, client, size),
                _by_upload(node, client, size),
                *_while_indexing(node, client, size),
            ]


def by_id(client: Client, number: int) -> Answer:
    """A search by one of the images that are indexed already."""
    return client.send("POST", "/v1/search", {"image_id": f"{BASE}-{number}"})


def _by_id(node: Node, client: Client, size: Size) -> Figure:
    ours: list[Answer] = []
    bare: list[float] = []
    known = itertools.cycle(range(len(node.pictures)))
    body = by_id(client, 0).body
    with bare_route(body) as url, Client(url) as other:
        for _ in range(BLOCK):
            other.send("POST", PATH, {"image_id": f"{BASE}-0"})  # warm
        for _ in range(size.of(40, 1)):
            ours += [by_id(client, next(known)) for _ in range(BLOCK)]
            bare += [other.send("POST", PATH, {"image_id": f"{BASE}-0"}).ms for _ in range(BLOCK)]
    beyond = statistics.median(a.ms - a.stages_ms["index"] for a in ours)
    base = statistics.median(bare)
    stages = _stages(ours)
    return ratio(
        "API by id: p50 beyond the index query ÷ a bare route returning the same body",
        beyond / base,
        at_most=2.0,
        detail=f"{beyond:.2f} ms ÷ {base:.2f} ms; {len(ours)} each; "
        f"whole p50 {statistics.median(a.ms for a in ours):.2f} ms, of which {stages}",
    )


def _by_upload(node: Node, client: Client, size: Size) -> Figure:
    embedder = open_embedder(node.settings.embedder)
    ours: list[Answer] = []
    bare: list[float] = []
    numbers = iter(range(len(node.pictures)))
    for _ in range(size.of(16, 1)):
        for number in itertools.islice(numbers, BLOCK):
            ours.append(client.upload(node.pictures[number]))
            started = time.perf_counter()
            picture = prepare(
                node.pictures[number], limits=node.settings.decode, framing=embedder.framing
            )
            embedder.embed(picture.crop[None])
            bare.append((time.perf_counter() - started) * 1_000)
    index = statistics.median(a.stages_ms["index"] for a in ours)
    whole, parts = statistics.median(a.ms for a in ours), statistics.median(bare) + index
    return ratio(
        "API by upload: p50 ÷ (decode + embed + query)",
        whole / parts,
        at_most=1.3,
        detail=f"{whole:.2f} ms ÷ {parts:.2f} ms; {len(ours)} each; stages {_stages(ours)}",
    )


def _while_indexing(node: Node, client: Client, size: Size) -> list[Figure]:
    """Paced searches, idle and beside arrivals at half the capacity, in turn."""
    capacity = node.capacity_per_s(size.of(2_500, 20))
    seconds = size.of(15.0, 0.5)
    idle: list[Answer] = []
    busy: list[Answer] = []
    for turn in range(size.of(4, 1)):
        idle += _paced(client, seconds)
        arrivals = Arrivals(
            prefix=f"beside{turn}",
            count=max(10, int(capacity / 2 * (seconds + size.of(4, 1)))),
            rate_per_s=capacity / 2,
            poisson=True,
            first=1_000 * turn,
            seed=turn,
        )
        goal = node.settled(Lane.LIVE) + arrivals.count
        with arriving(node.settings, node.references, arrivals):
            node.wait_settled(goal - arrivals.count + 1, Lane.LIVE)  # the publisher is starting
            busy += _paced(client, seconds)
        node.wait_settled(goal, Lane.LIVE)
    before, during = percentile([a.ms for a in idle], 0.95), percentile([a.ms for a in busy], 0.95)
    short = sum(len(a.document["results"]) < min(PAGE, len(node.pictures) // 2) for a in busy)
    return [
        ratio(
            "search p95 while indexing at half capacity ÷ idle",
            during / before,
            at_most=1.5,
            detail=f"{during:.2f} ms ÷ {before:.2f} ms; p50 "
            f"{percentile([a.ms for a in busy], 0.5):.2f} ÷ "
            f"{percentile([a.ms for a in idle], 0.5):.2f} ms; {len(busy)} each at "
            f"{PACE_PER_S:.0f}/s by id; capacity {capacity:.0f}/s",
        ),
        Figure(
            name="answers while indexing that were not full pages", value=short, unit="answers",
            goal="0", met=short == 0, detail=f"of {len(busy)}",
        ),
    ]  # fmt: skip


def _paced(client: Client, seconds: float) -> list[Answer]:
    """Searches by id at a steady pace; a late one is not made up for."""
    answers = []
    for number in range(int(seconds * PACE_PER_S)):
        started = time.perf_counter()
        answers.append(by_id(client, number % 50))
        time.sleep(max(0.0, 1 / PACE_PER_S - (time.perf_counter() - started)))
    return answers


def _stages(answers: list[Answer]) -> str:
    names = answers[0].stages_ms
    medians = {n: statistics.median(a.stages_ms.get(n, 0.0) for a in answers) for n in names}
    return ", ".join(f"{name} {ms:.2f}" for name, ms in medians.items())
