"""Clicks from the wire to a verdict: a real broker, a real store, and every step a command.

    python -m benchmarks.from_the_wire [--photos FOLDER] [--only LOG] [--write docs/training.md]

Train photos are published, and simulated people click on pages of them, ranked by the shipped
model. `sightline join`, `mine` and `sink` make Parquet of that in MinIO, `train` learns, `evaluate`
judges by what the training did not see, `models release` registers. Beside it the same records go
through the same stages in this process, into another bucket: triples, offsets, head and digest must
be equal. Then a second training of the same, and the gate, are timed, the features being known.
In further rounds pages are ranked by what the clicks so far taught, and all clicks teach.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from benchmarks.click_gate import smaller
from benchmarks.command_way import RUN, Learnt, Way
from benchmarks.label_corner import Corner, until
from benchmarks.label_replay import closed_searches, closing_ms, print_lines
from benchmarks.memory_stages import MemoryStages
from benchmarks.photo_clicks import DEFAULT, NOISY, Clicks, Habits
from benchmarks.photo_models import PHOTOS, PhotoSite, photo_site
from benchmarks.stack import servers
from benchmarks.training import CAREFUL, NORMAL, RULES, SEED, Outcome
from sightline.engine.clock import SystemClock
from sightline.engine.event_log.kafka import read_topics
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.triple_manifest import LOG, TripleManifest
from sightline.engine.ports import EventProducer
from sightline.engine.settings import LabelSettings, Settings, SinkSettings
from sightline.infra.wiring.node import Base
from sightline.infra.wiring.services import services_base
from sightline.producers.click_simulator.simulated_log import SimulatedLog, SimulatedRecord
from sightline.producers.click_simulator.topic_driver import TopicDriver
from sightline.producers.click_simulator.truth import Truth
from sightline.schemas.fields import Visibility
from sightline.schemas.labels import Stage
from sightline.schemas.topics import INTERACTIONS_IMPORTED, TRAINING_TRIPLES
from sightline.training.loop.head import Head
from sightline.training.loop.run_folder import HEAD, RECORD
from sightline.training.models.default_projection import held_out_third

STRENGTHS = (CAREFUL, NORMAL)
STAGES = (("join", "--imported"), ("mine", "--imported"), ("sink",))
MARK = "from the wire"
COLUMNS = ("log", "clicks", "triples", "in one process", "trained again", "the gate, by clicks")
VERDICT, AT_STRENGTH = "verdict: ", r"the gate, at strength (\S+):"
AGAIN = "again"
"""The folder of a second training."""
PATIENT = {"request_timeout_s": 120.0, "session_timeout_s": 45.0, "delivery_timeout_s": 120.0}
"""On a machine that is busy with other things."""
LOOK_S, DEADLINE_S = 1.0, 3_600.0
SECRET = SecretStr("of thirty-two bytes, for a bench ..")


@dataclass(frozen=True, kw_only=True)
class Log:
    """Whose clicks go all the way, and how often what they teach is served next."""

    name: str
    records: int
    """Of each round."""
    people: Habits = DEFAULT
    silent: int | None = None
    """This third of the labels is not on the site."""
    rounds: int = 1
    training: tuple[str, ...] = ()
    """Options of `train`."""


ALL_TEACHES = ("--held-out", "0", "--aside", "0", "--later", "0")
LOGS = (
    Log(name="all labels", records=96_000),
    Log(name="100,000 clicks", records=96_000, silent=0),
    Log(name="10,000 clicks", records=10_000, silent=0),
    Log(name="1,000 clicks", records=880, silent=0),
    Log(name="1,000 clicks, noisy", records=1_900, silent=0, people=NOISY),
    Log(name="all labels in rounds", records=48_000, rounds=3),
    Log(name="all labels, as many as in two rounds", records=108_880),
    Log(
        name="behind a familiarity gate", records=96_000, silent=0, training=("--familiarity-gate",)
    ),
    Log(name="in rounds, nothing kept out", records=48_000, rounds=3, training=ALL_TEACHES),
    Log(name="as many, nothing kept out", records=108_880, training=ALL_TEACHES),
)


def publish(base: Base, site: PhotoSite, folder: Path) -> None:
    """The site's photos, as a shop would."""
    shown = set(site.shown().images.tolist())
    files = [file for file in sorted(folder.rglob("*.jpg")) if file.stem in shown]

    def upload(file: Path) -> None:
        base.publishing.publisher.upload(
            file.read_bytes(), image_id=file.stem, version=1, visibility=Visibility.PUBLIC
        )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upload, files))


def written(records: Sequence[SimulatedRecord], producer: EventProducer, partitions: int) -> int:
    """Put the records where imported interactions lie; how many messages that makes."""
    driver = TopicDriver(
        producer,
        topic=INTERACTIONS_IMPORTED.name,
        partitions=partitions,
        clock=SystemClock(),
        wait=time.sleep,
    )
    return driver.run(records)


def sunk(way: Way, base: Base) -> int:
    """How many records of the labelled topic are in Parquet."""
    manifest = TripleManifest(base.store, way.settings.store.bucket, TRAINING_TRIPLES.name)
    return sum(manifest.end(LOG, at) for at in range(way.partitions))


def by_processes(way: Way, base: Base, records: Sequence[SimulatedRecord]) -> int:
    """Everything from the broker to the store by the stages' own commands; how many triples."""
    written(records, base.events.producer, way.partitions)
    last = RULES.oldest_open(records[-1].timestamp_ms) - 1
    corner = Corner(way.settings.kafka, way.folder)
    with ExitStack() as running:
        for arguments in STAGES:
            running.enter_context(way.running(*arguments))
        until(lambda: corner.done(Stage.MINE, last), LOOK_S, DEADLINE_S)
        mined = sum(1 for _ in read_topics(way.settings.kafka, [TRAINING_TRIPLES.name]))
        until(lambda: sunk(way, base) == mined, LOOK_S, DEADLINE_S)
    return mined


