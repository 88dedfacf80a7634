"""What the commands on labels do, with the parts that they need opened and closed again."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import csv, parquet

from sightline.engine.clock import SystemClock
from sightline.engine.connecting.connections import (
    ensure_topics,
    open_event_log,
    open_log_producer,
    open_object_store,
    signing_secret,
)
from sightline.engine.errors import NotFound, SettingsInvalid
from sightline.engine.label_data.propensity import PropensityCurve, picture_key, store_curve
from sightline.engine.label_data.triple_manifest import FileKind, TripleManifest
from sightline.engine.label_data.triple_table import read_triples
from sightline.engine.logs import configure_logs
from sightline.engine.metrics import Metrics
from sightline.engine.ports import ObjectStore
from sightline.engine.private_files import open_private
from sightline.engine.records import Message
from sightline.engine.search_ids import SearchIds
from sightline.engine.settings import Mode, Settings
from sightline.infra.supervision.loops import run_together
from sightline.infra.supervision.metrics_port import serve_metrics
from sightline.infra.wiring.label_data import LabelData
from sightline.schemas.topics import JUDGEMENTS, TRAINING_TRIPLES
from sightline.stream_workers.labels.explain.evidence import (
    CLOSED_TOPICS,
    INTERACTION_TOPICS,
    find_triple,
    gather_evidence,
)
from sightline.stream_workers.labels.explain.why import acts, triple_story, why_image
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.labels.sink.erasure import ErasureReport, erase_user
from sightline.stream_workers.labels.sink.last_retraction import RetractionReport
from sightline.training.datasets.click_graph import certain_triples
from sightline.training.propensity.fit import FitSettings
from sightline.training.propensity.fit import fit as fit_curve
from sightline.training.propensity.picture import propensity_picture
from sightline.training.propensity.views import views_of


def run_sink(
    settings: Settings, stop: threading.Event, *, partitions: tuple[int, ...] = ()
) -> None:
    """The sink and the metrics as a process of their own, until `stop`.

    Args:
        partitions: of the labelled topic; given: only the sink of these and retraction, no
            metrics.

    Raises:
        SettingsInvalid: embedded mode, where the owner runs them.
    """
    if settings.mode is not Mode.SERVICES:
        raise SettingsInvalid(
            '`sightline sink` alone needs mode = "services": embedded, `sightline up` runs it'
        )
    configure_logs()
    ensure_topics(settings)
    metrics = Metrics()
    serve_metrics(metrics, settings.sink.metrics_port, setting="sink.metrics_port")
    with (
        closing(open_object_store(settings)) as store,
        closing(open_log_producer(settings)) as producer,
    ):
        data = LabelData(
            settings,
            log=open_event_log(settings),
            store=store,
            producer=producer,
            clock=SystemClock(),
            metrics=metrics,
        )
        loops = data.sink_loops(partitions) if partitions else data.loops()
        run_together(loops, stop, stopped=lambda name, _: metrics.loops_stopped.labels(name).set(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The curve that `propensity fit` made, and where it is stored."""

    curve: PropensityCurve
    """The curve as it is stored, with its version."""
    picture: str
    """Bucket and key."""
    again: bool
    """It says the same as the newest version, which is `curve`; nothing was stored."""


