"""`sightline.js` in a real browser, the real app and a real broker: what reaches the topic."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, Route, sync_playwright

from sightline.engine.event_log.kafka import KafkaEventProducer, read_topics
from sightline.engine.event_log.kafka.topics import KafkaTopics
from sightline.engine.settings import ApiSettings, KafkaSettings
from sightline.schemas.interactions import Interaction, Kind, ResultsInteracted
from sightline.schemas.registry import decode
from sightline.schemas.searches import ResultsShown
from sightline.schemas.topics import INTERACTIONS
from sightline.search_api.app import create_app
from tests.api_parts import ApiWorld, picture
from tests.serving import serving
from tests.waiting import eventually

SHOWN_MS = 1_000
SHOP = """<!doctype html><title>Shop</title><link rel="icon" href="data:,">
<style>a {{ display: block; height: 200px }} .far {{ margin-top: 3000px }}</style>
<div id="grid"></div>
{script}
<script>
  const answer = {answer};
  function show(track) {{
    window.page = track(answer);
    for (const [n, result] of answer.results.entries()) {{
      const link = document.createElement("a");
      link.href = "thing.html";
      link.id = `result-${{result.position}}`;
      if (n === answer.results.length - 1) link.className = "far";
      link.textContent = result.image_id;
      link.addEventListener("click", () => page.clicked(result.image_id));
      page.observe(link, result.image_id);
      document.getElementById("grid").append(link);
    }}
  }}
  {start}
</script>"""
SECOND_FETCH_FAILS = """
  const real = fetch;
  globalThis.sent = [];
  globalThis.settled = 0;
  globalThis.fetch = (url, options) => {
    sent.push(options.body);
    const answered = sent.length === 2 ? Promise.reject(new TypeError("cut")) : real(url, options);
    return answered.finally(() => settled++);
  };
  null;"""
PLAIN = ('<script src="{api}/sightline.js"></script>', "show(Sightline.track);")
READABLE = ('<script src="{api}/sightline.js" crossorigin></script>', "show(Sightline.track);")
MODULE = ("", 'import("{api}/sightline.mjs").then((module) => show(module.track));')


class _Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line a request."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """One browser for the tests of the module."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of a visitor of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Another site: its folder and its origin."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "thing.html").write_text("<!doctype html><title>Thing</title><p>A thing.")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api(tmp_path: Path, kafka_settings: KafkaSettings, shop: tuple[Path, str]) -> Iterator[str]:
    """As `serving_pictures`, for a shop that may read its answers."""
    with serving_pictures(tmp_path, kafka_settings, (shop[1],)) as url:
        yield url


@pytest.fixture
def strict_api(tmp_path: Path, kafka_settings: KafkaSettings) -> Iterator[str]:
    """As `serving_pictures`, for no other origin to read."""
    with serving_pictures(tmp_path, kafka_settings, ()) as url:
        yield url


@contextmanager
def serving_pictures(
    tmp_path: Path, kafka_settings: KafkaSettings, cors_origins: tuple[str, ...]
) -> Iterator[str]:
    """The app over six pictures, what people do going to a real broker; its address."""
    KafkaTopics(kafka_settings).ensure([INTERACTIONS])
    world = ApiWorld.open(tmp_path)
    for number in range(6):
        world.add(f"i{number}", number)
    producer = KafkaEventProducer(kafka_settings)
    settings = ApiSettings(cors_origins=cors_origins)
    app = create_app(replace(world.dependencies(settings), producer=producer))
    with serving(app) as url:
        yield url
    producer.close()
    world.index.close()


@pytest.fixture
def told(kafka_settings: KafkaSettings) -> Callable[[], list[Interaction]]:
    """Reads what the topic holds by now: each item once, after a check of its page."""

    def read() -> list[Interaction]:
        events = [
            decode(one.value).data for one in read_topics(kafka_settings, ["interactions.v1"])
        ]
        pages = {one.search_id: one for one in events if isinstance(one, ResultsShown)}
        items: dict[str, Interaction] = {}
        for beacon in events:
            if not isinstance(beacon, ResultsInteracted) or beacon.search_id not in pages:
                continue
            shown = pages[beacon.search_id]
            assert beacon.actor_id == shown.actor_id
            places = {(one.image_id, one.position) for one in shown.shown}
            assert {(item.image_id, item.position) for item in beacon.items} <= places
            items.update({item.event_id: item for item in beacon.items})
        return list(items.values())

    return read


