"""What the API is made of; `infra/wiring/api_and_bridge.py` fills it in, tests with fakes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sightline.engine.errors import Part
from sightline.engine.health import Health
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.label_data.search_stats import SearchStats
from sightline.engine.metrics import Metrics
from sightline.engine.object_store.catalogue import Catalogue
from sightline.engine.ports import Clock, EventProducer, ObjectStore
from sightline.engine.serving.pairs import ServingPairs
from sightline.engine.settings import ApiSettings, DecodeSettings
from sightline.producers.images.catalogued import CataloguedImages
from sightline.producers.images.moderation import ImageModeration
from sightline.producers.images.publisher_async import AsyncImagePublisher
from sightline.search_api.learning.coming_models import ComingModels
from sightline.search_api.learning.filling import Fillings
from sightline.search_api.operations.readiness import Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDependencies:
    """The collaborators of `create_app`; whoever made them closes them, after the app."""

    pairs: ServingPairs
    """Model and index that serve; an index is read only through `VisibleIndex`, which the app puts
    around it."""
    store: ObjectStore
    bucket: str
    """Our own bucket."""
    catalogue: Catalogue
    """What `catalogued` counts versions in."""
    catalogued: CataloguedImages
    """Writes of images whose versions Sightline counts."""
    moderation: ImageModeration
    """Decides what the operator hides."""
    publisher: AsyncImagePublisher
    """Writes of images whose versions their owner counts."""
    producer: EventProducer
    """For `ResultsShown`."""
    api: ApiSettings
    decode: DecodeSettings
    clock: Clock
    metrics: Metrics
    health: Health
    secret: bytes
    """Seals search ids: the setting's, or `engine.signing_secret.stored_secret`."""
    probes: Mapping[Part, Probe] = field(default_factory=dict)
    """What `/readyz` asks beyond the store and the index: the broker, say."""
    source: str = "sightline/search-api"
    """CloudEvents `source` of what the API publishes by itself."""
    new_images: CataloguedImages | None = None
    """Writes of images under ids made just now, of which the index cannot know: given, `POST` works
    while the index is down. None: `catalogued`."""
    embed_threads: int = 1
    """Forward passes of query pictures at once."""
    decode_threads: int = 2
    """Query pictures decoded at once."""
    stats: SearchStats | None = None
    """What searches came to, for `GET /v1/stats`; None: there is no such route."""
    triples: RecentTriples | None = None
    """The last training triples, for `GET /v1/triples`; None: there is no such route."""
    judgements: HeldJudgements | None = None
    """Who graded what so far, for `/v1/pools`; None: there are no such routes."""
    fillings: Fillings | None = None
    """Whether a generation is being filled, for `GET /v1/models/serving`; None: nobody says."""
    coming: ComingModels | None = None
    """Which model is on its way by itself, for the same route; None: nobody says."""
