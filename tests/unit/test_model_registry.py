"""The registry of models: written once, read checked, kept on this machine."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from sightline.engine.connecting.released_model import embedder_settings
from sightline.engine.embedding.model_files import PACKAGED_PROJECTION, model_source
from sightline.engine.embedding.model_registry import (
    CONFIG,
    PROJECTION,
    ModelReference,
    ModelRegistry,
    model_key,
    release_key,
)
from sightline.engine.embedding.projections import load_linear
from sightline.engine.embedding.registered_models import ModelCache
from sightline.engine.errors import NotFound, SettingsInvalid, Unreadable
from sightline.engine.event_log.memory.broker import MemoryBroker
from sightline.engine.event_log.memory.producer import MemoryEventProducer
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.object_store.memory import MemoryObjectStore
from sightline.engine.records import StoredObject
from sightline.engine.settings import EmbedderSettings, Settings, StoreSettings
from sightline.schemas.models import GateLine
from sightline.schemas.registry import decode
from sightline.schemas.topics import MODELS
from sightline.training.models.registry import (
    NewModel,
    Reasons,
    publish,
    release,
    store_model,
)

BUCKET = "sightline"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WHY = Reasons(
    against=None, gate=(GateLine(rule="better where clicked", outcome="passed", says="+.1"),)
)


def new_model(seed: int = 0) -> NewModel:
    """A projection of random numbers for the default network."""
    source = model_source(EmbedderSettings())
    random = np.random.default_rng(seed)
    projection = save(
        {
            "mean": random.normal(size=1280).astype(np.float32),
            "matrix": random.normal(size=(1280, 8)).astype(np.float32),
        }
    )
    return NewModel(
        name="shop",
        network=source.model,
        network_weights=source.weights_id,
        preprocess=source.framing.digest,
        dimensions=8,
        files={
            PROJECTION: projection,
            "card.md": b"# A model\n",
            "metrics.json": b"{}",
            "lineage.json": b'{"seed": 0}',
        },
    )


@pytest.fixture
def store() -> MemoryObjectStore:
    """An empty store with our bucket."""
    return MemoryObjectStore(BUCKET)


def test_a_model_is_read_as_it_was_registered(store: MemoryObjectStore) -> None:
    """Its digest leads to its config, and the config to every file."""
    model = new_model()
    digest = store_model(store, BUCKET, model)
    registry = ModelRegistry(store, BUCKET)
    config = registry.config("shop", digest)
    assert config == model.config()
    for file, data in model.files.items():
        assert registry.file("shop", digest, config, file) == data


def test_the_same_model_is_the_same_entry(store: MemoryObjectStore) -> None:
    """Registering again writes nothing; any other byte is another digest."""
    digest = store_model(store, BUCKET, new_model())
    written = {found.key: found.etag for found in store.list(BUCKET, "")}
    assert store_model(store, BUCKET, new_model()) == digest
    assert {found.key: found.etag for found in store.list(BUCKET, "")} == written
    assert store_model(store, BUCKET, new_model(seed=1)) != digest


def test_what_was_interrupted_is_finished_by_a_repeat(store: MemoryObjectStore) -> None:
    """Files without a config are no model, and stand in nobody's way."""
    model = new_model()
    digest = store_model(store, BUCKET, model)
    store.delete(BUCKET, model_key("shop", digest, CONFIG))
    with pytest.raises(NotFound):
        ModelRegistry(store, BUCKET).config("shop", digest)
    assert store_model(store, BUCKET, model) == digest
    assert ModelRegistry(store, BUCKET).config("shop", digest) == model.config()


@pytest.mark.parametrize("file", [CONFIG, PROJECTION])
def test_damage_is_found(store: MemoryObjectStore, file: str) -> None:
    """One changed byte is never served, and never taken for what is registered now."""
    digest = store_model(store, BUCKET, new_model())
    key = model_key("shop", digest, file)
    data = store.get(BUCKET, key)
    store.put(BUCKET, key, data[:-1] + bytes([data[-1] ^ 1]))
    registry = ModelRegistry(store, BUCKET)
    with pytest.raises(Unreadable, match="damaged"):
        registry.file("shop", digest, registry.config("shop", digest), file)
    with pytest.raises(Unreadable, match="damaged"):
        store_model(store, BUCKET, new_model())