def searched(page: Page, api: str) -> dict[str, Any]:
    """An answer of the API, as a shop's server would get it."""
    answer = page.request.post(f"{api}/v1/search", data={"image_id": "i0"})
    assert answer.ok, answer.text()
    document: dict[str, Any] = answer.json()
    return document


def open_shop(
    page: Page, api: str, shop: tuple[Path, str], parts: tuple[str, str] = PLAIN
) -> dict[str, Any]:
    """Open the other site's page of results; returns the answer that it shows."""
    folder, origin = shop
    answer = searched(page, api)
    script, start = (part.format(api=api) for part in parts)
    (folder / "results.html").write_text(
        SHOP.format(script=script, start=start, answer=json.dumps(answer))
    )
    page.goto(f"{origin}/results.html")
    page.wait_for_selector("#result-1")
    return answer


def views(items: list[Interaction]) -> dict[str, int]:
    """The longest time in view by image."""
    found: dict[str, int] = {}
    for item in items:
        if item.in_view_ms is not None:
            found[item.image_id] = max(item.in_view_ms, found.get(item.image_id, 0))
    return found


def wait_in(page: Page, ms: int) -> None:
    """Let so much of the page's own time pass."""
    page.evaluate(f"new Promise((resume) => setTimeout(resume, {ms}))")


@pytest.mark.parametrize(
    "parts", [PLAIN, READABLE, MODULE], ids=["script", "crossorigin", "module"]
)
def test_a_shop_tells_clicks_views_and_dwell(
    page: Page,
    api: str,
    shop: tuple[Path, str],
    told: Callable[[], list[Interaction]],
    parts: tuple[str, str],
) -> None:
    """A visitor of another origin looks, follows a result in the same tab, and comes back."""
    answer = open_shop(page, api, shop, parts)
    wait_in(page, SHOWN_MS + 200)
    page.click("#result-2")
    page.wait_for_url("**/thing.html")
    first = eventually(lambda: [i for i in told() if i.kind is Kind.CLICKED])
    assert [(i.image_id, i.position) for i in first] == [(answer["results"][1]["image_id"], 2)]
    seen = eventually(lambda: views(told()))
    assert seen[answer["results"][0]["image_id"]] >= SHOWN_MS
    assert answer["results"][-1]["image_id"] not in seen, "it was never scrolled to"
    wait_in(page, 700)
    page.go_back()
    stays = eventually(lambda: [i for i in told() if i.dwell_ms is not None])
    assert [i.image_id for i in stays] == [answer["results"][1]["image_id"]]
    assert 600 < (stays[0].dwell_ms or 0) < 60_000
    assert (stays[0].since_answer_ms or 0) >= (first[0].since_answer_ms or 0)


def test_a_shop_without_the_back_cache_tells_the_dwell(
    page: Page, api: str, shop: tuple[Path, str], told: Callable[[], list[Interaction]]
) -> None:
    """Where going back loads the page anew, the stay is remembered for the tab."""
    answer = open_shop(page, api, shop)
    page.evaluate("addEventListener('unload', () => {}); new BroadcastChannel('keeps it out')")
    page.click("#result-1")
    page.wait_for_url("**/thing.html")
    wait_in(page, 300)
    page.go_back()
    stays = eventually(lambda: [i for i in told() if i.dwell_ms is not None])
    assert [(i.image_id, i.position) for i in stays] == [(answer["results"][0]["image_id"], 1)]


def test_a_closed_tab_has_told_what_was_seen(
    page: Page, api: str, shop: tuple[Path, str], told: Callable[[], list[Interaction]]
) -> None:
    """Acts and views of the last moment go as a beacon when the tab is closed."""
    answer = open_shop(page, api, shop)
    wait_in(page, SHOWN_MS)
    first = answer["results"][0]["image_id"]
    page.evaluate(f"page.liked({first!r}); page.converted({first!r})")
    page.close(run_before_unload=True)
    found = eventually(lambda: found if views(found := told()) else [])
    assert {i.kind for i in found} == {Kind.LIKED, Kind.CONVERTED, Kind.VIEWED}
    assert views(found)[first] >= SHOWN_MS - 100


