"""What a roll-out sees and does on the parts of a node."""

from __future__ import annotations

import logging
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sightline.engine.connecting.index_and_model import matrix_of
from sightline.engine.embedding.model_registry import ModelRegistry
from sightline.engine.embedding.query_matrix import NotLinear
from sightline.engine.event_log.acknowledged import acknowledged
from sightline.engine.object_store.lease import Lease
from sightline.engine.records import ProducerRecord
from sightline.engine.serving.state import ServingState
from sightline.engine.serving.telling import tell
from sightline.engine.serving.values import Experiment, Serves
from sightline.infra.commands.experiments.reporting import read_report
from sightline.infra.commands.experiments.running import running_of
from sightline.infra.commands.reindex import ReindexCommands, Wish
from sightline.schemas.envelope import Event, EventData
from sightline.schemas.models import RolloutNoted, reason_of
from sightline.schemas.topics import MODELS
from sightline.stream_workers.labels.rules import LabelRules
from sightline.stream_workers.reindexing.progress import ProgressRecord
from sightline.stream_workers.rolling_out.figures import ServingFigures, fallen
from sightline.stream_workers.rolling_out.plan import experiment_name, serves
from sightline.stream_workers.rolling_out.process_figures import (
    LEAST_BEFORE,
    clicks,
    counted,
    since,
    with_clicks,
)
from sightline.stream_workers.rolling_out.state import (
    ExperimentFinding,
    RolloutUnderWay,
    report_lease_key,
)

if TYPE_CHECKING:
    from sightline.engine.label_data.search_stats import SearchStats
    from sightline.infra.wiring.node import Node

_log = logging.getLogger(__name__)

SOURCE = "urn:sightline:rollout"
_SALT_BYTES = 8
_REPORT_LEASE_S = 30.0
"""After the time of its next report, a process that died keeps others waiting for so long."""


