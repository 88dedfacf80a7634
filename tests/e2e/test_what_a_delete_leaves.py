"""After a delete, and after its days: what a node holds is looked into (docs/privacy.md)."""

from __future__ import annotations

import json
import os
import time
from contextlib import closing
from pathlib import Path

from sightline.engine.event_log.embedded.journal import Journal
from sightline.engine.object_store.directory import DirectoryObjectStore
from sightline.engine.settings import Settings, StoreSettings
from sightline.engine.vector_index.edge.index import EdgeGenerations
from sightline.stream_workers.sweeping.sweep import IN_FLIGHT
from tests.asking import Asking, drawn, embedded, ok
from tests.processes import ForkedNode
from tests.waiting import eventually

TITLE = "of-a-person-1979"


def settings_of(folder: Path) -> Settings:
    """An embedded stack that keeps deleted bytes for no time, and sweeps every second."""
    store = StoreSettings(keep_deleted_days=0, sweep_every_s=1)
    return embedded(folder).model_copy(update={"store": store})


def put_long_ago(objects: Path) -> None:
    """Let what is stored be older than any upload takes: younger bytes are never swept."""
    before_s = time.time() - 2 * IN_FLIGHT.total_seconds()
    for path in objects.rglob("*.bytes"):
        os.utime(path, (before_s, before_s))


def told_by_the_index(settings: Settings) -> dict[str, tuple[bool, bool]]:
    """By image: whether a generation tells what its owner said, and anything of its bytes."""
    found: dict[str, tuple[bool, bool]] = {}
    with closing(EdgeGenerations(settings.index_directory, settings.index)) as generations:
        for name in generations.names():
            index = generations.open(name)
            images = index.get(["doomed", "kept"], vectors=True, features=True)
            for image_id, image in images.items():
                said = TITLE in repr(image.state)
                seen = (image.vector, image.features, image.perceptual_hash, image.content_sha256)
                of_bytes = image.state.object is not None or any(one is not None for one in seen)
                before = found.get(image_id, (False, False))
                found[image_id] = (said or before[0], of_bytes or before[1])
            index.close()
    return found


def test_a_deleted_image_leaves_its_id_version_and_owner(tmp_path: Path) -> None:
    """Bytes, renditions, title, tags: gone from store, catalogue, status, index and journal."""
    settings = settings_of(tmp_path / "data")
    (doomed, kept) = drawn(2, seed=77)
    with ForkedNode(settings, tmp_path / "node.log") as node, Asking(node.url) as api:
        for image_id, data in (("doomed", doomed), ("kept", kept)):
            ok(api.upload(image_id, data, tags=TITLE, attributes=json.dumps({"title": TITLE})))
            for rendition in ("content", "thumbnail"):
                assert api.get(f"/v1/images/{image_id}/{rendition}").status_code == 200
        put_long_ago(tmp_path / "data" / "objects")
        ok(api.remove("doomed"))
        status = api.status("doomed")
        assert (status["tags"], status["attributes"]) == ([], {})
        store = DirectoryObjectStore(tmp_path / "data" / "objects")

        def left(image_id: str) -> list[str]:
            return [item.key for item in store.list("sightline", "") if image_id in item.key]

        eventually(lambda: left("doomed") == ["catalogue/doomed.json"])
        assert TITLE.encode() not in store.get("sightline", "catalogue/doomed.json")
        assert len(left("kept")) == 4
    journal = Journal(tmp_path / "data" / "journal.sqlite")
    journal.compact()
    held = {record.image_id: TITLE.encode() in record.value for record in journal.winners()}
    journal.close()
    assert held == {"doomed": False, "kept": True}
    assert told_by_the_index(settings) == {"doomed": (False, False), "kept": (True, True)}