@pytest.mark.parametrize("parts", [READABLE, MODULE], ids=["crossorigin", "module"])
def test_what_failed_is_told_again_under_the_same_ids(
    page: Page,
    api: str,
    shop: tuple[Path, str],
    told: Callable[[], list[Interaction]],
    parts: tuple[str, str],
) -> None:
    """Two failures, a 503 and a cut line; then the same event id arrives, once."""
    asked: list[str] = []

    def fail_twice(route: Route) -> None:
        asked.append(route.request.post_data or "")
        if len(asked) == 1:
            route.fulfill(status=503, headers={"Access-Control-Allow-Origin": "*"})
        elif len(asked) == 2:
            route.abort()
        else:
            route.continue_()

    page.route("**/v1/interactions", fail_twice)
    answer = open_shop(page, api, shop, parts)
    page.evaluate(f"page.shared({answer['results'][2]['image_id']!r})")
    with page.expect_response(lambda answer: answer.ok and answer.url.endswith("/interactions")):
        pass  # routes are answered only while the browser is listened to
    [shared] = [item for item in told() if item.kind is Kind.SHARED]
    sent = [json.loads(body)["items"][0]["event_id"] for body in asked]
    assert sent == [shared.event_id] * 3


def test_a_page_that_may_not_read_tells_each_thing_once(
    page: Page, strict_api: str, shop: tuple[Path, str], kafka_settings: KafkaSettings
) -> None:
    """Of an origin that is not allowed: no error in its console, and no second copy on the topic.

    A network error is one all the same: what it stopped is sent again.
    """
    faults: list[str] = []
    answer = open_shop(page, strict_api, shop)
    page.on("console", lambda line: faults.append(line.text) if line.type == "error" else None)
    page.evaluate(SECOND_FETCH_FAILS)
    image_id = answer["results"][1]["image_id"]
    for n, (act, fetched) in enumerate((("clicked", 1), ("liked", 3), ("shared", 4)), start=1):
        page.evaluate(f"page.{act}({image_id!r}, {{here: true}})")
        page.wait_for_function(f"settled === {fetched}")
        assert len(acts(kafka_settings)) == n, "an answered report is on the topic, once"
    clicked, liked, shared = (item.event_id for item in acts(kafka_settings))
    sent = [
        [item["event_id"] for item in json.loads(body)["items"] if item["kind"] != "viewed"]
        for body in page.evaluate("sent")
    ]
    assert sent == [[clicked], [liked], [liked], [shared]]
    assert faults == []


def acts(settings: KafkaSettings) -> list[Interaction]:
    """What the topic holds of acts, each copy of them."""
    events = [decode(one.value).data for one in read_topics(settings, ["interactions.v1"])]
    beacons = [event for event in events if isinstance(event, ResultsInteracted)]
    return [item for beacon in beacons for item in beacon.items if item.kind is not Kind.VIEWED]


def test_nothing_is_told_of_a_search_that_is_not_recorded(
    page: Page, api: str, shop: tuple[Path, str]
) -> None:
    """`feedback: false`: there is no impression that a click could be joined to."""
    told_of: list[str] = []

    def search_of(request: Request) -> None:
        if request.url.endswith("/v1/interactions"):
            told_of.append(json.loads(request.post_data or "{}")["search_id"])

    page.on("request", search_of)
    open_shop(page, api, shop)
    page.evaluate(
        """for (const feedback of [false, true]) {
             const searched = {...answer, feedback, search_id: `recorded ${feedback}`};
             Sightline.track(searched).clicked(answer.results[0].image_id);
           }"""
    )
    with page.expect_request(lambda asked: "recorded true" in (asked.post_data or "")):
        pass  # told a moment after the other would have been
    assert "recorded true" in told_of
    assert "recorded false" not in told_of


def test_our_own_page_tells_what_its_visitor_does(
    page: Page, api: str, told: Callable[[], list[Interaction]], tmp_path: Path
) -> None:
    """A search by a file, a search by a result of it, another file: a click with its dwell."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    for number in (0, 1):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    page.goto(api)
    page.set_input_files("#file", tmp_path / "0.jpg")
    second = page.locator(".result").nth(1)
    second.wait_for()
    image_id = second.get_attribute("data-image-id")
    wait_in(page, SHOWN_MS + 200)
    second.hover()
    second.locator(".again").click()
    page.locator(f".result[data-image-id='{image_id}']").wait_for(state="detached")
    wait_in(page, 500)
    page.set_input_files("#file", tmp_path / "1.jpg")
    clicks = eventually(lambda: [i for i in told() if i.kind is Kind.CLICKED])
    assert [(i.image_id, i.position) for i in clicks] == [(image_id, 2)]
    stays = eventually(lambda: [i for i in told() if i.dwell_ms is not None])
    assert [i.image_id for i in stays] == [image_id]
    assert 400 < (stays[0].dwell_ms or 0) < 60_000
    assert views(told())[str(image_id)] >= SHOWN_MS
    assert problems == []
