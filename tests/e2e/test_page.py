"""The page in headless Chromium: what a person does on it, and which hosts it talks to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, expect, sync_playwright

from sightline.engine.pictures.near_duplicates import hash_bits, near_any
from sightline.engine.pictures.prepare import prepare
from sightline.engine.records.framing import Framing
from sightline.engine.settings import ApiSettings, DecodeSettings
from sightline.infra.local.node_process import NodeProcess
from tests.asking import Asking, ok
from tests.conftest import ROOT
from tests.patience import patient

SCREENSHOTS = ROOT / "build" / "screenshots"
SHOWN = 30
LOOK_ALIKE_BITS = ApiSettings().near_duplicate_bits
"""The page shows one of several pictures as like each other as that."""
TIMEOUT_MS = patient(30_000)
QUIET = (
    "--no-sandbox",  # in a container Chromium's own sandbox has no rights
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def files(photos: Path) -> list[Path]:
    """Photos of several kinds, the first of which nobody has uploaded yet."""
    every = sorted((photos / "images").iterdir())
    chosen: list[Path] = []
    hashes: list[int] = []
    for file in every[:: max(1, len(every) // (2 * SHOWN))]:
        looks = hash_bits(
            prepare(
                file.read_bytes(), limits=DecodeSettings(), framing=Framing(224)
            ).perceptual_hash
        )
        if not near_any(looks, hashes, bits=LOOK_ALIKE_BITS):
            chosen, hashes = [*chosen, file], [*hashes, looks]
    return chosen[: SHOWN + 1]


@pytest.fixture(scope="module")
def filled(node: NodeProcess, files: list[Path]) -> NodeProcess:
    """The stack with photos in it."""
    with Asking(node.url) as api:
        for number, file in enumerate(files[1:]):
            tags = ["even" if number % 2 == 0 else "odd", "photo"]
            answer = api.put(
                f"/v1/images/{file.stem}",
                params={"wait": "searchable"},
                files={"image": file.read_bytes()},
                data={"visibility": "public", "tags": tags},
            )
            ok(answer)
    return node


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """One browser for the tests of the module."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        yield running
        running.close()


@pytest.fixture
def browser_context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser profile."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


@pytest.fixture
def hosts(browser_context: BrowserContext) -> set[str]:
    """Every host that the page asked for anything; pictures in memory (`blob:`) have none."""
    asked: set[str] = set()

    def note(request: Request) -> None:
        if host := urlsplit(request.url).netloc:
            asked.add(host)

    browser_context.on("request", note)
    return asked


@pytest.fixture
def faults(browser_context: BrowserContext) -> list[str]:
    """What the browser complained of."""
    told: list[str] = []
    browser_context.on("weberror", lambda error: told.append(str(error.error)))
    browser_context.on(
        "console",
        lambda message: told.append(message.text) if message.type == "error" else None,
    )
    return told


@pytest.fixture
def page(filled: NodeProcess, browser_context: BrowserContext) -> Page:
    """The page, loaded and ready."""
    page = browser_context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(filled.url)
    expect(page.locator("#ready")).to_have_attribute("data-state", "up", timeout=TIMEOUT_MS)
    return page


def test_an_uploaded_picture_appears_in_the_results(
    filled: NodeProcess, page: Page, files: list[Path], hosts: set[str], faults: list[str]
) -> None:
    """Choose, see neighbours, add it: it is first, freshness is told, no other host is asked."""
    _shoot(page, "idle")
    results = page.get_by_test_id("results").locator("li")
    page.get_by_test_id("file").set_input_files(files[0])
    expect(results).to_have_count(24, timeout=TIMEOUT_MS)
    expect(page.locator("#summary")).to_have_text("24 nearest pictures")
    _shoot(page, "neighbours")
    page.locator("#adding input[name=tags]").fill("fresh, mine")
    page.get_by_label("Everyone").check()
    page.get_by_test_id("add").click()
    upload = page.locator("#upload-list li").first
    expect(upload).to_have_attribute("data-state", "indexed", timeout=TIMEOUT_MS)
    expect(upload).to_contain_text("searchable")
    expect(results.first).to_contain_text("fresh")
    expect(results.first.locator(".score-value")).to_contain_text("1.0")
    _await_pictures(page)
    _shoot(page, "uploaded")
    assert hosts == {urlsplit(filled.url).netloc}
    assert faults == []