def in_process(way: Way, base: Base, records: Sequence[SimulatedRecord]) -> None:
    """The same stages in memory, and Parquet in a bucket of its own."""
    partitions = way.partitions
    broker = MemoryBroker(partitions=partitions)
    written(records, MemoryEventProducer(broker), partitions)
    stages = MemoryStages(broker, partitions, RULES)
    stages.join_and_mine()
    base.store.ensure_bucket(way.settings.store.bucket)
    stages.sink(base.store, way.settings.store.bucket)


def in_round(
    site: PhotoSite, log: Log, number: int, before: Sequence[SimulatedRecord]
) -> list[SimulatedRecord]:
    """What people do in one round on pages of what the site serves now, after all before it."""
    place = log.people.site()
    if before:
        place = replace(place, start_ms=before[-1].timestamp_ms + 1)
    made = SimulatedLog(site.catalogue(), place, log.people.model, seed=SEED + number - 1)
    return list(made.records(log.records, end_ms=closing_ms(RULES)))


def judged(site: PhotoSite, way: Way, made: Learnt) -> Iterator[str]:
    """Yields what a second training of the same comes to, what the gate and then labels say."""
    _, training = way.timed("train", AGAIN, *way.training)
    again = replace(made, run=way.folder / AGAIN)
    yield _same([name for name in (HEAD, RECORD) if again.sha256(name) != made.sha256(name)])
    verdict, gate = gated(way)
    yield verdict
    found = Outcome.of(site, Head.load(made.run / HEAD), STRENGTHS)
    for strength in STRENGTHS:
        means = list(zip(found.means(), found.means(strength), strict=True))
        yield " / ".join(f"{new - old:+.4f}" for old, new in means[: 1 + bool(site.silent)])
    yield f"{training} + {gate}"


def gated(way: Way) -> tuple[str, str]:
    """What the gate says by clicks that the training did not see, and what that took."""
    if way.training == ALL_TEACHES:
        return "not asked: nothing is kept out", "none"
    said, took = way.timed("evaluate", RUN)
    verdict = said[said.index(VERDICT) + len(VERDICT) :].splitlines()[0]
    return f"{verdict}, at strength {re.findall(AT_STRENGTH, said)[0]}", took


def _same(names: Sequence[str]) -> str:
    return f"**differs**: {', '.join(names)}" if names else "equal"


def both_ways(settings: Settings, folder: Path, training: tuple[str, ...]) -> Iterator[Way]:
    """Yields the one from the wire, then the one in this process: its bucket is its own."""
    bucket = f"{settings.store.bucket}-{folder.name}"
    store = settings.store.model_copy(update={"bucket": bucket})
    for name, update in (("wire", {}), ("here", {"store": store})):
        way = Way(settings.model_copy(update=update), folder / name, training)
        way.folder.mkdir(parents=True)
        yield way


def measured(log: Log, site: PhotoSite, photos: Path, settings: Settings) -> Iterator[str]:
    """A line for each round, of all clicks so far: both ways, one after the other."""
    if log.silent is not None:
        site = site.without(held_out_third(site.photos.labels.tolist(), log.silent))
    records: list[SimulatedRecord] = []
    with services_base(settings) as base, tempfile.TemporaryDirectory() as scratch:
        publish(base, site, photos)
        for number in range(1, log.rounds + 1):
            new = in_round(site, log, number, records)
            records += new
            wire, here = both_ways(settings, Path(scratch) / str(number), log.training)
            by_processes(wire, base, new)
            in_process(here, base, records)
            one, other = (way.learnt(base.store) for way in (wire, here))
            clicks = Clicks(closed_searches(records, RULES), Truth()).count
            told = [f"{clicks:,}", f"{one.held.table.num_rows:,}", _same(one.differing(other))]
            name = log.name + (f", round {number}" if log.rounds > 1 else "")
            yield f"| {' | '.join([name, *told, *judged(site, wire, one)])} |"
            served = Head.load(one.run / HEAD).projection(NORMAL)
            site = site.ranked_by(served, f"round {number + 1}")


def patient(given: Settings) -> Settings:
    """The same deployment, for a busy machine; no metrics, and what comes is sunk at once."""
    return given.model_copy(
        update={
            "kafka": given.kafka.model_copy(update=PATIENT),
            "api": given.api.model_copy(update={"signing_secret": SECRET}),
            "labels": LabelSettings(join_metrics_port=None, mine_metrics_port=None),
            "sink": SinkSettings(max_age_s=1.0, metrics_port=None),
        }
    )


def lines(logs: Iterable[Log], site: PhotoSite, photos: Path) -> Iterator[str]:
    """The table, each log in a deployment of its own."""
    gains = (f"mAP at {strength:g}" for strength in STRENGTHS)
    yield f"| {' | '.join([*COLUMNS, *gains, 'train + evaluate'])} |"
    yield f"|---|---:|---:|---|---|---|{'---:|' * len(STRENGTHS)}---|"
    with servers() as own:
        for log in logs:
            yield from measured(log, site, photos, patient(own.settings()))


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--pictures", type=int, help="so many of the photos; else all of them")
    parser.add_argument("--only", choices=[log.name for log in LOGS], help="one of the logs")
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    site = photo_site(arguments.photos)
    site = smaller(site, arguments.pictures) if arguments.pictures else site
    logs = [log for log in LOGS if arguments.only in (None, log.name)]
    print_lines(lines(logs, site, arguments.photos), MARK, arguments.write)


if __name__ == "__main__":
    main()
