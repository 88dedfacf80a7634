"""The page tells what people did, the last triples as pictures, and what model came of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from playwright.sync_api import expect, sync_playwright

from sightline.engine.label_data.recent_triples import RecentTriples
from sightline.engine.label_data.search_stats import SearchStats
from sightline.engine.serving.pairs import OpenedPair, ServingPairs
from sightline.engine.serving.values import Experiment, Serves
from sightline.schemas.searches import ImageQuery
from sightline.search_api.app import create_app
from tests.api_parts import (
    BUCKET,
    COMING,
    FILLING,
    ApiWorld,
    ComingOf,
    FillingOf,
    answered_by,
    picture,
)
from tests.label_rows import counted, encoded, message, mined
from tests.patience import patient
from tests.released_models import released
from tests.serving import serving


def in_experiment(world: ApiWorld, model: str, tried: str) -> ServingPairs:
    """A model serves, and one that finds the opposite of what is asked for is tried."""
    pairs = answered_by(world, model)
    control = pairs.now()
    matrix = -np.eye(control.spec.dimensions, dtype=np.float32)
    treatment = replace(control, matrix=matrix, model=tried)
    experiment = Experiment(
        name="may",
        treatment=Serves(generation="g1"),
        share=0.5,
        salt="may.1",
        started_at=datetime(2026, 5, 1, tzinfo=UTC),
    )
    opened = [OpenedPair(pair, lambda: None) for pair in (control, treatment)]
    pairs.exchange(opened[0], opened[1], experiment)
    return pairs


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
    deps = replace(world.dependencies(), stats=stats, triples=triples, fillings=FillingOf(FILLING))
    pairs = in_experiment(world, f"shop@{second}", f"shop@{first}")
    app = create_app(replace(deps, pairs=pairs, coming=ComingOf(COMING)))
    with serving(app) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        panel = page.locator("#learning")
        expect(panel).to_be_visible(timeout=patient(30_000))
        expect(panel).to_contain_text("12.5 % of the pictures shown were clicked, in 10 searches.")
        names = [f"{role}: i{n}" for n, role in enumerate(("Asked by", "Chosen", "Passed over"), 1)]
        for name in names:
            shown = panel.get_by_alt_text(name)
            expect(shown).to_have_js_property("complete", value=True)
            assert shown.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        model = page.locator("#model")
        expect(model).to_contain_text(f"shop, release 2, {second[:8]}")
        expect(model).to_contain_text("Generation g1")
        expect(model).to_contain_text("Learned from 90 triples, 40 chosen pairs.")
        expect(model).to_contain_text("ndcg@24 0.500 → 0.600")
        expect(model).to_contain_text(
            "Generation g2 is being filled by features, multiplying kept features · "
            "100 of 1,000 images · 20 a second · 45 s left of this step."
        )
        expect(model.locator("#model-rollouts li")).to_have_text(
            [
                "By itself: shop, aaaaaaaa: an experiment tries it on a part of the people.",
                "By itself: shop, bbbbbbbb: it was taken back (CTR: .0310, .0420 before).",
            ]
        )
        model.get_by_text("Why it was released").click()
        expect(model.get_by_text("better where clicked: passed, +.1")).to_be_visible()
        page.get_by_test_id("file").set_input_files(
            {"name": "i1.jpg", "mimeType": "image/jpeg", "buffer": picture(1)}
        )
        page.locator('.result[data-image-id="i1"] .again').click()
        model.get_by_text("Both rankings of this picture").click()
        both = page.locator("#both-dialog")
        expect(both).to_contain_text("Experiment may")
        expect(both.locator("h3")).to_have_text(
            [
                f"What serves: shop, {second[:8]}, generation g1",
                f"What is tried: shop, {first[:8]}, generation g1",
            ]
        )
        expect(both.locator("li")).to_have_count(4)
        expect(both.locator("li").first).to_contain_text("there 2")
        browser.close()
    world.index.close()
