"""The grading page with the keyboard alone: what is pressed is what the log has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from sightline.engine.clock import SystemClock
from sightline.engine.label_data.grading_pools import Pool, PooledAnchor, store_pool
from sightline.engine.label_data.judgements import HeldJudgements
from sightline.schemas.judgements import RelevanceJudged
from sightline.schemas.registry import decode
from sightline.schemas.topics import JUDGEMENTS
from sightline.search_api.app import create_app
from tests.api_parts import BUCKET, ApiWorld
from tests.patience import patient
from tests.serving import serving

TIMEOUT_MS = patient(30_000)
ANCHORS = {"i0": ("i1", "i2", "i3"), "i4": ("i5",)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ApiWorld]:
    """Six pictures, and a pool of two anchors."""
    world = ApiWorld.open(tmp_path)
    for number in range(6):
        world.add(f"i{number}", number + 1)
    anchors = tuple(
        PooledAnchor(anchor_id=anchor, images=images, disagreement=0.5)
        for anchor, images in ANCHORS.items()
    )
    now = SystemClock().now()
    store_pool(
        world.store,
        BUCKET,
        Pool(name="first", made_at=now, models=("a", "b"), depth=2, seed=3, anchors=anchors),
    )
    yield world
    world.index.close()


def judged(world: ApiWorld) -> list[tuple[str, str, int]]:
    """What the topic has."""
    events = [decode(message.value).data for message in world.log.records[JUDGEMENTS.name]]
    return [
        (data.anchor_id, data.image_id, data.grade)
        for data in events
        if isinstance(data, RelevanceJudged)
    ]


def test_a_pool_is_graded_with_the_keyboard_alone(world: ApiWorld, chromium: Path) -> None:
    """Grade, move, undo, skip, send, come back to what was skipped: the log has what was meant."""
    app = create_app(replace(world.dependencies(), judgements=HeldJudgements()))
    with serving(app) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"{url}/grade")
        expect(page.get_by_test_id("pool").locator("option")).to_have_count(1, timeout=TIMEOUT_MS)
        page.get_by_test_id("judge").focus()
        press(page, *"anna", "Enter")
        pictures = page.get_by_test_id("pictures").locator(".picture")
        expect(pictures).to_have_count(3, timeout=TIMEOUT_MS)
        expect(pictures.first).to_be_focused(timeout=TIMEOUT_MS)
        said = page.get_by_test_id("said")
        press(page, "5", "2", "u")
        expect(said).to_have_text("Undone: picture 2 is not graded.", timeout=TIMEOUT_MS)
        press(page, "ArrowRight", "0", "s")
        expect(said).to_have_text("Picture 2 skipped. All done here: N sends.", timeout=TIMEOUT_MS)
        order = [str(name) for name in page.evaluate(SOURCES)]
        assert judged(world) == []
        press(page, "n")
        expect(pictures).to_have_count(1, timeout=TIMEOUT_MS)
        assert judged(world) == [("i0", order[0], 5), ("i0", order[2], 0)]
        press(page, "4", "n")
        expect(pictures).to_have_count(3, timeout=TIMEOUT_MS)  # what was skipped
        expect(pictures.nth(1)).to_be_focused(timeout=TIMEOUT_MS)
        expect(pictures.first).to_have_accessible_name(
            "Picture 1 of 3, graded 5", timeout=TIMEOUT_MS
        )
        press(page, "1", "n")
        expect(said).to_have_text("All pictures of this pool are graded.", timeout=TIMEOUT_MS)
        expect(page.locator("#progress")).to_have_text("4 of 4 pictures graded", timeout=TIMEOUT_MS)
        assert judged(world)[2:] == [("i4", "i5", 4), ("i0", order[1], 1)]
        assert faults == []
        browser.close()


SOURCES = """[...document.querySelectorAll('.picture img')]
    .map((image) => image.src.split('/').at(-2))"""


def press(page: Page, *keys: str) -> None:
    """Press and let go, one after the other."""
    for key in keys:
        page.keyboard.press(key)
