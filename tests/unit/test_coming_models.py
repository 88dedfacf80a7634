"""Which model comes by itself, as the API tells it of the record of the roll-outs."""

from __future__ import annotations

from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.settings import Settings
from sightline.infra.views.stored_rollouts import stored_rollouts
from sightline.search_api.learning.coming_models import ComingModel
from sightline.stream_workers.rolling_out.state import RolloutOutcome, RolloutRecord
from tests.label_rows import NOON
from tests.unit.test_rolling_out import NEW, OLD


def test_the_one_on_its_way_comes_before_the_last_that_ended() -> None:
    """With its stage, or with what became of it; no older one."""
    settings = Settings()
    bucket, index = settings.store.bucket, settings.index.collection_prefix
    store = MemoryObjectStore(bucket)
    coming = stored_rollouts(settings, store)
    assert coming.now() == ()
    record = RolloutRecord(store, bucket, index)
    for outcome in (RolloutOutcome.SERVES, RolloutOutcome.WORSE):
        found = record.read()
        record.replace(found, found.state.ended(OLD, outcome, outcome.value, NOON))
    found = record.read()
    record.replace(found, found.state.begun(NEW, NOON))
    name, _, digest = NEW.partition("@")
    old_name, _, old_digest = OLD.partition("@")
    assert coming.now() == (
        ComingModel(
            name=name,
            digest=digest,
            generation=None,
            stage="indexed",
            outcome=None,
            says="",
            since=NOON,
        ),
        ComingModel(
            name=old_name,
            digest=old_digest,
            generation=None,
            stage=None,
            outcome="worse",
            says="worse",
            since=NOON,
        ),
    )