class NodeRollout:
    """What a roll-out sees and does on the parts of a process: `RolloutSeen`, `RolloutWork`.

    Args:
        node: the parts of the process.
        stats: what closed searches came to.
    """

    def __init__(self, node: Node, stats: SearchStats) -> None:
        self._node = node
        self._events = node.events
        self._clock, self._metrics = node.watch.clock, node.watch.metrics
        self._stats = stats
        self._record = node.serving.record
        self._registry = ModelRegistry(node.store, node.settings.store.bucket)
        self._commands = ReindexCommands(
            node.settings,
            node.store,
            log=self._events.log,
            clock=self._clock,
            models=node.serving.models,
        )
        bucket, index = node.settings.store.bucket, node.settings.index.collection_prefix
        lasts_s = node.settings.rollout.report_every_s + _REPORT_LEASE_S
        self._reports = Lease(
            node.store, bucket, report_lease_key(index), lasts_s=lasts_s, clock=self._clock
        )
        self._bases: dict[str, ServingFigures] = {}
        """What this process had counted when it first watched a model."""
        self._reported: dict[str, tuple[float, ExperimentFinding]] = {}
        """When an experiment was last reported on, and what it had come to."""

    def serving(self) -> ServingState | None:
        """See `RolloutSeen.serving`."""
        found = self._node.serving.watched.find(now=True)
        return None if found is None else found.state

    def newest(self) -> str | None:
        """See `RolloutSeen.newest`."""
        name = self._node.settings.retraining.model
        release = self._registry.newest(name)
        return None if release is None else f"{name}@{release.data.digest}"

    def differs(self, generation: str) -> str:
        """See `RolloutSeen.differs`."""
        found = ProgressRecord.of(self._node.settings, self._node.store, generation).find()
        if found is None or found.parity is None or not found.refused:
            return ""
        return "; ".join(found.parity.failures()) or "it differs from what serves"

    def finding(self, experiment: Experiment) -> ExperimentFinding | None:
        """See `RolloutSeen.finding`."""
        now_s = self._clock.monotonic()
        at_s, known = self._reported.get(experiment.salt, (0.0, None))
        every_s = self._node.settings.rollout.report_every_s
        if known is not None and now_s - at_s < every_s:
            return known
        started = running_of(self._record.read().state)
        if started is None or started.salt != experiment.salt or not self._reports.take():
            return None
        epoch_ms = LabelRules.of(self._node.settings.labels).epoch_ms
        decided = read_report(self._events.log, started, epoch_ms=epoch_ms).decided
        found = ExperimentFinding(finding=decided.finding.value, says=reason_of(decided.says))
        self._reported = {experiment.salt: (now_s, found)}
        return found

    def fallen(self, model: RolloutUnderWay, serving: ServingState) -> str:
        """See `RolloutSeen.fallen`."""
        now = counted(self._metrics)
        after = since(self._bases.setdefault(model.model, now), now)
        switched_at = model.switched_at or self._clock.now()
        digests = {one.name: one.model_digest for one in serving.generations}
        digest = digests.get(model.generation or "", "")  # the same where a matrix ranks as it
        made = clicks(self._stats, digest, switched_at, self._clock.now())
        margin = self._node.settings.rollout.margin
        return fallen(model.before or ServingFigures(), with_clicks(after, made), margin)

    def index(self, model: str) -> str:
        """See `RolloutWork.index`."""
        name = self._commands.made(model).spec.name
        stages = {one.name: one for one in self._record.read().state.generations}
        if name in stages and stages[name].may_serve:
            return name
        return self._commands.ask(Wish(model=model)).generation

    def matrix(self, model: str) -> Serves | None:
        """See `RolloutWork.matrix`."""
        serving, state = self._node.serving, self._record.read().state
        found = matrix_of(serving.matrices, serving.models, state.serving, model)
        if isinstance(found, NotLinear):
            _log.info("roll-out: %s must be indexed before it serves: %s", model, found.reason)
            return None
        return Serves(generation=state.serves.generation, query_model=model)

    def compare(self, model: RolloutUnderWay, to: Serves) -> Experiment:
        """See `RolloutWork.compare`."""
        name, now = experiment_name(model), self._clock.now()
        wanted = Experiment(
            name=name,
            treatment=to,
            share=self._node.settings.rollout.experiment_share,
            salt=f"{name}.{secrets.token_hex(_SALT_BYTES)}",
            started_at=now,
        )

        def step(state: ServingState) -> ServingState:
            if state.experiment is not None and state.experiment.name == name:
                return state
            return state.experiment_started(wanted, now, f"experiment {name}")

        state = self._record.change(step)
        assert state.experiment is not None  # noqa: S101 - the step has just made sure of it
        self._tell_step()
        return state.experiment

    def stop(self, experiment: Experiment, finding: ExperimentFinding) -> None:
        """See `RolloutWork.stop`."""
        now = self._clock.now()

        def step(state: ServingState) -> ServingState:
            running = state.experiment is not None and state.experiment.salt == experiment.salt
            ended = state.experiment_stopped(now, finding.says) if running else state
            return ended.experiment_said(experiment.salt, finding.finding, finding.says)

        self._record.change(step)
        self._tell_step()

    def measure(self) -> ServingFigures:
        """See `RolloutWork.measure`."""
        now = self._clock.now()
        span = max(timedelta(seconds=self._node.settings.rollout.watch_s), LEAST_BEFORE)
        served = self._node.serving.pairs.now().model_digest
        made = clicks(self._stats, served, now - span, now)
        return with_clicks(counted(self._metrics), made)

    def switch(self, to: Serves) -> None:
        """See `RolloutWork.switch`."""
        now = self._clock.now()
        self._record.change(lambda state: state.switched(to, now, "rolled out by itself"))
        self._tell_step()

    def roll_back(self, model: RolloutUnderWay, reason: str) -> None:
        """See `RolloutWork.roll_back`."""
        now = self._clock.now()

        def step(state: ServingState) -> ServingState:
            return state.rolled_back(now, reason) if serves(state, model) else state

        self._record.change(step)
        self._tell_step()

    def tell(self, noted: RolloutNoted) -> None:
        """See `RolloutWork.tell`."""
        event_id = f"rollout-{noted.name}-{noted.digest[:16]}-{noted.step}"
        now, timeout_s = self._clock.now(), self._node.settings.kafka.delivery_timeout_s
        event = Event[EventData].of(noted, event_id=event_id, source=SOURCE, time=now)
        record = ProducerRecord(MODELS.name, noted.subject, event.encode())
        acknowledged(self._events.producer.append(record), timeout_s)

    def _tell_step(self) -> None:
        timeout_s = self._node.settings.kafka.delivery_timeout_s
        tell(self._record, self._events.producer, timeout_s=timeout_s)
