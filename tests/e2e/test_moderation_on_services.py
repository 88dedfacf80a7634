"""The operator's decisions on a real broker: nothing that an owner says or does undoes a block."""

from __future__ import annotations

from pathlib import Path

from sightline.engine.settings import (
    ApiSettings,
    KafkaSettings,
    LabelSettings,
    Mode,
    Settings,
    StoreSettings,
)
from sightline.producers.connect import connect
from tests.asking import MANY_A_MINUTE, Asking, drawn, ok
from tests.processes import ForkedNode, sightline
from tests.waiting import eventually

(PICTURE,) = drawn(1, seed=61)


def test_a_block_by_the_command_outlives_owners_restarts_and_reconcile(
    kafka_settings: KafkaSettings, store_settings: StoreSettings, tmp_path: Path
) -> None:
    """Blocked before it is known; its owner uploads, changes, and all restarts: it stays hidden."""
    settings = Settings(
        mode=Mode.SERVICES,
        kafka=kafka_settings,
        store=store_settings,
        data_directory=tmp_path / "data",
        labels=LabelSettings(supervised=False),
        api=ApiSettings(port=0, requests_per_minute=MANY_A_MINUTE),
    )

    def moderated(verdict: str) -> None:
        ran = sightline("moderate", "lamp", verdict, "--reason", "a test", settings=settings)
        assert ran.returncode == 0, ran.stderr

    def listed(api: Asking) -> bool:
        return "lamp" in api.found(PICTURE)

    with ForkedNode(settings, tmp_path / "first.log") as node, Asking(node.url) as api:
        moderated("blocked")
        with connect(settings) as images:
            images.upload(PICTURE, image_id="lamp", version=1, visibility="public")
            eventually(lambda: api.get("/v1/images/lamp").json().get("status") == "hidden")
            images.upload(PICTURE, image_id="lamp", version=9, visibility="public", tags=("new",))
        eventually(lambda: api.status("lamp")["version"] == 9)
        assert api.status("lamp")["status"] == "hidden"
        assert not listed(api)
    with ForkedNode(settings, tmp_path / "second.log") as node, Asking(node.url) as api:
        reconciled = sightline("reconcile", settings=settings)
        assert reconciled.returncode == 0, reconciled.stderr
        assert not listed(api)
        moderated("allowed")
        eventually(lambda: listed(api))
        ok(api.get("/v1/images/lamp"))
