"""The page tells what people did, the last triples as pictures, and what model came of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.label_data.search_stats import SearchStats
from sightline.schemas.searches import ImageQuery
from sightline.search_api.app import create_app
from tests.api_parts import BUCKET, ApiWorld, answered_by
from tests.label_rows import counted, encoded, message, mined
from tests.patience import patient
from tests.released_models import released
from tests.serving import serving


def test_the_page_shows_what_was_learned(tmp_path: Path, chromium: Path) -> None:
    """Three pictures a triple, each of them loaded, and the model that answers, with its gate."""
    world = ApiWorld.open(tmp_path)
    for number in (1, 2, 3):
        world.add(f"i{number}", number)
    stats, triples = SearchStats(), RecentTriples()
    stats.add(counted(1, images_shown=200, images_clicked=25, searches=10))
    named = {"anchor_id": "i1", "positive_id": "i2", "negative_id": "i3"}
    triple = mined(**named, query=ImageQuery(image_id="i1"))
    triples.add(message(encoded(triple, "f" * 64), 0))
    first = released(world.store, BUCKET, {"ndcg@24": 0.5})
    second = released(world.store, BUCKET, {"ndcg@24": 0.6}, against=first)
    deps = replace(world.dependencies(), stats=stats, triples=triples)
    app = create_app(replace(deps, pairs=answered_by(world, f"shop@{second}")))
    with serving(app) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        panel = page.locator("#learning")
        expect(panel).to_be_visible(timeout=patient(30_000))
        expect(panel).to_contain_text("12.5 % of the pictures shown were clicked, in 10 searches.")
        names = [f"{role}: i{n}" for n, role in enumerate(("Asked by", "Chosen", "Passed over"), 1)]
        for name in names:
            picture = panel.get_by_alt_text(name)
            expect(picture).to_have_js_property("complete", value=True)
            assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        model = page.locator("#model")
        expect(model).to_contain_text(f"shop, release 2, {second[:8]}")
        expect(model).to_contain_text("Generation g1")
        expect(model).to_contain_text("Learned from 90 triples, 40 chosen pairs.")
        expect(model).to_contain_text("ndcg@24 0.500 → 0.600")
        model.get_by_text("Why it was released").click()
        expect(model.get_by_text("better where clicked: passed, +.1")).to_be_visible()
        browser.close()
    world.index.close()
