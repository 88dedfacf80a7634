"""The steps of a retraining, done: a folder on this machine, the gate, the registry, the log."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from sightline.engine.connecting.connections import open_log_producer
from sightline.engine.connecting.released_model import embedder_settings, named_digest
from sightline.engine.connecting.serving_model import as_serving
from sightline.engine.embedding.model_registry import ModelRegistry
from sightline.engine.errors import SightlineError
from sightline.engine.label_data.judgements import milliseconds
from sightline.engine.ports import Clock, EventProducer, ObjectStore
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import Settings
from sightline.infra.commands.extent import Extent
from sightline.infra.commands.learning.evaluate import (
    SERVING,
    JudgedModel,
    candidate,
    gate_lines,
    judge,
    must_fit,
)
from sightline.infra.commands.learning.measured_on import measured_by_clicks
from sightline.infra.commands.learning.networks import network_source
from sightline.infra.commands.learning.train import TrainWishes, run_training
from sightline.infra.commands.learning.truths import clicks_held_out
from sightline.infra.commands.models import Released
from sightline.infra.commands.taken_back import taken_back_since
from sightline.schemas.envelope import Event
from sightline.schemas.models import ModelNotReleased, reason_of
from sightline.schemas.topics import MODELS
from sightline.training.evaluation.gate import GateLimits
from sightline.training.evaluation.strength import CAREFUL
from sightline.training.loop.head import Head
from sightline.training.loop.learning import LearningSettings
from sightline.training.loop.run_folder import HEAD, RECORD, read_record
from sightline.training.loop.settings import HeadSettings
from sightline.training.models import registry
from sightline.training.models.candidates import Candidate
from sightline.training.models.released_head import registered
from sightline.training.retraining.state import (
    Attempt,
    AttemptOutcome,
    Ended,
    JudgedHead,
    as_ends,
)

FOLDER = "retraining"
"""The folder in the data directory that holds the runs, by model and attempt."""
KEPT_RUNS = 3
"""Folders of older attempts are removed when a new training begins."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingWork:
    """Trains into the data directory, and releases to the registry of one bucket.

    The head of an attempt lies in its folder on this machine: another machine that goes on with it
    trains it again, from the same labels.
    """

    settings: Settings
    store: ObjectStore
    clock: Clock
    limits: GateLimits = field(default_factory=GateLimits)
    learning: LearningSettings = field(default_factory=LearningSettings)
    cache: Path | None = None
    """Where features are kept; None: `~/.cache/sightline/features`."""
    open_producer: Callable[[Settings], EventProducer] = open_log_producer

    @property
    def name(self) -> str:
        """Tells what the models are called in the registry."""
        return self.settings.retraining.model

    def folder(self, attempt: Attempt) -> Path:
        """Where the run of an attempt is written."""
        return self.settings.data_directory / FOLDER / self.name / f"{attempt.number:06d}"

    def trained(self, attempt: Attempt) -> str | None:
        """See `Work.trained`."""
        folder = self.folder(attempt)
        if not (folder / RECORD).is_file():
            return None
        return hashlib.sha256((folder / HEAD).read_bytes()).hexdigest()

    def train(self, attempt: Attempt) -> None:
        """See `Work.train`; each attempt holds out kinds of its own."""
        if attempt.propensity_version is None:
            _log.info("this attempt names no position-bias curve: the newest one weighs its clicks")
        folder = self.folder(attempt)
        for old in sorted(folder.parent.glob("[0-9]*"))[:-KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)
        wishes = TrainWishes(
            folder=folder,
            learning=replace(self.learning, head=self._head_of(attempt)),
            until=_extent(attempt),
            anew=True,
            cache=self.cache,
        )
        run_training(self.settings, wishes, _log.info)

    def _head_of(self, attempt: Attempt) -> HeadSettings:
        head, asked = self.learning.head, self.settings.retraining
        return replace(
            head,
            seed=head.seed + attempt.number,
            familiar=asked.familiar,
            familiarity_gate=asked.familiarity_gate,
        )

    def evaluate(self, attempt: Attempt) -> JudgedHead:
        """See `Work.evaluate`."""
        folder, head = self.folder(attempt), self.trained(attempt)
        if head is None:
            raise SightlineError(f"{folder} holds no training that ended")
        serving = as_serving(self.settings)
        judged = self._judged(serving, attempt)
        return JudgedHead(
            head=head,
            outcome=AttemptOutcome(judged.decision.verdict.value),
            strength=CAREFUL if judged.strength is None else judged.strength,
            needs=judged.decision.needs,
            lines=gate_lines(judged.decision),
            against=named_digest(serving),
            metrics=judged.metrics,
            taken_back=taken_back_since(self.store, self._bucket, read_record(folder)) or 0,
        )

    def _judged(self, settings: Settings, attempt: Attempt) -> JudgedModel:
        """By the clicks and grades that the attempt read and that did not teach."""
        folder = self.folder(attempt)
        serving = candidate(settings, SERVING, strength=1)
        clicks = clicks_held_out(
            settings, self.store, folder, serving, until=_extent(attempt), cache=self.cache
        )
        on = measured_by_clicks(clicks, clicks.groups)
        return judge(settings, on, str(folder), serving, limits=self.limits)

    def register(self, attempt: Attempt) -> str:
        """See `Work.register`."""
        judged, folder = _judged(attempt), self.folder(attempt)
        projection = Head.load(folder / HEAD).projection(judged.strength)
        serving = as_serving(self.settings)
        source = network_source(serving, embedder_settings(serving))
        model = Candidate(folder.name, source, projection)
        must_fit(folder, model)
        told = Released.of_run(folder, f"attempt {attempt.number} of the retraining")
        lineage = {**told.lineage, "strength": judged.strength, "taken_back": judged.taken_back}
        new = registered(model, self.name, metrics=judged.metrics, lineage=lineage)
        return registry.store_model(self.store, self._bucket, new)

    def release(self, attempt: Attempt) -> int:
        """See `Work.release`."""
        judged, digest = _judged(attempt), attempt.digest or ""
        before = ModelRegistry(self.store, self._bucket).releases(self.name)
        # Another may have been released since a process died between release and record.
        event = next((each for each in before if each.data.digest == digest), None)
        if event is None:
            reasons = registry.Reasons(against=judged.against, gate=judged.lines)
            now = self.clock.now()
            event = registry.release(self.store, self._bucket, self.name, digest, reasons, now=now)
        with closing(self.open_producer(self.settings)) as producer:
            registry.publish(producer, event, timeout_s=self._timeout_s)
        return event.data.number

    def tell(self, ended: Ended) -> None:
        """See `Work.tell`; told again, it is the same event to whoever counts ids."""
        attempt, judged = ended.attempt, ended.attempt.judged
        data = ModelNotReleased(
            name=self.name,
            attempt=attempt.number,
            outcome=ended.outcome.value,
            reason=reason_of(ended.says or ended.outcome.value),
            needs=0 if judged is None else judged.needs,
            gate=() if judged is None else judged.lines,
            ended_at=ended.ended_at,
        )
        event = Event[ModelNotReleased].of(
            data,
            event_id=f"not-released-{self.name}-{attempt.number}",
            source=registry.SOURCE,
            time=ended.ended_at,
        )
        with closing(self.open_producer(self.settings)) as producer:
            producer.append(ProducerRecord(MODELS.name, self.name, event.encode()))
            producer.flush(self._timeout_s)

    @property
    def _bucket(self) -> str:
        return self.settings.store.bucket

    @property
    def _timeout_s(self) -> float:
        return self.settings.kafka.delivery_timeout_s


def _extent(attempt: Attempt) -> Extent:
    """What an attempt reads, whenever and wherever it is gone on with."""
    return Extent(
        ends=as_ends(attempt.ends),
        judged_ms=milliseconds(attempt.began_at),
        propensity=attempt.propensity_version,
    )


def _judged(attempt: Attempt) -> JudgedHead:
    if attempt.judged is None:
        raise SightlineError(f"attempt {attempt.number} was not judged yet")
    return attempt.judged
