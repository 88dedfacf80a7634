"""Generations as a Qdrant server keeps them: collections and one alias, made, switched, removed."""

from __future__ import annotations

from collections.abc import Collection

from qdrant_client import models

from sightline.engine.backoff import retry_for
from sightline.engine.errors import NotFound, PartUnavailable
from sightline.engine.records import GenerationSpec
from sightline.engine.settings import IndexSettings
from sightline.engine.vector_index.generations import check_name
from sightline.engine.vector_index.payload import (
    KEYWORDS,
    NUMBERS,
    SEARCHABLE,
    SHOWN,
    spec_from_json,
    spec_to_json,
)
from sightline.engine.vector_index.qdrant.client import QdrantCalls, request_timeout_s
from sightline.engine.vector_index.qdrant.replication import Replication
from sightline.engine.vector_index.qdrant.translation import (
    collection_config,
    keyword_index,
    number_index,
    to_filter,
)
from sightline.engine.vector_index.read_conditions import WAS_LISTED

_IN_THE_MAKING = "0 of 0 read operations failed"
"""What a cluster says of a shard without an active replica, as each is while it is being made."""
_LOOK_S = 0.1


class QdrantCollections:
    """A server's collections `<prefix>-<name>`, one a generation; the alias `<prefix>` serves."""

    def __init__(self, calls: QdrantCalls, settings: IndexSettings) -> None:
        self.calls = calls
        self._settings = settings
        self._prefix = settings.collection_prefix

    def current(self) -> str | None:
        """Name of the generation that serves; None before the first."""
        aliases = self.calls("read aliases", lambda client: client.get_aliases()).aliases
        for alias in aliases:
            if alias.alias_name == self._prefix:
                return alias.collection_name.removeprefix(f"{self._prefix}-")
        return None

    def names(self) -> list[str]:
        """Lists the names of the generations that the server holds, sorted."""
        start = f"{self._prefix}-"
        found = self.calls("list", lambda client: client.get_collections()).collections
        return sorted(c.name.removeprefix(start) for c in found if c.name.startswith(start))

    def spec(self, name: str) -> GenerationSpec | None:
        """What the generation's collection metadata records; None if there is no such one."""
        if name not in self.names():
            return None
        collection = self.collection(name)
        info = self._info(collection)
        return spec_from_json(info.config.metadata) if info.config.metadata else None

    def _info(self, collection: str) -> models.CollectionInfo:
        """What the server says of a collection; until a replica of each shard is made, it fails."""
        return retry_for(
            self._settings.timeout_s,
            lambda: self.calls("read", lambda client: client.get_collection(collection)),
            every_s=_LOOK_S,
            passes=lambda error: _IN_THE_MAKING in str(error),
        )

    def create(self, spec: GenerationSpec) -> None:
        """Make it, empty, payload indexes first; what is already there stays."""
        check_name(spec.name)
        collection = self.collection(spec.name)
        if spec.name not in self.names():
            self._create_collection(collection, spec)
        self.prepare(spec.name)

    def prepare(self, name: str) -> Replication:
        """Bring a generation up to this release; how its replicas agree.

        An older release did not know all payload indexes, and asked all replicas to have a write,
        so that one that is down stopped them.
        """
        collection = self.collection(name)
        info = self._info(collection)
        replication = Replication(info.config.params.replication_factor or 1)
        self._tell_of_replicas(collection, info.config.params, replication)
        if SEARCHABLE not in info.payload_schema:
            self._say_what_is_shown(collection, replication)
        self._index_fields(collection, info.payload_schema)
        return replication

    def _tell_of_replicas(
        self, collection: str, found: models.CollectionParams, replication: Replication
    ) -> None:
        said = (found.write_consistency_factor or 1, found.read_fan_out_delay_ms)
        if said == (replication.writes, replication.second_try_ms):
            return
        wanted = models.CollectionParamsDiff(
            write_consistency_factor=replication.writes,
            read_fan_out_delay_ms=replication.second_try_ms,
        )
        self.calls(
            "update", lambda client: client.update_collection(collection, collection_params=wanted)
        )

    def _say_what_is_shown(self, collection: str, replication: Replication) -> None:
        payload, points = {SEARCHABLE: SHOWN}, to_filter(WAS_LISTED)
        self.calls(
            "fill",
            lambda client: client.set_payload(
                collection, payload, points=points, wait=True, ordering=replication.ordering
            ),
        )

    def _index_fields(self, collection: str, known: Collection[str]) -> None:
        wanted: dict[str, models.PayloadSchemaParams] = {f: keyword_index(f) for f in KEYWORDS}
        wanted |= dict.fromkeys(NUMBERS, number_index())
        for field, schema in wanted.items():
            if field not in known:
                self._create_field_index(collection, field, schema)

    def _create_collection(self, collection: str, spec: GenerationSpec) -> None:
        try:
            self.calls(
                "create",
                lambda client: client.create_collection(
                    collection,
                    **collection_config(spec),
                    shard_number=self._settings.shards,
                    replication_factor=self._settings.replicas,
                    write_consistency_factor=Replication(self._settings.replicas).writes,
                    metadata=spec_to_json(spec),
                    timeout=request_timeout_s(self._settings),
                ),
            )
        except PartUnavailable:
            if spec.name not in self.names():  # else another process was faster
                raise

    def _create_field_index(
        self, collection: str, name: str, schema: models.PayloadSchemaParams
    ) -> None:
        self.calls(
            "create index",
            lambda client: client.create_payload_index(collection, name, schema, wait=True),
        )

    def switch(self, name: str) -> None:
        """Let this one serve from now on, atomically; processes see it when they next open."""
        if name not in self.names():
            raise NotFound(f"index: no generation {name!r} on the server")
        drop = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self._prefix))
        point = models.CreateAliasOperation(
            create_alias=models.CreateAlias(
                collection_name=self.collection(name), alias_name=self._prefix
            )
        )
        steps: list[models.AliasOperations] = [point] if self.current() is None else [drop, point]
        self.calls("switch", lambda client: client.update_collection_aliases(steps))

    def remove(self, name: str) -> None:
        """Delete one that does not serve; an unknown name is fine."""
        if name in self.names():
            collection = self.collection(name)
            self.calls("remove", lambda client: client.delete_collection(collection))

    def close(self) -> None:
        """Let go of the connections but for those of opened indexes."""
        self.calls.close()

    def collection(self, name: str) -> str:
        """Names the collection that holds a generation: the prefix, then its name."""
        return f"{self._prefix}-{name}"