def test_results_are_narrowed_by_tags_and_searched_by_in_turn(
    page: Page, files: list[Path], faults: list[str]
) -> None:
    """A tag filter leaves only what has it; a result becomes the next query."""
    results = page.get_by_test_id("results").locator("li")
    page.get_by_test_id("file").set_input_files(files[1])
    expect(results).to_have_count(24, timeout=TIMEOUT_MS)
    page.locator("#filters input[name=tags_any]").fill("odd")
    page.locator("#filters input[name=tags_any]").press("Enter")
    expect(results).to_have_count(SHOWN // 2, timeout=TIMEOUT_MS)
    expect(results.get_by_text("even", exact=True)).to_have_count(0)
    name = ", ".join(results.nth(2).locator(".tags button").all_inner_texts())
    image_id = str(results.nth(2).get_attribute("data-image-id"))
    results.nth(2).hover()
    results.nth(2).get_by_role("button", name="Search by this one").click()
    expect(page.locator("#query-name")).to_have_text(name)
    expect(page.locator("#query-name")).to_have_attribute("title", image_id)
    expect(results).to_have_count(SHOWN // 2 - 1, timeout=TIMEOUT_MS)
    _await_pictures(page)
    _shoot(page, "narrowed")
    assert faults == []


def test_tags_that_nothing_has_are_cleared_with_a_click(page: Page, files: list[Path]) -> None:
    """No result is no dead end."""
    results = page.get_by_test_id("results").locator("li")
    page.get_by_test_id("file").set_input_files(files[1])
    page.locator("#filters input[name=tags_any]").fill("nothing has this")
    page.locator("#filters input[name=tags_any]").press("Enter")
    expect(page.locator("#summary")).to_contain_text("Nothing matches", timeout=TIMEOUT_MS)
    expect(results).to_have_count(0)
    page.get_by_role("button", name="Clear tags").click()
    expect(results).to_have_count(24, timeout=TIMEOUT_MS)
    expect(page.locator("#filters input[name=tags_any]")).to_have_value("")


def test_a_file_that_is_no_picture_is_refused_in_words(
    page: Page, files: list[Path], tmp_path: Path
) -> None:
    """The problem says what to do, takes the place of older results, and nothing is added."""
    page.get_by_test_id("file").set_input_files(files[3])
    expect(page.get_by_test_id("results").locator("li")).to_have_count(24, timeout=TIMEOUT_MS)
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    page.get_by_test_id("file").set_input_files(text)
    expect(page.get_by_role("alert")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.get_by_role("alert")).to_contain_text("This is not a picture we can read")
    expect(page.locator("#adding")).to_be_hidden()
    expect(page.get_by_test_id("results").locator("li")).to_have_count(0)
    _shoot(page, "refused")


def test_the_page_fits_a_phone(page: Page, files: list[Path]) -> None:
    """At 390 pixels nothing sticks out sideways."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_test_id("file").set_input_files(files[2])
    expect(page.get_by_test_id("results").locator("li")).to_have_count(24, timeout=TIMEOUT_MS)
    _await_pictures(page)
    _shoot(page, "phone")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_hidden_copies_are_counted_in_words(
    filled: NodeProcess, page: Page, files: list[Path]
) -> None:
    """The same bytes under another id take no place of their own."""
    with Asking(filled.url) as api:
        answer = api.put(
            "/v1/images/copy",
            params={"wait": "searchable"},
            files={"image": files[4].read_bytes()},
            data={"visibility": "public"},
        )
        ok(answer)
    page.get_by_test_id("file").set_input_files(files[4])
    expect(page.locator("#removed")).to_have_text(
        "1 exact duplicate of results hidden", timeout=TIMEOUT_MS
    )


def _await_pictures(page: Page) -> None:
    """Every picture that is in view has come, and is one."""
    page.wait_for_function(
        """() => [...document.querySelectorAll('.frame img')]
            .filter((image) => image.getBoundingClientRect().top < innerHeight)
            .every((image) => image.complete && image.naturalWidth > 0)""",
        timeout=TIMEOUT_MS,
    )


def _shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