class LabelCommands:
    """Carries out the commands on label data, over one object store.

    Args:
        settings: of the deployment; the log is opened by what needs it.
        store: of these settings, open.
    """

    def __init__(self, settings: Settings, store: ObjectStore) -> None:
        self._settings = settings
        self._store = store
        self._bucket = settings.store.bucket
        self._clock = SystemClock()

    def retract(self) -> RetractionReport:
        """Takes back what is erased or hidden, once; see `Retraction.run`."""
        with closing(open_log_producer(self._settings)) as producer:
            return LabelData(
                self._settings,
                log=open_event_log(self._settings),
                store=self._store,
                producer=producer,
                clock=self._clock,
                metrics=Metrics(),
            ).retract()

    def erase(self, user: str) -> ErasureReport:
        """See `erase_user`; the pseudonym is made with the deployment's secret."""
        with closing(open_log_producer(self._settings)) as producer:
            return erase_user(
                self._ids().pseudonym(user),
                producer=producer,
                store=self._store,
                bucket=self._bucket,
                interactions=self._read(INTERACTION_TOPICS),
                judgements=self._read((JUDGEMENTS.name,)),
                now=self._clock.now(),
            )

    def newest(self, count: int) -> pa.Table:
        """The latest issued of the triples that hold."""
        held = read_triples(self._store, self._bucket)
        return held.sort_by([("issued_at", "descending"), ("triple_id", "ascending")]).slice(
            0, count
        )

    def stats(self) -> Iterator[str]:
        """Counts triples, rows, manifest entries and distinct ids, a line each."""
        held = read_triples(self._store, self._bucket)
        manifest = TripleManifest(self._store, self._bucket, TRAINING_TRIPLES.name)
        entries = [stored.entry for stored in manifest.entries()]
        rows: Counter[FileKind] = Counter()
        for file in (file for entry in entries for file in entry.files):
            rows[file.kind] += file.rows
        yield f"{held.num_rows} triples hold"
        yield f"{rows[FileKind.TRIPLES]} mined rows, {rows[FileKind.RETRACTIONS]} retraction rows"
        yield f"{len(entries)} manifest entries, {sum(e.unreadable for e in entries)} dead letters"
        for name in ("anchor_id", "positive_id", "negative_id", "search_id", "actor_id"):
            yield f"{len(held[name].unique())} distinct {name}"
        groups = held.group_by(["model_digest", "variant"]).aggregate([("triple_id", "count")])
        for row in groups.sort_by("triple_id_count").to_pylist():
            yield f"{row['triple_id_count']} of model {row['model_digest']}, {row['variant']}"

    def export(self, file: Path, *, certain: int = 0) -> int:
        """The triples that hold as one file, which only we can read if it is new; how many.

        Args:
            file: to be written.
            certain: only triples whose negative is a certain one, where so many searches passed
                it over beyond two clicks; 0: all.

        Raises:
            SettingsInvalid: neither Parquet nor CSV by its name.
        """
        held = read_triples(self._store, self._bucket)
        if certain:
            held = held.filter(pa.array(certain_triples(held, far_searches=certain)))
        if file.suffix not in {".parquet", ".csv"}:
            raise SettingsInvalid(f"{file}: give a name that ends in .parquet or .csv")
        with open_private(file) as out:
            if file.suffix == ".parquet":
                parquet.write_table(held, out, compression="zstd")
            else:
                csv.write_csv(held, out)
        return int(held.num_rows)

    def why(self, name: str, image_id: str | None) -> Iterator[str]:
        """The story of a triple, or of an image of a search.

        Raises:
            NotFound: no triple of that id is in the log.
        """
        rules, read = LabelRules.of(self._settings.labels), self._read
        if image_id is not None:
            found = gather_evidence(read, name, rules, told=self._ids().opened(name))
            answer = why_image(found, image_id, rules)
            yield f"{answer.why}: {answer.sentence}"
            yield from answer.triple_ids
            yield from acts(found, {image_id})
            return
        mined = find_triple(read, name)
        if mined is None:
            raise NotFound(
                f"no triple {name} in the log; for an image of a page give SEARCH_ID IMAGE_ID"
            )
        yield from triple_story(
            name, mined, gather_evidence(read, mined.search_id, rules, told=mined)
        )

    def fit(self, *, min_pairs: int, min_clicks: int, max_weight: float) -> Fitted:
        """Fit over what happened here and in imported logs, store, draw."""
        views = views_of(self._read(CLOSED_TOPICS))
        settings = FitSettings(min_pairs=min_pairs, min_clicks=min_clicks, max_weight=max_weight)
        curve = fit_curve(views, settings, now=self._clock.now(), topics=CLOSED_TOPICS)
        stored = store_curve(self._store, self._bucket, curve, propensity_picture(curve))
        return Fitted(
            curve=stored,
            picture=f"{self._bucket}/{picture_key(stored.version)}",
            again=stored.fitted_at != curve.fitted_at,
        )

    def _ids(self) -> SearchIds:
        return SearchIds(signing_secret(self._settings, self._store))

    def _read(
        self, topics: Sequence[str], *, key: str | None = None, since: datetime | None = None
    ) -> Iterable[Message]:
        return open_event_log(self._settings).read(topics, key=key, since=since)
