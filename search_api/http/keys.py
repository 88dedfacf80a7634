"""A request's API key in, its caller out: who asks, and what they may do (docs/api.md)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from urllib.parse import urlsplit

from fastapi import Request

from sightline.engine.errors import SettingsInvalid
from sightline.engine.settings import ApiKey, ApiSettings, Scope
from sightline.engine.vector_index.visible import Caller
from sightline.search_api.http.addresses import counted_as
from sightline.search_api.http.problems import Problem

_LOCAL = Caller(scopes=frozenset(Scope), key="local")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOLD_DIGITS = 8
_OF_PROXIES = ("forwarded", "x-forwarded-for")


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One configured key: the caller that it makes, and what it is called."""

    caller: Caller
    name: str
    """The key's name in the settings, which all its hashes share."""
    digits: str
    """The first of its hash: tells an old key from its successor."""

    @property
    def bucket(self) -> str:
        """What the rate limit counts by: a key and its successor are one caller."""
        return f"key:{self.name}"

    @property
    def operator(self) -> bool:
        """Whether the key has the scope `admin`, which allows everything."""
        return Scope.ADMIN in self.caller.scopes


class KeyRing:
    """The configured keys; without any, everything is allowed, from this machine only.

    Raises:
        SettingsInvalid: no keys and an address that others can reach, a `write` key that names no
            owner (it would see every image that has none), or a name or a hash that two keys have.
    """

    def __init__(self, settings: ApiSettings) -> None:
        refuse_open_binding(settings)
        self._keys = _by_hash(settings.keys)
        self._origins = frozenset(settings.cors_origins)

    @property
    def open(self) -> bool:
        """Whether the API answers without a key, since none is configured."""
        return not self._keys

    def caller(self, request: Request, known: KnownKey | None) -> Caller:
        """Who asks, with the key that `known` found.

        Raises:
            Problem: 401 without a valid key; 403 where no key is needed but the request comes from
                another machine, or from a page of another site in this machine's browser.
        """
        if self._keys:
            if known is None:
                raise _unauthorized()
            return known.caller
        self._refuse_strangers(request)
        return _LOCAL

    def tried(self, request: Request) -> bool:
        """Whether a request shows a key, where some are configured."""
        return bool(self._keys) and _presented(request) is not None

    def known(self, request: Request) -> KnownKey | None:
        """The configured key that a request shows; None: it shows none."""
        presented = _presented(request)
        if presented is None or not self._keys:
            return None
        # Hashing first makes the look-up's timing say nothing about the key.
        return self._keys.get(sha256(presented.encode("utf-8", "surrogatepass")).hexdigest())

    def _refuse_strangers(self, request: Request) -> None:
        if any(name in request.headers for name in _OF_PROXIES):
            # Behind one on this machine, every stranger seems to be here.
            raise Problem("forbidden", "without API keys no proxy may pass requests on")
        if request.client is not None and not is_loopback(request.client.host):
            raise Problem("forbidden", "without API keys only this machine may ask")
        if not is_loopback(request.url.hostname or ""):
            raise Problem("forbidden", "without API keys, use a loopback address in the URL")
        origin = request.headers.get("origin")
        if origin is None or origin in self._origins:
            return
        if _place(origin) != request.url.netloc:
            raise Problem("forbidden", "pages of other sites may not ask")


def bucket(request: Request, known: KnownKey | None) -> str:
    """Whose rate limit a request counts against: its key's, else that of its address."""
    if known is not None:
        return known.bucket
    return f"address:{counted_as(request.client.host if request.client else 'unknown')}"


def refuse_open_binding(settings: ApiSettings) -> None:
    """Without keys, bind to loopback or not at all.

    Raises:
        SettingsInvalid: says what to set.
    """
    if not settings.keys and not is_loopback(settings.host):
        raise SettingsInvalid(
            f"api.host is {settings.host} but api.keys is empty: "
            "configure a key, or bind to 127.0.0.1"
        )


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself; `test` clients have no address."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def has_scope(caller: Caller, scope: Scope) -> bool:
    """Whether the caller has the scope, or is an admin."""
    return not caller.scopes.isdisjoint({scope, Scope.ADMIN})


def require(caller: Caller, scope: Scope) -> None:
    """The caller has the scope, or is an admin.

    Raises:
        Problem: 403, naming the scope.
    """
    if not has_scope(caller, scope):
        raise Problem("forbidden", f"this needs a key with the scope `{scope}`")


def _by_hash(keys: Iterable[ApiKey]) -> dict[str, KnownKey]:
    known, names = dict[str, KnownKey](), set[str]()
    for key in keys:
        name = key.name or key.sha256[:_TOLD_DIGITS]
        if name in names:
            raise SettingsInvalid(f"two api keys are named {name}: use also_sha256 for a successor")
        names.add(name)
        caller = _caller(key, name)
        for digest in (key.sha256, *key.also_sha256):
            if digest in known:
                raise SettingsInvalid(f"api key {name} has a hash that is there already: remove it")
            known[digest] = KnownKey(caller, name, digest[:_TOLD_DIGITS])
    return known


def _caller(key: ApiKey, name: str) -> Caller:
    if Scope.WRITE in key.scopes and Scope.ADMIN not in key.scopes and key.owner_id is None:
        raise SettingsInvalid(f"api key {name} has scope write but no owner_id: give it one")
    return Caller(scopes=frozenset(key.scopes), owner_id=key.owner_id, key=_called(key))


def _called(key: ApiKey) -> str:
    """Its name where that can be a part of an id."""
    return key.name if _NAME.fullmatch(key.name) else key.sha256[:_TOLD_DIGITS]


def _presented(request: Request) -> str | None:
    direct = _all_of(request, "x-api-key")
    if direct:
        return direct
    scheme, _, token = _all_of(request, "authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _all_of(request: Request, name: str) -> str:
    """A header's lines as one (RFC 9110, 5.3): of two keys a proxy may have believed the other."""
    return ", ".join(dict.fromkeys(request.headers.getlist(name)))


def _place(origin: str) -> str | None:
    """Host and port of an origin; None: it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def _unauthorized() -> Problem:
    return Problem(
        "unauthorized",
        "send a valid key as `Authorization: Bearer …` or `X-API-Key: …`",
        headers={"WWW-Authenticate": 'Bearer realm="sightline"'},
    )
