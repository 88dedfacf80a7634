"""What the sink has written under `labels/`, as the retraining counts it."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.engine.label_data.propensity import latest_version
from sightline.engine.label_data.triple_manifest import TripleManifest
from sightline.engine.label_data.waiting_triples import waiting_anchors, waiting_triples
from sightline.engine.ports import Clock
from sightline.engine.settings import RetrainingSettings
from sightline.training.retraining.plan import Come
from sightline.training.retraining.state import RetrainingState


@dataclass(frozen=True, slots=True)
class SinkTriples:
    """What the sink has written under `labels/`, for `Retraining`."""

    manifest: TripleManifest
    clock: Clock

    def come(self, state: RetrainingState, settings: RetrainingSettings) -> Come:
        """See `Triples.come`."""
        since = state.since()
        waiting = waiting_triples(self.manifest, since)
        if waiting.oldest is None:
            return Come()
        enough = waiting.triples >= settings.triples
        return Come(
            triples=waiting.triples,
            anchors=waiting_anchors(self.manifest, since) if enough else 0,
            waited_s=(self.clock.now() - waiting.oldest).total_seconds(),
        )

    def begun(self, state: RetrainingState) -> RetrainingState:
        """See `Triples.begun`."""
        ends = waiting_triples(self.manifest, state.since()).ends
        curve = latest_version(self.manifest.store, self.manifest.bucket)
        return state.begun(ends, self.clock.now(), propensity_version=curve)
