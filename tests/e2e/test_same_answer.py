"""The same question gets the same answer while nothing is written (docs/adr/0007)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path

from sightline.engine.settings import (
    IndexSettings,
    KafkaSettings,
    Mode,
    Settings,
    StoreSettings,
)
from sightline.infra.demo.client import DemoClient
from sightline.infra.local.node_process import NodeProcess
from sightline.producers.backfill.run import run_backfill
from sightline.producers.connect import connect
from sightline.schemas.fields import Visibility
from tests.asking import Asking, drawn, embedded, ids, ok
from tests.processes import ForkedNode
from tests.qdrant_servers import needs_server, server
from tests.waiting import eventually

IMAGES = 200
BY_UPLOAD, BY_ID = 20, 30
ROUNDS = 20
"""Each round asks every question once: 1,000 in all."""
RESTARTS = {5: "stop", 10: "kill", 15: "kill"}

Answer = list[tuple[str, float]]


def test_a_thousand_questions_get_the_same_answers_across_restarts(tmp_path: Path) -> None:
    """50 questions, 20 times, a stop and two kills between: equal ids, order and scores."""
    pictures = drawn(IMAGES, seed=3)
    with ForkedNode(embedded(tmp_path / "data"), tmp_path / "node.log") as node:
        known = _filled(node, embedded(tmp_path / "data"), pictures, tmp_path / "photos")
        first = _answers(node.url, pictures, known)
        for number in range(1, ROUNDS):
            if how := RESTARTS.get(number):
                node.stop() if how == "stop" else node.kill()
                node.start()
            assert _answers(node.url, pictures, known) == first, f"round {number}"


@needs_server
def test_two_api_processes_give_the_same_answers(
    kafka_settings: KafkaSettings, store_settings: StoreSettings, tmp_path: Path
) -> None:
    """Two API processes over one Qdrant server answer alike, ids, order and scores."""
    pictures = drawn(IMAGES, seed=3)
    index = IndexSettings(
        url=server()[0], grpc_port=None, collection_prefix=f"t{uuid.uuid4().hex[:12]}"
    )
    shared = {
        "mode": Mode.SERVICES,
        "kafka": kafka_settings,
        "store": store_settings,
        "index": index,
    }
    one = embedded(tmp_path / "one").model_copy(update=shared)
    two = embedded(tmp_path / "two").model_copy(update=shared)
    with (
        ForkedNode(one, tmp_path / "one.log") as first,
        ForkedNode(two, tmp_path / "two.log", command="api") as second,
    ):
        known = _filled(first, one, pictures, tmp_path / "photos")
        expected = _answers(first.url, pictures, known)
        for _ in range(ROUNDS // 2):
            assert _answers(second.url, pictures, known) == expected
            assert _answers(first.url, pictures, known) == expected


def _filled(
    node: NodeProcess, settings: Settings, pictures: Sequence[bytes], folder: Path
) -> list[str]:
    """Backfill the pictures; ids of some of them, once all are searchable."""
    folder.mkdir()
    for number, picture in enumerate(pictures):
        (folder / f"{number}.jpg").write_bytes(picture)
    with connect(settings) as publisher:
        run_backfill(publisher, folder, visibility=Visibility.PUBLIC)
    with DemoClient(node.url) as counting, Asking(node.url) as api:
        eventually(
            lambda: counting.settled() >= len(pictures),
            timeout_s=120,
            interval_s=0.5,
            reason="an outcome for every picture",
        )
        return [api.found(picture, limit=1)[0] for picture in pictures[:BY_ID]]


def _answers(url: str, pictures: Sequence[bytes], known: Sequence[str]) -> list[Answer]:
    with Asking(url) as api:
        by_upload = [api.search(picture) for picture in pictures[:BY_UPLOAD]]
        by_id = [api.post("/v1/search", json={"image_id": image_id}) for image_id in known]
    assert all(len(ids(answer)) > 1 for answer in (*by_upload, *by_id))
    return [
        [(hit["image_id"], hit["score"]) for hit in ok(answer)["results"]]
        for answer in (*by_upload, *by_id)
    ]
