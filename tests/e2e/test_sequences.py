"""What people do to images, in order and at once, over the HTTP API of a running stack."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sightline.infra.local.node_process import NodeProcess
from sightline.producers.connect import connect
from sightline.schemas.fields import Visibility
from tests.asking import Asking, drawn, embedded, ok
from tests.measured import Tell
from tests.waiting import eventually

PICTURES = drawn(8, seed=1)
LATER_SEARCHES = 20
RACERS = 12


@pytest.fixture
def image_id() -> str:
    """An id that no other test uses."""
    return f"i-{uuid.uuid4().hex[:12]}"


def test_a_private_image_is_found_no_longer(api: Asking, image_id: str, tell: Tell) -> None:
    """Made private: soon no search returns it, none ever after, and anybody's reads are 404."""
    ok(api.upload(image_id, PICTURES[0]))
    assert api.found(PICTURES[0])[0] == image_id
    seconds = _never_returned(
        api, image_id, PICTURES[0], lambda: api.change(image_id, wait=False, visibility="private")
    )
    tell("made private to never returned", f"{seconds * 1000:.0f} ms")
    eventually(lambda: api.status(image_id)["status"] == "hidden")
    assert api.post("/v1/search", json={"image_id": image_id}).status_code == 404
    ok(api.change(image_id, visibility="public"))
    assert api.found(PICTURES[0])[0] == image_id


def test_a_deleted_image_is_gone_until_it_is_uploaded_again(
    api: Asking, image_id: str, tell: Tell
) -> None:
    """Deleted: never returned, its picture 404; the same bytes under the same id come back."""
    first = ok(api.upload(image_id, PICTURES[1]))["version"]
    seconds = _never_returned(api, image_id, PICTURES[1], lambda: api.remove(image_id, wait=False))
    tell("deleted to never returned", f"{seconds * 1000:.0f} ms")
    eventually(lambda: api.status(image_id)["status"] == "deleted")
    assert api.get(f"/v1/images/{image_id}/content").status_code == 404
    assert api.get(f"/v1/images/{image_id}/thumbnail").status_code == 404
    assert api.change(image_id, tags=["late"]).status_code == 404
    ok(api.remove(image_id))
    again = ok(api.upload(image_id, PICTURES[1]))
    assert again["status"] == "indexed"
    assert again["version"] == first + 2
    assert api.found(PICTURES[1])[0] == image_id
    assert api.get(f"/v1/images/{image_id}/content").status_code == 200


def test_other_bytes_replace_the_old_ones(api: Asking, image_id: str) -> None:
    """A second upload under an id: found by the new picture with score 1, by the old no more."""
    ok(api.upload(image_id, PICTURES[2]))
    ok(api.upload(image_id, PICTURES[3]))
    best = ok(api.search(PICTURES[3]))["results"][0]
    assert best["image_id"] == image_id
    assert best["score"] == pytest.approx(1, abs=1e-3)
    scores = {hit["image_id"]: hit["score"] for hit in ok(api.search(PICTURES[2]))["results"]}
    assert scores[image_id] < 0.999


def test_of_racing_patches_none_undoes_another(node: NodeProcess, image_id: str) -> None:
    """Threads change different fields of one image at once: in the end every change is there."""
    with Asking(node.url) as api:
        before = ok(api.upload(image_id, PICTURES[4]))["version"]
    changes: list[dict[str, Any]] = [
        {"tags": ["race", "red"]},
        {"group_id": "g-7"},
        {"attributes": {"price": 12}},
        {"owner_id": "shop"},
    ]

    def patch(number: int) -> int:
        with Asking(node.url) as api:
            answer = api.change(image_id, wait=False, **changes[number % len(changes)])
            return int(ok(answer)["version"])

    with ThreadPoolExecutor(RACERS) as racers:
        versions = list(racers.map(patch, range(RACERS)))
    with Asking(node.url) as api:
        eventually(lambda: api.status(image_id)["applied_version"] == max(versions))
        status = api.status(image_id)
    expected = {name: value for change in changes for name, value in change.items()}
    assert {name: status[name] for name in expected} == expected
    # A repeat of what holds already is no new version: one for each field.
    assert status["version"] == max(versions) == before + len(changes)


