"""One node under every kind of stranger's attack in turn, killed and started again after each.

It starts each time, and what was acknowledged, before, between or by the attacks, is there. Who
writes to a watched bucket needs services: `tests/integration/test_bucket_bridge_end_to_end.py`.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from sightline.engine.connecting.owner import find_owner
from sightline.engine.event_log.kafka import KafkaEventProducer
from sightline.engine.records import ProducerRecord
from sightline.engine.settings import ApiKey, KafkaSettings, Scope
from sightline.infra.local.node_process import NodeProcess
from sightline.producers.images.ids import id_of_object
from sightline.schemas.documents.examples import example
from sightline.schemas.fields import MAX_OWNER_VERSION, MAX_VERSION
from sightline.schemas.topics import IMAGES, IMAGES_MODERATION
from tests.api_parts import key_of
from tests.asking import Asking, drawn, embedded, ok
from tests.patience import patient
from tests.pictures import encoded, scene
from tests.processes import ForkedNode
from tests.waiting import eventually

SMALL = encoded(Image.new("RGB", (64, 64), "navy"), "PNG")
KEYS: dict[str, ApiKey] = {
    "shop": key_of("shop", Scope.SEARCH, Scope.WRITE, owner_id="shop"),
    "rival": key_of("rival", Scope.SEARCH, Scope.WRITE, owner_id="rival"),
    "visitor": key_of("visitor", Scope.SEARCH),
    "admin": key_of("admin", Scope.ADMIN),
}
MANY_KEYS = 300
CONNECTIONS = 120
"""More than one address may hold."""
INDEXED, HIDDEN, DELETED = "indexed", "hidden", "deleted"


@cache
def pictures() -> Sequence[bytes]:
    """Drawn when they are needed: each worker of a run imports this file."""
    return drawn(40, seed=911)


@dataclass
class Site:
    """The node, who asks it, and what it has acknowledged."""

    node: NodeProcess
    data_directory: Path
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The status that each image must have."""
    _drawn: Iterator[bytes] = field(default_factory=lambda: iter(pictures()))

    @contextmanager
    def asking(self, key: str | None) -> Iterator[Asking]:
        """A caller who shows this key."""
        with Asking(self.node.url) as caller:
            if key is not None:
                caller.headers["X-API-Key"] = key
            yield caller

    def picture(self) -> bytes:
        """One that no other image here is like."""
        return next(self._drawn)

    def upload(self, key: str, image_id: str, data: bytes | None = None, **fields: str) -> int:
        """Put an image, without waiting for it; the status of the answer."""
        with self.asking(key) as caller:
            answer = caller.upload(image_id, data or self.picture(), wait=False, **fields)
        if answer.is_success:
            public = fields.get("visibility", "public") == "public"
            self.acknowledged[image_id] = INDEXED if public else HIDDEN
        return answer.status_code


def nested_attributes(site: Site) -> None:
    """Attributes of every depth about each bound: the contract's, and that of parsers."""
    for depth in (30, 31, 32, 33, 150, 190, *range(196, 203), 260):
        told = '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"
        site.upload("shop", f"deep-{depth}", SMALL, attributes=told)
    assert "deep-32" in site.acknowledged
    assert "deep-33" not in site.acknowledged


def versions_out_of_reach(site: Site) -> None:
    """The highest version that an owner may say: the operator blocks and deletes all the same."""
    assert (
        site.upload("shop", "beyond", version=str(MAX_VERSION)) == httpx.codes.UNPROCESSABLE_ENTITY
    )
    for image_id in ("top", "top-2"):
        assert site.upload("shop", image_id, version=str(MAX_OWNER_VERSION)) == httpx.codes.ACCEPTED
    with site.asking("admin") as admin:
        ok(admin.change("top", moderation="blocked"))
        ok(admin.remove("top-2"))
    site.acknowledged |= {"top": HIDDEN, "top-2": DELETED}


def lifted_blocks(site: Site) -> None:
    """The owner of a blocked image sends it again, says allowed, and counts on."""
    data = site.picture()
    site.upload("shop", "abuse", data)
    with site.asking("admin") as admin:
        ok(admin.change("abuse", moderation="blocked"))
    site.upload("shop", "abuse", data)
    site.upload("shop", "abuse", moderation="allowed")
    with site.asking("shop") as owner:
        assert owner.change("abuse", moderation="allowed").status_code == httpx.codes.FORBIDDEN
    site.acknowledged["abuse"] = HIDDEN


def squatted_ids(site: Site) -> None:
    """Ids that follow from somebody else's object, and those that no image may have."""
    digits = hashlib.sha256(b"2026/11/ann.jpg").hexdigest()[:32]
    theirs = id_of_object("sightline", "2026/11/ann.jpg")
    for image_id in (theirs, f"f-{digits}", f"q-{digits}", f"s3-{digits}"):
        assert site.upload("rival", image_id, SMALL) == httpx.codes.FORBIDDEN, image_id
        assert image_id not in site.acknowledged
    assert site.upload("rival", "first", visibility="private") == httpx.codes.NOT_FOUND


def copies(site: Site) -> None:
    """The same bytes under a lower id, and many that are nearly the same."""
    picture = scene()
    near = [encoded(picture, "JPEG", quality=quality) for quality in range(60, 90)]
    site.upload("shop", "original", near[0])
    site.upload("rival", "-original", near[0])
    for number, data in enumerate(near):
        site.upload("rival", f"copy-{number}", data)