def test_a_model_of_another_name_is_not_passed_off(store: MemoryObjectStore) -> None:
    """Copied under another name, the config tells what it is."""
    digest = store_model(store, BUCKET, new_model())
    data = store.get(BUCKET, model_key("shop", digest, CONFIG))
    store.put(BUCKET, model_key("other", digest, CONFIG), data)
    with pytest.raises(Unreadable, match="is shop, not other"):
        ModelRegistry(store, BUCKET).config("other", digest)


def test_files_that_must_be_there_are_asked_for(store: MemoryObjectStore) -> None:
    """No model without card, metrics and lineage, and no file outside of its folder."""
    model = new_model()
    short = {name: data for name, data in model.files.items() if name != "lineage.json"}
    with pytest.raises(ValueError, match=r"lineage\.json"):
        store_model(store, BUCKET, replace(model, files=short))
    with pytest.raises(ValueError, match="pattern"):
        store_model(store, BUCKET, replace(model, files={**model.files, "../up.json": b""}))
    assert list(store.list(BUCKET, "")) == []


def test_the_newest_release_is_what_a_name_alone_means(store: MemoryObjectStore) -> None:
    """Releases count from 1; what is only registered is not served by name."""
    registry = ModelRegistry(store, BUCKET)
    digests = [store_model(store, BUCKET, new_model(seed)) for seed in range(3)]
    assert registry.names() == []
    with pytest.raises(NotFound, match="sightline models list"):
        registry.digest(ModelReference("shop"))
    for digest in digests[:2]:
        release(store, BUCKET, "shop", digest, WHY, now=NOON)
    assert registry.names() == ["shop"]
    assert [each.data.number for each in registry.releases("shop")] == [1, 2]
    assert registry.digest(ModelReference("shop")) == digests[1]
    assert registry.digest(ModelReference("shop", digests[2])) == digests[2]


def test_a_repeated_release_is_the_same_event(store: MemoryObjectStore) -> None:
    """A crash between release and publication is mended by doing it again."""
    digest = store_model(store, BUCKET, new_model())
    first = release(store, BUCKET, "shop", digest, WHY, now=NOON)
    again = release(store, BUCKET, "shop", digest, WHY, now=datetime.now(UTC))
    assert again == first


def test_an_old_model_can_be_released_again(store: MemoryObjectStore) -> None:
    """Going back is a release, too: with the next number."""
    one, two = (store_model(store, BUCKET, new_model(seed)) for seed in range(2))
    for digest in (one, two, one):
        event = release(store, BUCKET, "shop", digest, WHY, now=NOON)
    assert event.data.number == 3
    assert ModelRegistry(store, BUCKET).digest(ModelReference("shop")) == one


def test_what_is_not_registered_is_not_released(store: MemoryObjectStore) -> None:
    """A release leads to a model, always."""
    with pytest.raises(NotFound):
        release(store, BUCKET, "shop", "0" * 64, WHY, now=NOON)


class Raced(MemoryObjectStore):
    """A store in which another process writes the next key first, once."""

    taken: bytes | None = None

    def put_if(
        self, bucket: str, key: str, data: bytes, *, expected_etag: str | None
    ) -> StoredObject:
        """See `ObjectStore.put_if`."""
        if self.taken is not None:
            taken, self.taken = self.taken, None
            self.put(bucket, key, taken)
        return super().put_if(bucket, key, data, expected_etag=expected_etag)


def test_releases_at_once_get_numbers_of_their_own() -> None:
    """Who loses the race for a number takes the next one."""
    raced = Raced(BUCKET)
    one, two = (store_model(raced, BUCKET, new_model(seed)) for seed in range(2))
    raced.taken = release(raced, BUCKET, "shop", one, WHY, now=NOON).encode()
    assert release(raced, BUCKET, "shop", two, WHY, now=NOON).data.number == 3
    digests = [each.data.digest for each in ModelRegistry(raced, BUCKET).releases("shop")]
    assert digests == [one, one, two]


