"""A released model comes into service by itself, by an experiment of people, and one goes again.

    python -m benchmarks.unattended --results DIR [--pictures 60] [--kills 0]

One embedded node with `rollout.automatic`. Two models are released one after the other; people who
are drawn at random, each with a session of its own, search and click through the API. They click
more of what a new model shows, so that its experiment says `better` and it comes into service. The
first keeps that; of the second they click nothing once it serves all, and it must go again. What is
printed are the steps as `models.v1` tells them, and when. With `--kills` the node is killed at so
many seeded moments and started again: both must come to the same.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.beside import beside
from benchmarks.harness import Figure, report
from benchmarks.node import Client
from benchmarks.promotion import linear_model
from benchmarks.rollout_killing.people import Doors
from benchmarks.stack import photo_bytes
from sightline.engine.connecting.connections import open_event_log, open_object_store
from sightline.engine.serving.record import ServingRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.settings import ApiSettings, Mode, RolloutSettings, Settings
from sightline.infra.demo.people import demo_labels
from sightline.infra.local.node_process import NodeProcess
from sightline.schemas.registry import decode
from sightline.schemas.topics import MODELS
from sightline.stream_workers.rolling_out.state import RolloutRecord, RolloutState
from sightline.training.models.registry import Reasons, release, store_model

WATCH_S = 90.0
REPORT_EVERY_S = 15.0
PAGE = 12
CTR = (0.04, 0.12, 0.36)
"""How much people click of what each model shows, in the order in which they meet them."""
KILLED_AFTER_S = (4.0, 30.0)
"""So long after it was started the node is killed again, at least and at most."""
_LIMIT_S = 1_500.0
_POLL_S = 1.0


@dataclass
class People:
    """Who comes to the site: one search each, and clicks by chance."""

    doors: Doors = field(default_factory=Doors)
    """The node's address, while it must answer."""
    met: list[str] = field(default_factory=list)
    """Models that answered them, in turn."""
    tired: set[str] = field(default_factory=set)
    """Models that nobody clicks any more."""
    searches: int = 0
    failures: list[str] = field(default_factory=list)
    pictures: int = 1

    def __post_init__(self) -> None:
        self._random = Random(7)  # noqa: S311 - a simulation

    def come(self, over: threading.Event) -> None:
        """They come until it is over."""
        for number in itertools.count():
            if over.wait(0.02):
                return
            for door in self.doors.opened():
                try:
                    with Client(door[0]) as client:
                        self._visit(client, number)
                except Exception as error:  # noqa: BLE001 - told at the end
                    if self.doors.still(door):
                        self.failures.append(repr(error))

    def _visit(self, client: Client, number: int) -> None:
        asked = {
            "image_id": f"photo-{self._random.randrange(self.pictures)}",
            "limit": PAGE,
            "session_id": f"visitor-{number}",
        }
        answer = client.send("POST", "/v1/search", asked).document
        model = str(answer["model"])
        if model not in self.met:
            self.met.append(model)
        rate = 0.0 if model in self.tired else CTR[self.met.index(model)]
        clicked = [
            {
                "event_id": f"visit-{number}-{hit['position']}",
                "kind": "clicked",
                "image_id": hit["image_id"],
                "position": hit["position"],
                "since_answer_ms": 400 * hit["position"],
                "dwell_ms": 2_000,
            }
            for hit in answer["results"]
            if self._random.random() < rate
        ]
        if clicked:
            body = {"search_id": answer["search_id"], "items": clicked}
            client.send("POST", "/v1/interactions", body)
        self.searches += 1


