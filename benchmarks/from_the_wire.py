"""Clicks from the wire to a verdict: a real broker, a real store, and every step a command.

    python -m benchmarks.from_the_wire [--photos FOLDER] [--records N] [--silent DRAW]
        [--write docs/training.md]

Train photos are published, and simulated people click on pages of them, ranked by the shipped
model. `sightline join`, `mine` and `sink` make Parquet of that in MinIO, `train` learns, `evaluate`
judges by what the training did not see, `models release` registers. Beside it the same records go
through the same stages in this process, into another bucket: triples, offsets, head and digest must
be equal. Then a second training of the same, and the gate, are timed, the features being known.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
from pydantic import SecretStr

from benchmarks.click_gate import smaller
from benchmarks.command_way import RUN, Learnt, Way
from benchmarks.label_corner import Corner, until
from benchmarks.label_replay import closed_searches, closing_ms, put_between_marks
from benchmarks.memory_stages import MemoryStages
from benchmarks.photo_clicks import DEFAULT, Clicks
from benchmarks.photo_models import PHOTOS, PhotoSite, photo_site
from benchmarks.stack import servers
from benchmarks.training import CAREFUL, NORMAL, RULES, SEED, Outcome
from sightline.engine.clock import SystemClock
from sightline.engine.event_log.kafka import read_topics
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.label_data.triple_manifest import LOG, TripleManifest
from sightline.engine.ports import EventProducer
from sightline.engine.settings import LabelSettings, SinkSettings
from sightline.infra.wiring.node import Base
from sightline.infra.wiring.services import services_base
from sightline.producers.click_simulator.simulated_log import SimulatedLog, SimulatedRecord
from sightline.producers.click_simulator.topic_driver import TopicDriver
from sightline.schemas.fields import Visibility
from sightline.schemas.labels import Stage
from sightline.schemas.topics import INTERACTIONS_IMPORTED, TRAINING_TRIPLES
from sightline.training.loop.head import Head
from sightline.training.loop.run_folder import HEAD, RECORD, read_record
from sightline.training.models.default_projection import held_out_third

RECORDS = 10_500
"""Some 10,000 clicks."""
STRENGTHS = (CAREFUL, NORMAL)
STAGES = (("join", "--imported"), ("mine", "--imported"), ("sink",))
MARK = "from the wire"
AGAIN = "again"
"""The folder of a second training."""
PATIENT = {"request_timeout_s": 120.0, "session_timeout_s": 45.0, "delivery_timeout_s": 120.0}
"""On a machine that is busy with other things."""
LOOK_S, DEADLINE_S = 1.0, 3_600.0
SECRET = SecretStr("of thirty-two bytes, for a bench ..")


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


def equal(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables of triples hold the same rows, with the same places in the log."""
    by_id = [("triple_id", "ascending")]
    return bool(one.sort_by(by_id).equals(other.sort_by(by_id)))


def told(wire: Learnt, here: Learnt) -> Iterator[str]:
    """What came from the wire, and whether the other way says the same."""
    triples = equal(wire.held.table, here.held.table)
    same = {True: "equal", False: "**differs**"}
    yield "| | from the wire | the same records in one process |"
    yield "|---|---|---|"
    yield f"| triples, each with its offset | {wire.held.table.num_rows:,} | {same[triples]} |"
    offsets = " ".join(str(end) for _, end in sorted(wire.held.ends.items()))
    yield f"| ends of the partitions | {offsets} | {same[wire.held.ends == here.held.ends]} |"
    digest = wire.sha256(HEAD)
    yield f"| SHA-256 of `{HEAD}` | {digest[:12]}… | {same[digest == here.sha256(HEAD)]} |"
    records = [read_record(way.run) for way in (wire, here)]
    differing = [name for name in records[0] if records[0][name] != records[1].get(name)]
    yield f"| `{RECORD}`, what it follows from | | {', '.join(differing) or same[True]} |"
    yield f"| digest in the registry | {wire.digest[:12]}… | {same[wire.digest == here.digest]} |"


def judged(site: PhotoSite, way: Way, made: Learnt) -> Iterator[str]:
    """What the gate says by clicks, labels say, and a second training of the same comes to."""
    _, training = way.timed("train", AGAIN)
    again = replace(made, run=way.folder / AGAIN)
    differing = [name for name in (HEAD, RECORD) if again.sha256(name) != made.sha256(name)]
    said, gate = way.timed("evaluate", RUN)
    print(said)
    verdict = said[said.index("verdict: ") :].splitlines()[0]
    same = f"**differs**: {', '.join(differing)}" if differing else "equal bytes"
    yield f"| `train` once more: data set, training | {same} in {training} | |"
    yield f"| `evaluate`, the gate by clicks | {verdict}, in {gate} | |"
    found = Outcome.of(site, Head.load(made.run / HEAD), STRENGTHS)
    which = "clicked / silent labels" if site.silent else "by label"
    for strength in STRENGTHS:
        means = list(zip(found.means(), found.means(strength), strict=True))
        told = " / ".join(f"{old:.4f} → {new:.4f}" for old, new in means[: 1 + bool(site.silent)])
        yield f"| mAP of query photos, {which}, strength {strength} | {told} | |"


def measured(photos: Path, pictures: int | None, records: int, silent: int | None) -> Iterator[str]:
    """Both ways, one after the other."""
    site = photo_site(photos)
    site = smaller(site, pictures) if pictures else site
    if silent is not None:
        site = site.without(held_out_third(site.photos.labels.tolist(), silent))
    log = SimulatedLog(site.catalogue(), DEFAULT.site(), DEFAULT.model, seed=SEED)
    made = list(log.records(records, end_ms=closing_ms(RULES)))
    with servers() as own, tempfile.TemporaryDirectory(prefix="sightline-wire-") as scratch:
        given = own.settings()
        settings = given.model_copy(
            update={
                "kafka": given.kafka.model_copy(update=PATIENT),
                "api": given.api.model_copy(update={"signing_secret": SECRET}),
                "labels": LabelSettings(join_metrics_port=None, mine_metrics_port=None),
                "sink": SinkSettings(max_age_s=1.0, metrics_port=None),
            }
        )
        store = settings.store.model_copy(update={"bucket": f"{settings.store.bucket}-memory"})
        wire = Way(settings, Path(scratch) / "wire")
        here = Way(settings.model_copy(update={"store": store}), Path(scratch) / "here")
        for way in (wire, here):
            way.folder.mkdir()
        with services_base(settings) as base:
            publish(base, site, photos)
            by_processes(wire, base, made)
            in_process(here, base, made)
            one, other = (way.learnt(base.store) for way in (wire, here))
        shown, clicks = len(site.shown().images), Clicks(closed_searches(made, RULES), log.truth)
        yield (
            f"{clicks.count:,} clicks in {len(made):,} simulated records, {shown:,} photos, "
            f"{wire.partitions} partitions."
        )
        yield ""
        yield from told(one, other)
        yield from judged(site, wire, one)


def main() -> None:
    """Print the table, or put it between its marks in a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, default=PHOTOS)
    parser.add_argument("--pictures", type=int, help="so many of the photos; else all of them")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--silent", type=int, help="this third of the labels is not on the site")
    parser.add_argument("--write", type=Path, help="a page with the marks")
    arguments = parser.parse_args()
    text = "\n".join(
        measured(arguments.photos, arguments.pictures, arguments.records, arguments.silent)
    )
    print(text)
    if arguments.write:
        name = MARK if arguments.silent is None else f"{MARK}, a third silent"
        put_between_marks(arguments.write, name, text)


if __name__ == "__main__":
    main()