def odd_files(site: Site) -> None:
    """Files that cost a header reader much, none of which is a picture, and odd content types."""
    heads = (b"\xff\xd8\xff", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\0WEBP", b"II+\0")
    for number, head in enumerate(heads):
        assert site.upload("rival", f"odd-{number}", head + b"\xff" * 1_000_000) >= 400
    with site.asking("rival") as rival:
        for number in range(130):
            file = ("p.png", SMALL, "image/png; x=" + "y" * 200)
            answer = rival.put(f"/v1/images/type-{number}", files={"image": file})
            if answer.is_success:
                site.acknowledged[f"type-{number}"] = HIDDEN


def odd_bodies(site: Site) -> None:
    """Charsets with quadratic decoders, doubled keys, JSON that nests deep."""
    with site.asking("visitor") as visitor:
        for charset in ("punycode", "idna", "utf-7"):
            body = _form([(b"tags", b"x" * 4_000 + b"-" + b"9" * 4_000)] * 50)
            form = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
            assert visitor.post("/v1/search", content=body, headers=form).is_client_error
        for depth in (150, 200, 260, 100_000):
            asked = visitor.post("/v1/search", content=b"[" * depth, headers=_JSON)
            assert asked.is_client_error
        twice = b"{" + b",".join(b'"k%d":0' % n for n in range(20_000)) + b',"k0":0}'
        assert visitor.post("/v1/search", content=twice, headers=_JSON).is_client_error


def knocking(site: Site) -> None:
    """Wrong keys in a row, probes by the hundred, and every connection that one may hold."""
    with site.asking(None) as nobody, ExitStack() as held:
        for number in range(MANY_KEYS):
            wrong = nobody.get("/v1/images/first", headers={"X-API-Key": f"wrong-{number}"})
            assert wrong.status_code == httpx.codes.UNAUTHORIZED
            nobody.get("/readyz")
        place = urlsplit(site.node.url)
        for _ in range(CONNECTIONS):
            line = held.enter_context(socket.create_connection((place.hostname, place.port), 10))
            line.settimeout(10)


def forged_votes(site: Site) -> None:
    """A hundred conversions by one session, likes in another's name, grades without the right."""
    with site.asking("visitor") as visitor:
        page = ok(visitor.search(pictures()[0]))
        shown = page["results"][0]["image_id"]
        items = [
            {"event_id": f"e{n}", "kind": "converted", "image_id": shown, "since_answer_ms": 5}
            for n in range(100)
        ]
        told = {"search_id": page["search_id"], "items": items}
        assert visitor.post("/v1/interactions", json=told).status_code == httpx.codes.ACCEPTED
        told["search_id"] = page["search_id"][:-4] + "AAAA"
        assert visitor.post("/v1/interactions", json=told).is_client_error
        grade = {"anchor_id": shown, "image_id": shown, "grade": 5, "judge": "ann"}
        assert visitor.post("/v1/judgements", json=grade).status_code == httpx.codes.FORBIDDEN


def forged_events(site: Site) -> None:
    """A neighbour on the machine finds the broker's port: a delete, a block and a null."""
    owner = find_owner(site.data_directory)
    assert owner is not None
    neighbour = KafkaEventProducer(KafkaSettings(bootstrap_servers=owner.bootstrap_servers))
    for topic, name in ((IMAGES, "deleted"), (IMAGES_MODERATION, "moderated")):
        said = json.loads(
            example(f"sightline.image.{name}.v1").encode().replace(b"lamp-4711", b"first")
        )
        said["data"] |= {"version": 99} | ({"authority": "sightline"} if topic is IMAGES else {})
        neighbour.append(ProducerRecord(topic.name, "first", json.dumps(said).encode())).result(
            patient(60)
        )
    neighbour.append(ProducerRecord(IMAGES.name, "first", None)).result(patient(60))
    neighbour.close()
    with site.asking("shop") as seller:  # by the same partition: what came before has been read
        assert ok(seller.change("first", tags=["here"]))["status"] == INDEXED


ATTACKS: tuple[Callable[[Site], None], ...] = (
    nested_attributes,
    versions_out_of_reach,
    lifted_blocks,
    squatted_ids,
    copies,
    odd_files,
    odd_bodies,
    knocking,
    forged_votes,
    forged_events,
)


@pytest.mark.timeout(600)
def test_a_node_outlives_every_attack_in_turn(tmp_path: Path) -> None:
    """Killed after each; at the end everything acknowledged can be seen, compared and deleted."""
    keys = json.dumps([key.model_dump(mode="json") for key in KEYS.values()])
    admits = {"SIGHTLINE_API__KEYS": keys, "SIGHTLINE_API__COMMAND_KEY": "admin"}
    with ForkedNode(embedded(tmp_path / "data"), tmp_path / "log", environment=admits) as node:
        site = Site(node, tmp_path / "data")
        site.upload("shop", "first", pictures()[0])
        for attack in ATTACKS:
            attack(site)
            site.upload("shop", f"after-{attack.__name__}")
            node.kill()
            node.start()
        with site.asking("admin") as admin:
            eventually(lambda: not _wrong(admin, site), timeout_s=60, reason="all is as told")
            found = set(admin.found(pictures()[0], limit=100))
            assert not found & {i for i, status in site.acknowledged.items() if status != INDEXED}
            assert not ok(admin.post("/v1/reconcile"))["differences"]
            for image_id in site.acknowledged:
                assert admin.remove(image_id, wait=False).is_success, image_id
        assert node.stop() == 0


def _wrong(api: Asking, site: Site) -> dict[str, Any]:
    """Images whose status is not the acknowledged one."""
    found = {image_id: api.status(image_id)["status"] for image_id in site.acknowledged}
    return {i: (found[i], status) for i, status in site.acknowledged.items() if found[i] != status}


_JSON = {"Content-Type": "application/json"}


def _form(fields: list[tuple[bytes, bytes]]) -> bytes:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % named
        for named in fields
    ]
    return b"".join(parts) + b"--b--\r\n"