@dataclass(frozen=True, slots=True)
class Site:
    """A node that rolls out by itself, and what its records say."""

    settings: Settings
    process: NodeProcess

    def kill(self, people: People, kills: int, over: threading.Event) -> None:
        """Kill the node at so many seeded moments, and start it again, until it is over."""
        random = Random(11)  # noqa: S311 - a simulation
        for _ in range(kills):
            if over.wait(random.uniform(*KILLED_AFTER_S)):
                return
            people.doors.shut(self.process.url)
            self.process.kill()
            self.process.start()
            people.doors.open(self.process.url)

    def released(self, number: int) -> str:
        """`NAME@DIGEST` of one more release."""
        name, bucket = self.settings.retraining.model, self.settings.store.bucket
        with closing(open_object_store(self.settings)) as store:
            digest = store_model(store, bucket, linear_model(self.settings, name, number))
            why = Reasons(against=None, gate=())
            release(store, bucket, name, digest, why, now=datetime.now(UTC))
        return f"{name}@{digest}"

    def ended(self, model: str, people: People, *, tires: bool) -> RolloutState:
        """Wait until the roll-out of a model has ended; what became of it.

        Raises:
            TimeoutError: it did not end in time.
        """
        deadline = time.monotonic() + _LIMIT_S
        bucket, index = self.settings.store.bucket, self.settings.index.collection_prefix
        with closing(open_object_store(self.settings)) as store:
            while time.monotonic() < deadline:
                state = RolloutRecord(store, bucket, index).read().state
                serving = ServingRecord.of(self.settings, store).read().state
                if model in state.done_with:
                    return state
                if tires and _serves_all(serving, model):
                    known = serving.generations
                    people.tired |= {one.model_digest for one in known if one.model == model}
                time.sleep(_POLL_S)
        raise TimeoutError(f"the roll-out of {model} did not end: {state}")

    def steps(self) -> list[tuple[datetime, str]]:
        """What `models.v1` tells, in turn."""
        found = []
        for message in open_event_log(self.settings).read([MODELS.name]):
            event = decode(message.value or b"")
            said = getattr(event.data, "step", "")
            what = event.type.removeprefix("sightline.").removesuffix(".v1")
            found.append((event.time, f"{what} {said}".strip()))
        return sorted(found)


def _serves_all(state: ServingState, model: str) -> bool:
    return state.experiment is None and state.model_of(state.serves) == model


@contextmanager
def site(pictures: int) -> Iterator[tuple[Site, People]]:
    """The node, with pictures that are searchable."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as scratch:
        folder = Path(scratch)
        base = Settings()
        settings = Settings(
            mode=Mode.EMBEDDED,
            data_directory=folder / "data",
            api=ApiSettings(port=0, requests_per_minute=10**9),
            labels=demo_labels(base.labels),
            rollout=RolloutSettings(
                automatic=True,
                experiment_share=0.5,
                watch_s=WATCH_S,
                report_every_s=REPORT_EVERY_S,
            ),
        )
        with NodeProcess(settings, folder / "node.log") as process:
            with Client(process.url) as client:
                for number, photo in enumerate(photo_bytes(pictures, folder)):
                    path = f"/v1/images/photo-{number}?wait=searchable&timeout_s=60"
                    client.upload(photo, path, "PUT", visibility="public")
            people = People(pictures=pictures)
            people.doors.open(process.url)
            yield Site(settings, process), people


def measure(pictures: int, kills: int) -> list[Figure]:
    """Both releases, one after the other."""
    figures = []
    with (
        site(pictures) as (place, people),
        beside(people.come),
        beside(partial(place.kill, people, kills)),
    ):
        for number, (tires, wanted) in enumerate(((False, "serves"), (True, "rolled_back"))):
            began, asked = time.monotonic(), people.searches
            model = place.released(number)
            last = place.ended(model, people, tires=tires).past[0]
            figures.append(
                Figure(
                    name=f"release {number + 1}: {last.outcome.value}",
                    value=time.monotonic() - began,
                    unit="s",
                    goal=wanted,
                    met=last.outcome == wanted,
                    detail=f"{last.says}; {people.searches - asked} searches",
                )
            )
        steps = place.steps()
        failed = people.failures
    figures.append(
        Figure(
            name="searches and clicks that failed",
            value=float(len(failed)),
            unit="requests",
            goal="0",
            met=not failed,
            detail=f"of {people.searches} visits; {failed[:1]}",
        )
    )
    first = steps[0][0]
    for at, what in steps:
        after_s = (at - first).total_seconds()
        figures.append(Figure(name=what, value=after_s, unit="s after the first step"))
    return figures


def main() -> None:
    """Run it once and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--results", type=Path, required=True, help="where the JSON goes")
    given = parser.parse_args()
    report("unattended", measure(given.pictures, given.kills), given.results)


if __name__ == "__main__":
    main()
