from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from sightline.search_api.http.problems import PROBLEM_TYPES
from sightline.search_api.http.request_fields import ImageSearch, UploadSearch
from sightline.search_api.page.routes import FILES, FOR_OTHERS
from tests.api_parts import ApiWorld
from tests.generated_requests import PAGE, app_of_every_route, documented_routes, routes_of


def test_every_endpoint_is_documented_and_no_other(tmp_path: Path) -> None:
    """Method and path of each operation stand in the table of docs/api.md, with all optional."""
    world = ApiWorld.open(tmp_path)
    app = app_of_every_route(world)
    world.index.close()
    assert routes_of(app) == documented_routes()


def test_every_operation_says_what_it_does(tmp_path: Path) -> None:
    """Its summary is a line for people, not the name of a function."""
    world = ApiWorld.open(tmp_path)
    app = app_of_every_route(world)
    operations = [one for methods in app.openapi()["paths"].values() for one in methods.values()]
    world.index.close()
    names = {
        route.name.replace("_", " ").title() for route in app.routes if isinstance(route, APIRoute)
    }
    summaries = [operation["summary"] for operation in operations]
    assert [one for one in summaries if one in names or len(one.split()) < 3] == []
    assert len(set(summaries)) == len(summaries)


def test_every_shape_that_the_document_refers_to_is_in_it(tmp_path: Path) -> None:
    """Each `$ref` resolves, for who makes a client of it."""
    world = ApiWorld.open(tmp_path)
    made = app_of_every_route(world).openapi()
    world.index.close()
    named = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(made)))
    assert {"ImageDocument", "ImagePatch"} <= named
    assert named - made["components"]["schemas"].keys() == set()


def test_every_problem_type_is_documented() -> None:
    """With its status."""
    text = PAGE.read_text()
    missing = [k for k, (code, _) in PROBLEM_TYPES.items() if f"| `{k}` | {code} |" not in text]
    assert missing == []


@pytest.mark.parametrize("model", [ImageSearch, UploadSearch])
def test_every_search_field_is_documented(model: type[ImageSearch | UploadSearch]) -> None:
    """By name."""
    text = PAGE.read_text()
    assert [name for name in model.model_fields if f"`{name}" not in text] == []


def test_the_page_asks_no_other_host() -> None:
    """No address with a host anywhere in its files, and no inline script or style."""
    folder = PAGE.parents[1] / "search_api" / "page"
    served = {name for name, _ in (FILES | FOR_OTHERS).values()}
    ours = {path.name for path in folder.iterdir() if path.suffix != ".py"} - {"__pycache__"}
    assert ours == served
    for path in (folder / name for name in served):
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text, path
        assert "https:" not in text, path
        assert "style=" not in text, path
