"""The OpenAPI document: FastAPI's, and the bodies parsed by hand, problems and examples."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from sightline.search_api.http.documents.all_answers import ANSWERS
from sightline.search_api.http.problems import MEDIA_TYPE, PROBLEM_TYPES
from sightline.search_api.http.request_fields import (
    Beacon,
    GradingTurn,
    ImageFields,
    ImagePatch,
    ImageSearch,
    Judgement,
    ModerationVerdict,
    UploadSearch,
)

_REF = "#/components/schemas/"
_BODIES: tuple[type[BaseModel], ...] = (
    ImageSearch,
    UploadSearch,
    ImageFields,
    ImagePatch,
    ModerationVerdict,
    Beacon,
    Judgement,
    GradingTurn,
)
_TEXT_OF_JSON = {"type": "string", "contentMediaType": "application/json"}
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


def json_of(model: type[BaseModel], **examples: Any) -> dict[str, Any]:
    """A JSON media type of a model, with named examples."""
    return {
        "application/json": {
            "schema": {"$ref": _REF + model.__name__},
            "examples": {name: {"value": value} for name, value in examples.items()},
        }
    }


def text_of(model: type[BaseModel], example: object) -> dict[str, Any]:
    """Describes a JSON body that browsers send as `text/plain`, with an example."""
    schema = {
        "type": "string",
        "contentMediaType": "application/json",
        "description": f"The JSON of a {model.__name__}.",
    }
    return {"text/plain": {"schema": schema, "example": json.dumps(example)}}


def form_of(model: type[BaseModel], **example: Any) -> dict[str, Any]:
    """A multipart media type: the picture in `image`, the model's fields as text."""
    return {
        "multipart/form-data": {
            "schema": {"$ref": f"{_REF}{model.__name__}Form"},
            "example": {"image": "(the file)", **example},
        }
    }


def body(*media: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` for a route with these media types as its body."""
    content = {name: schema for one in media for name, schema in one.items()}
    return {"requestBody": {"required": True, "content": content}}


def answers(ok: dict[int, type[BaseModel] | str], *kinds: str) -> dict[int | str, dict[str, Any]]:
    """`responses` of a route: its good answers by status, then its problems by kind."""
    good: dict[int | str, dict[str, Any]] = {
        status: {"description": shape}
        if isinstance(shape, str)
        else {"description": (shape.__doc__ or "").strip(), "content": json_of(shape)}
        for status, shape in ok.items()
    }
    return good | _problems(kinds)


def install_openapi(app: FastAPI, *, open_to_all: bool) -> None:
    """Makes the application serve the completed document at `/openapi.json`."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(
                title=app.title,
                version=app.version,
                description=app.description,
                routes=app.routes,
            )
            app.openapi_schema = _completed(made, open_to_all=open_to_all)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def _problems(kinds: Iterable[str]) -> dict[int | str, dict[str, Any]]:
    always = ("malformed", "invalid", "too-many-requests")
    given = dict.fromkeys((*always, *kinds))
    if "too-large" in given:  # a body can also be too slow
        given["too-slow"] = None
    found: dict[int | str, dict[str, Any]] = {}
    for kind in given:
        status, title = PROBLEM_TYPES[kind]
        before = found.get(status)
        text = f"{before['description']}; or: {title}" if before else title
        schema = {"$ref": _REF + "ProblemDocument"}
        found[status] = {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
    return found


def _completed(made: dict[str, Any], *, open_to_all: bool) -> dict[str, Any]:
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for models, mode in ((_BODIES, "validation"), (ANSWERS, "serialization")):
        _, found = models_json_schema(
            [(model, mode) for model in models],  # type: ignore[misc]  # a literal, seen as str
            ref_template=_REF + "{model}",
        )
        schemas.update(found["$defs"])
    for operations in made["paths"].values():
        for operation in operations.values():
            operation["summary"] = _first_sentence(operation["description"])
    for model in (UploadSearch, ImageFields):
        schemas[f"{model.__name__}Form"] = _form(schemas[model.__name__])
    if not open_to_all:
        made["components"]["securitySchemes"] = _SECURITY
        made["security"] = [{"bearer": []}, {"key": []}]
    return made


def _first_sentence(description: str) -> str:
    """A route's docstring says it better than the name of its function, which FastAPI takes."""
    return " ".join(description.split()).partition(". ")[0].removesuffix(".")


def _form(schema: dict[str, Any]) -> dict[str, Any]:
    """The multipart form of a model: nested values travel as text."""
    fields = {name: dict(field) for name, field in schema["properties"].items()}
    for name in ("attributes", "location"):
        if name in fields:
            fields[name] = {**_TEXT_OF_JSON, "description": fields[name].get("description", "")}
    if "crop" in fields:
        number = r"(0|1|0?\.[0-9]{1,6})"
        fields["crop"] = {
            "type": "string",
            "pattern": f"^{number},{number},{number},{number}$",
            "description": "`x,y,w,h`: a part of the picture, as fractions from the top left.",
        }
    picture = {"type": "string", "format": "binary", "description": "The picture."}
    return {
        "type": "object",
        "required": ["image"],
        "additionalProperties": False,
        "properties": {"image": picture, **fields},
    }