def test_of_patches_on_the_same_version_one_wins(node: NodeProcess, image_id: str) -> None:
    """All name the version that they read: one is taken, the others are 412 and change nothing."""
    with Asking(node.url) as api:
        version = ok(api.upload(image_id, PICTURES[5]))["version"]

    def patch(number: int) -> tuple[int, int]:
        with Asking(node.url) as api:
            tags = [f"racer-{number}"]
            return number, api.change(image_id, if_match=version, tags=tags).status_code

    with ThreadPoolExecutor(RACERS) as racers:
        answers = list(racers.map(patch, range(RACERS)))
    winners = [number for number, code in answers if code == 200]
    assert len(winners) == 1
    assert {code for _, code in answers} == {200, 412}
    with Asking(node.url) as api:
        status = api.status(image_id)
    assert status["tags"] == [f"racer-{winners[0]}"]
    assert status["version"] == version + 1


def test_a_stale_if_match_changes_nothing(api: Asking, image_id: str) -> None:
    """Change, delete or upload on a version that was overtaken: 412, and nothing is changed."""
    version = ok(api.upload(image_id, PICTURES[6]))["version"]
    ok(api.change(image_id, tags=["newer"]))
    assert api.change(image_id, if_match=version, tags=["stale"]).status_code == 412
    assert api.remove(image_id, if_match=version).status_code == 412
    stale_upload = api.put(
        f"/v1/images/{image_id}",
        headers={"If-Match": f'"{version}"'},
        files={"image": PICTURES[7]},
        data={"visibility": "public"},
    )
    assert stale_upload.status_code == 412
    status = api.status(image_id)
    assert (status["tags"], status["version"]) == (["newer"], version + 1)
    assert api.found(PICTURES[6])[0] == image_id


def test_a_late_upload_of_the_owner_undoes_nothing(
    node: NodeProcess, api: Asking, image_id: str
) -> None:
    """Version 5 is private, 6 deleted: versions 3 and 4 that come late change nothing, ever."""
    ok(api.upload(image_id, PICTURES[7], version="2"))
    ok(api.change(image_id, if_match=2, version=5, visibility="private"))
    _publish_late(node, image_id, version=3)
    assert api.status(image_id)["status"] == "hidden"
    assert image_id not in api.found(PICTURES[7])
    refused = api.upload(image_id, PICTURES[7], version="4")
    assert refused.status_code == 409
    assert refused.json()["field"] == "version"
    ok(api.remove(image_id, if_match=5, version=6))
    _publish_late(node, image_id, version=4)
    status = api.status(image_id)
    assert (status["status"], status["version"]) == ("deleted", 6)
    assert image_id not in api.found(PICTURES[7])


def test_an_owner_names_a_higher_version_and_the_one_that_was_read(
    api: Asking, image_id: str
) -> None:
    """Owner's versions: none is 409, no If-Match 428, a stale one 412, a lower version 409."""
    ok(api.upload(image_id, PICTURES[0], version="7"))
    assert api.change(image_id, tags=["x"]).status_code == 409
    assert api.change(image_id, version=8, tags=["x"]).status_code == 428
    assert api.change(image_id, if_match=6, version=8, tags=["x"]).status_code == 412
    assert api.change(image_id, if_match=7, version=7, tags=["x"]).status_code == 409
    assert ok(api.change(image_id, if_match=7, version=9, tags=["x"]))["tags"] == ["x"]
    assert api.status(image_id)["version"] == 9


def _never_returned(
    api: Asking, image_id: str, picture: bytes, hide: Callable[[], object]
) -> float:
    """Seconds from the start of the request that hides an image to the first search without it.

    Raises:
        AssertionError: a later search returned it all the same.
    """
    started = time.perf_counter()
    hide()
    eventually(lambda: image_id not in api.found(picture), interval_s=0.0)
    seconds = time.perf_counter() - started
    for _ in range(LATER_SEARCHES):
        assert image_id not in api.found(picture)
    return seconds


def _publish_late(node: NodeProcess, image_id: str, *, version: int) -> None:
    """What an owner's own service sends too late, past the API's checks, and wait until applied.

    A second image behind it on the same partition would prove the same; the worker's own counter
    of superseded versions does, and is at hand.
    """
    with Asking(node.url) as api, connect(embedded(node.data_directory)) as publisher:
        before = _superseded(api)
        publisher.upload(
            PICTURES[7], image_id=image_id, version=version, visibility=Visibility.PUBLIC
        )
        eventually(lambda: _superseded(api) > before, reason="the late version is superseded")


def _superseded(api: Asking) -> float:
    lines = api.get("/metrics").text.splitlines()
    told = [line for line in lines if line.startswith("sightline_outcomes_total{")]
    return sum(float(line.split()[-1]) for line in told if 'outcome="superseded"' in line)