def test_a_damaged_release_is_no_reason_to_guess(store: MemoryObjectStore) -> None:
    """Which model is the newest is not told where one release cannot be read."""
    release(store, BUCKET, "shop", store_model(store, BUCKET, new_model()), WHY, now=NOON)
    store.put(BUCKET, release_key("shop", 2), b"{}")
    with pytest.raises(Unreadable, match="damaged"):
        ModelRegistry(store, BUCKET).digest(ModelReference("shop"))


@pytest.mark.parametrize("text", ["shop", "registry:shop", f"shop@{'a' * 64}"])
def test_a_reference_is_read(text: str) -> None:
    """With or without the scheme, with or without a digest."""
    assert str(ModelReference.parse(text)) == text.removeprefix("registry:")


@pytest.mark.parametrize("text", ["", "Shop", "shop@", "shop@abc", "../x", f"shop@{'A' * 64}"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    """The message says what one looks like."""
    with pytest.raises(SettingsInvalid, match="NAME@DIGEST"):
        ModelReference.parse(text)


# --- from settings to files


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A deployment whose objects lie in a folder."""
    return Settings(data_directory=tmp_path / "data", store=StoreSettings(bucket=BUCKET))


@pytest.fixture
def directory(settings: Settings) -> DirectoryObjectStore:
    """The store of these settings."""
    made = DirectoryObjectStore(settings.data_directory / "objects")
    made.ensure_bucket(BUCKET)
    return made


def naming(settings: Settings, model: str, **others: object) -> Settings:
    """The settings with another model."""
    embedder = EmbedderSettings.model_validate({"model": model, **others})
    return settings.model_copy(update={"embedder": embedder})


def test_settings_without_the_registry_stay_as_they_are(settings: Settings) -> None:
    """A network by name asks no store, and makes none."""
    assert embedder_settings(settings) is settings.embedder
    assert not settings.data_directory.exists()


def test_a_registered_model_is_run_from_its_files(
    settings: Settings, directory: DirectoryObjectStore, tmp_path: Path
) -> None:
    """The settings name the network and the projection; the vector space is that of the files."""
    model = new_model()
    digest = store_model(directory, BUCKET, model)
    chosen = naming(settings, f"registry:shop@{digest}", precision="fp32")
    found = embedder_settings(chosen, cache=tmp_path / "cache")
    assert (found.model, found.weights, found.precision) == ("efficientnet_lite0", None, "fp32")
    assert found.projection is not None
    assert found.projection.read_bytes() == model.files[PROJECTION]
    assert load_linear(found.projection).matrix.shape == (1280, 8)


def test_a_kept_model_needs_no_store(
    settings: Settings, directory: DirectoryObjectStore, tmp_path: Path
) -> None:
    """A worker that names a digest starts while the store is away."""
    digest = store_model(directory, BUCKET, new_model())
    chosen = naming(settings, f"registry:shop@{digest}")
    first = embedder_settings(chosen, cache=tmp_path / "cache")
    directory.delete(BUCKET, model_key("shop", digest, CONFIG))
    assert embedder_settings(chosen, cache=tmp_path / "cache") == first


def test_a_damaged_copy_is_fetched_again(
    settings: Settings, directory: DirectoryObjectStore, tmp_path: Path
) -> None:
    """What lies in the cache is checked each time, and mended from the registry."""
    model = new_model()
    digest = store_model(directory, BUCKET, model)
    chosen = naming(settings, f"registry:shop@{digest}")
    kept = embedder_settings(chosen, cache=tmp_path / "cache").projection
    assert kept is not None
    kept.write_bytes(b"something else")
    again = embedder_settings(chosen, cache=tmp_path / "cache").projection
    assert again == kept
    assert kept.read_bytes() == model.files[PROJECTION]


def test_what_another_process_kept_meanwhile_stays(
    store: MemoryObjectStore, tmp_path: Path
) -> None:
    """It may be reading those files."""
    digest = store_model(store, BUCKET, new_model())
    kept, registry = ModelCache(tmp_path), ModelRegistry(store, BUCKET)
    kept.fetch(registry, "shop", digest)
    theirs = (kept.folder(digest) / PROJECTION).stat().st_ino
    kept.fetch(registry, "shop", digest)
    assert (kept.folder(digest) / PROJECTION).stat().st_ino == theirs


def test_a_name_alone_follows_the_releases(
    settings: Settings, directory: DirectoryObjectStore, tmp_path: Path
) -> None:
    """The newest release at the start of the process."""
    chosen, found = naming(settings, "registry:shop"), []
    for seed in range(2):
        digest = store_model(directory, BUCKET, new_model(seed))
        release(directory, BUCKET, "shop", digest, WHY, now=NOON)
        found.append((embedder_settings(chosen, cache=tmp_path / "cache").projection, digest))
    assert [path and path.parent.name for path, _ in found] == [digest for _, digest in found]


@pytest.mark.parametrize(
    ("model", "projection", "told"),
    [
        ("registry:shop", None, "no model shop was released"),
        (f"registry:shop@{'0' * 64}", None, "there is no models/shop/0000"),
        ("registry:Shop!", None, "NAME@DIGEST"),
        ("registry:shop", PACKAGED_PROJECTION, "leave them out"),
    ],
)
def test_what_cannot_be_found_is_a_matter_of_the_settings(
    settings: Settings, tmp_path: Path, model: str, projection: Path | None, told: str
) -> None:
    """The process does not start, and the line says why."""
    DirectoryObjectStore(settings.data_directory / "objects").ensure_bucket(BUCKET)
    with pytest.raises(SettingsInvalid, match=told):
        embedder_settings(naming(settings, model, projection=projection), cache=tmp_path / "cache")


@pytest.mark.parametrize(
    "model",
    [replace(new_model(), network_weights="1" * 64), replace(new_model(), preprocess="1" * 64)],
    ids=["weights", "preprocess"],
)
def test_a_model_of_other_weights_or_crops_is_not_run(
    settings: Settings, directory: DirectoryObjectStore, tmp_path: Path, model: NewModel
) -> None:
    """The same projection over other features would be another space under the same name."""
    digest = store_model(directory, BUCKET, model)
    with pytest.raises(SettingsInvalid, match="run the release that made it"):
        embedder_settings(naming(settings, f"registry:shop@{digest}"), cache=tmp_path / "cache")


def test_a_release_is_told_on_the_log(store: MemoryObjectStore) -> None:
    """Keyed by the name; of a repeat the id is the same."""
    digest = store_model(store, BUCKET, new_model())
    event = release(store, BUCKET, "shop", digest, WHY, now=NOON)
    broker = MemoryBroker()
    for _ in range(2):
        publish(MemoryEventProducer(broker), event, timeout_s=1)
    told = broker.records(MODELS.name)
    assert [message.key for message in told] == [b"shop", b"shop"]
    assert all(decode(message.value) == event for message in told)


def test_what_is_no_release_among_the_releases_is_passed_over(store: MemoryObjectStore) -> None:
    """And names that are none; the newest is the highest number, however it is written."""
    digests = [store_model(store, BUCKET, new_model(seed)) for seed in (1, 2)]
    for digest in digests:
        release(store, BUCKET, "shop", digest, WHY, now=NOON)
    for stray in ("README.md", ".hidden", "zz.json", "000001.json.bak", "x/000009.json"):
        store.put(BUCKET, f"models/shop/releases/{stray}", b"{", content_type="text/plain")
    store.put(BUCKET, "models/Other/releases/000001.json", b"{", content_type="text/plain")
    registry, newest = ModelRegistry(store, BUCKET), ModelRegistry(store, BUCKET).newest("shop")
    assert [each.data.digest for each in registry.releases("shop")] == digests
    assert newest is not None
    assert newest.data.digest == digests[1]
    assert registry.names() == ["shop"]
