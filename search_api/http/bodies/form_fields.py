"""A form's texts in, JSON of a request model's fields out: each text gets its field's type."""

from __future__ import annotations

import json
import re

from sightline.schemas import strict_json
from sightline.schemas.fields import MAX_ATTRIBUTES_DEPTH, is_deeper_than
from sightline.search_api.http.bodies.form_reading import MAX_TOLD_CHARS, PICTURE, Form
from sightline.search_api.http.problems import Problem, invalid
from sightline.search_api.http.request_fields import RequestModel
from sightline.search_api.http.validation_words import WORDS

_LISTS = frozenset({"tags", "tags_any", "tags_all", "tags_none"})
_INTEGERS = frozenset({"limit", "version"})
_BOOLEANS = frozenset({"exact", "store_query"})
_DOCUMENTS = frozenset({"attributes", "location"})
_BOX_SIDES = ("x", "y", "w", "h")
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r" *(?:[0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})(?:[eE]-?[0-9]{1,3})? *")


def json_of_form(form: Form, model: type[RequestModel]) -> bytes:
    """The form's fields as one JSON object, for `model` to check.

    Raises:
        Problem: 422, naming a field that is unknown, given twice, a file, or of no such type.
    """
    for head in form.files:
        if head.name != PICTURE:
            raise _no_file(head.name, model)
    given: list[str] = []
    for name, texts in form.texts.items():
        if name == PICTURE:
            continue
        if name not in model.model_fields:
            raise _unknown(name, WORDS["extra_forbidden"], model.HINTS.get(name))
        given.append(f"{json.dumps(name)}:{_value(name, texts)}")
    return ("{" + ",".join(given) + "}").encode()


def _no_file(name: str, model: type[RequestModel]) -> Problem:
    if name in model.model_fields:
        return invalid(name, f"{name} must be text, not a file")
    return _unknown(name, "unknown part", "the picture goes in `image`")


def _unknown(name: str, detail: str, hint: str | None) -> Problem:
    told = name[:MAX_TOLD_CHARS]
    return invalid(told, f"{told}: {detail}" + (f"; {hint}" if hint else ""))


def _value(name: str, texts: list[str]) -> str:
    """Writes the texts of one field as the JSON of its type."""
    if name in _LISTS:
        return json.dumps(texts)
    if len(texts) > 1:
        raise invalid(name, f"{name} is given more than once")
    text = texts[0]
    if name == "crop":
        return _box(text)
    if name in _INTEGERS:
        return _integer(name, text)
    if name in _BOOLEANS and text.lower() in ("true", "false"):
        return text.lower()
    return _document(name, text) if name in _DOCUMENTS else json.dumps(text)


def _integer(name: str, text: str) -> str:
    if _WHOLE_NUMBER.fullmatch(text) is None:
        raise invalid(name, f"{name} must be a whole number")
    return str(int(text))


def _box(text: str) -> str:
    sides = text.split(",")
    numbers = [float(side) for side in sides if _NUMBER.fullmatch(side)]
    if len(sides) != len(_BOX_SIDES) or len(numbers) < len(sides) or max(numbers) > 1:
        raise invalid("crop", "crop is `x,y,w,h`, four fractions of the picture from 0 to 1")
    return json.dumps(dict(zip(_BOX_SIDES, numbers, strict=True)))


def _document(name: str, text: str) -> str:
    """The same text, if it is JSON: so no number changes on the way."""
    try:
        said = strict_json.loads(text)
    except strict_json.DoubledKey as error:
        raise invalid(name, f"{name}: {error.key[:MAX_TOLD_CHARS]} is given twice") from None
    except ValueError:
        raise invalid(name, f"{name} must be JSON") from None
    if is_deeper_than(said, MAX_ATTRIBUTES_DEPTH):
        raise invalid(name, f"{name} nests deeper than {MAX_ATTRIBUTES_DEPTH} levels")
    return text
