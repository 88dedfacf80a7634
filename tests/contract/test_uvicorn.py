"""What `infra/processes/http_connections.py` uses of uvicorn's inside is still there.

uvicorn promises none of it (docs/adr/0014-connections.md). Where this fails after an upgrade, read
`uvicorn/protocols/http/h11_impl.py` beside our subclass before the pin is moved;
`tests/integration/test_http_connections.py` then says whether connections behave.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import tomllib
from importlib.metadata import version

import h11
import pytest
from uvicorn.protocols.http import h11_impl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from sightline.infra.processes.http_connections import BoundedConnection
from tests.conftest import ROOT

PARAMETERS = {
    "__init__": ["self", "config", "server_state", "app_state", "_loop"],
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
    "on_response_complete": ["self"],
    "send_400_response": ["self", "msg"],
    "timeout_keep_alive_handler": ["self"],
    "_unset_keepalive_if_required": ["self"],
}
"""Methods that are called or replaced."""
ATTRIBUTES = {"conn", "cycle", "transport", "loop"}
CYCLE = {"response_complete", "disconnected", "message_event"}


def assigned(cls: type) -> set[str]:
    """Attributes that a class's constructor and methods set on `self`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }


@pytest.mark.parametrize("method", PARAMETERS)
def test_a_method_that_we_call_or_replace_takes_what_it_took(method: str) -> None:
    """Also a new parameter is a change to read about."""
    assert list(inspect.signature(getattr(H11Protocol, method)).parameters) == PARAMETERS[method]


def test_the_attributes_that_we_read_are_set() -> None:
    """On the connection, and on the cycle of a request and its answer."""
    assert assigned(H11Protocol) >= ATTRIBUTES
    assert assigned(RequestResponseCycle) >= CYCLE


def test_our_subclass_uses_nothing_else_of_it() -> None:
    """The lists above are whole: every attribute that is not ours is in them."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(BoundedConnection)))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    ours = set(vars(BoundedConnection)) | assigned(BoundedConnection)
    assert used - ours <= ATTRIBUTES | PARAMETERS.keys()


def test_the_parser_underneath_is_h11() -> None:
    """`conn` is an h11 server connection, whose states we read."""
    assert vars(h11_impl)["h11"] is h11
    assert "h11.Connection(" in inspect.getsource(H11Protocol.__init__)


def test_the_version_is_pinned_and_is_the_installed_one() -> None:
    """A minor version of uvicorn may change its inside; the pin names the one that was read."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [pin] = [one for one in project["optional-dependencies"]["api"] if one.startswith("uvicorn")]
    pinned = pin.removeprefix("uvicorn==").removesuffix("*")
    assert pin.startswith("uvicorn==")
    assert version("uvicorn").startswith(pinned)
