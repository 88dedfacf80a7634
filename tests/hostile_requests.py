"""Requests that are nearly right, by route: fields, headers and forms by which parsers fall."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from sightline.engine.search_ids import IssuedSearch, SearchIds
from tests.api_parts import SECRET, picture
from tests.generated_requests import POOL
from tests.raw_requests import RawRequest

SMALL = picture(1, size=(8, 8))
SEARCH_ID = SearchIds(SECRET).issue(
    IssuedSearch(issued_at=datetime.now(UTC), actor_id="ann", anchor_id="i0", variant="default")
)
NASTY_JSON = [
    *b"null true false 0 -1 1.5 1e400 -1e400 NaN Infinity -0.0 9007199254740993".split(),
    *b'[] {} [null] [[]] "" "\\ud800" "\\u0000" "i0" "\xc3\xa9" "\xff" "1" "nan"'.split(),
    *(b'[1,"a"]', b'{"a":{"a":[]}}', b'{"":""}'),
    *(b"1" + b"0" * 400, b"1" + b"0" * 5000, b"[" * 300 + b"]" * 300, b'"' + b"x" * 300 + b'"'),
]
"""Values by which parsers fall."""
GOOD: dict[bytes, list[bytes]] = {
    b"image_id": [b'"i0"', b'"private-1"', b'"nobody"'],
    b"limit": [b"3", b"100"],
    b"tags_any": [b'["a"]'],
    b"tags_all": [b'["a","b"]'],
    b"tags_none": [b"[]"],
    b"exact": [b"true"],
    b"near_duplicates": [b'"keep"'],
    b"session_id": [b'"s"'],
    b"user_id": [b'"u\\u0000"'],
    b"location": [b'{"country":"DE"}'],
    b"crop": [b'"0,0,1,1"'],
    b"store_query": [b"false"],
    b"visibility": [b'"public"', b'"private"'],
    b"moderation": [b'"blocked"'],
    b"tags": [b'["a"]'],
    b"owner_id": [b'"shop"', b"null"],
    b"group_id": [b'"g"', b"null"],
    b"attributes": [b'{"a":1}', b'{"a":100000000000000000000000}', b'{"a":"\\u0000"}'],
    b"version": [b"1", b"9", b"9007199254740991"],
    b"search_id": [json.dumps(SEARCH_ID).encode()],
    b"items": [b'[{"event_id":"e","kind":"clicked","image_id":"i0"}]', b'[{"event_id":1}]'],
    b"anchor_id": [b'"i0"', b'"q-1"'],
    b"grade": [b"5"],
    b"judge": [b'"anna"'],
}
"""Fields that some route knows, with values that it takes."""
WANTED = {
    "/v1/search": (b"image_id", b"limit"),
    "/v1/interactions": (b"search_id", b"items"),
    "/v1/judgements": (b"anchor_id", b"image_id", b"grade", b"judge"),
    "/v1/images/{image_id}": (b"tags", b"version", b"attributes"),
    "/v1/pools/{pool}/sheet": (b"judge",),
}
NAMES = st.sampled_from([*GOOD, b"image", b"", b"\xff", b"limt"])
NASTY = st.sampled_from(NASTY_JSON)


def _seldom(draw: st.DrawFn, one_in: int = 8) -> bool:
    return draw(st.integers(1, one_in)) == one_in


@st.composite
def _fields(draw: st.DrawFn, path: str) -> list[tuple[bytes, bytes]]:
    """What the route wants, seldom spoilt, and seldom what it does not want."""
    names = [name for name in WANTED.get(path, ()) if not _seldom(draw)]
    names += draw(st.lists(NAMES, max_size=2)) if _seldom(draw, 3) else []
    return [
        (name, draw(NASTY if name not in GOOD or _seldom(draw) else st.sampled_from(GOOD[name])))
        for name in names
    ]


@st.composite
def _json(draw: st.DrawFn, path: str) -> tuple[bytes, bytes]:
    """Content type and body."""
    pairs = (b'"' + name + b'":' + value for name, value in draw(_fields(path)))
    body = b"{" + b",".join(pairs) + b"}"
    if _seldom(draw):
        body = draw(NASTY | st.binary(max_size=20))
    return draw(
        st.sampled_from([b"application/json", b"text/plain", b"Application/JSON; x=\xff"])
    ), body


CHARSETS = st.sampled_from(
    [
        b"",
        b"; charset=utf-8",
        b"; charset=idna",
        b"; charset=punycode",
        b"; charset=undefined",
        b"; charset=hex",
        b"; charset=utf-16",
        b"; charset=unicode_escape",
        b"; charset=\xff",
        b'; charset="',
        b"; boundary=c",
        b";;=",
    ]
)
DISPOSITIONS = st.sampled_from(
    [b'form-data; name="%s"', b'form-data; name="%s"; filename="p.jpg"', b"form-data; name=%s",
     b'form-data; name="%s"; filename="\xff\x00"', b'form-data; name*=utf-16\'\'%s', b"form-data",
     b'form-data; name="%s"; filename*=idna\'\'%%ff', b'attachment; name="%s"', b"%s"]
)  # fmt: skip


PART_HEADERS = st.sampled_from([b"\r\nContent-Type: \xff", b"\r\nX", b"\r\n: "])


@st.composite
def _form(draw: st.DrawFn, path: str) -> tuple[bytes, bytes]:
    """Content type and body."""
    picture = draw(st.binary(max_size=9) | st.just(SMALL[:50])) if _seldom(draw) else SMALL
    parts = [b'Content-Disposition: form-data; name="image"; filename="p"\r\n\r\n' + picture]
    for name, value in draw(_fields(path)):
        if name in WANTED["/v1/search"] and not _seldom(draw):
            continue
        how = draw(DISPOSITIONS) if _seldom(draw) else b'form-data; name="%s"'
        said = how % name if b"%s" in how else how
        more = draw(PART_HEADERS) if _seldom(draw) else b""
        parts.append(b"Content-Disposition: " + said + more + b"\r\n\r\n" + value.strip(b'"'))
    body = b"".join(b"--b\r\n" + one + b"\r\n" for one in parts)
    body += draw(st.sampled_from([b"--b", b""])) if _seldom(draw) else b"--b--\r\n"
    charset = draw(CHARSETS) if _seldom(draw, 4) else b""
    return b"multipart/form-data; boundary=b" + charset, body


@st.composite
def _body(draw: st.DrawFn, method: str, path: str) -> tuple[bytes | None, bytes]:
    junk = st.tuples(
        st.none()
        | st.sampled_from([b"", b"\xff", b"multipart/form-data", b"multipart/form-data; boundary=",
                           b"multipart/form-data; boundary=" + b"b" * 300, b"image/jpeg",
                           b"application/merge-patch+json"]),
        st.binary(max_size=30) | NASTY,
    )  # fmt: skip
    if _seldom(draw):
        return draw(junk)
    takes_forms = path == "/v1/images" or (method == "PUT" and not _seldom(draw))
    return draw(_form(path) if takes_forms or draw(st.booleans()) else _json(path))


HEADERS: dict[bytes, list[bytes]] = {
    b"host": [b"localhost", b"[", b"[::", b"\xff", b"a:b", b"a@b", b"", b"x:99999999", b"[::1]:80"],
    b"if-match": [
        b"*",
        b'"1"',
        b'W/"1"',
        b'"1", "2"',
        b'"',
        b'"\xff"',
        b'"' + b"9" * 99 + b'"',
        b"*, *",
    ],
    b"if-none-match": [b"*", b'"x"', b'W/"1"', b"\xff"],
    b"authorization": [b"Bearer", b"Bearer \xff", b"Basic x", b"", b"bearer admin"],
    b"x-api-key": [b"", b"\xff\xfe", b"nobody"],
    b"traceparent": [b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01", b"\xff", b"00-x", b"-"],
    b"origin": [b"null", b"http://[", b"\xff", b"https://a.example"],
    b"access-control-request-method": [b"PUT", b"\xff", b""],
    b"access-control-request-headers": [b"x-api-key", b"\xff", b""],
    b"content-length": [b"0", b"-1", b"\xb2", b"9" * 30, b"1e3", b""],
    b"x-topic": [b"images.v1", b"\xff"],
    b"accept": [b"\xff", b"*/*;q=nan"],
    b"range": [b"bytes=0-0", b"bytes=-"],
    b"cookie": [b"\xff=\xff"],
    b"x-forwarded-for": [b"\xff", b"1.2.3.4"],
}
HEADER = st.one_of(
    [st.tuples(st.just(name), st.sampled_from(values)) for name, values in HEADERS.items()]
)
KEY = st.sampled_from([b"admin", b"admin", b"writer", b"rival", b"searcher"])
QUERY = st.lists(
    st.tuples(
        st.sampled_from(["wait", "timeout_s", "version", "period", "since", "until", "limit", "x"]),
        st.sampled_from(
            [
                "searchable",
                "0",
                "-1",
                "nan",
                "inf",
                "1e999",
                "",
                "9" * 400,
                "day",
                "true",
                "\ud800",
                "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59-14:00",
                "2026-02-30",
                "\x00",
                "1_0",
                "2026-01-01T00:00:00Z",
                "٣",
                "[]",
            ]
        ),
    ),
    max_size=3,
).map(lambda some: urlencode([("timeout_s", "0"), *some], errors="surrogatepass").encode())
IDS = st.sampled_from(
    ["i0", "i1", "private-1", "blocked-1", "deleted-1", "nobody", "new-1", "~", ".."]
)
ANY_ID = IDS | st.text(max_size=6).map(lambda text: quote(text, safe=""))
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "x"]


@st.composite
def requests(draw: st.DrawFn, operations: list[tuple[str, str]]) -> RawRequest:
    """A request that a server would let by, to a route or near one."""
    method, path = draw(st.sampled_from(operations))
    kind, body = draw(_body(method, path))
    headers = [] if _seldom(draw, 20) else [(b"x-api-key", draw(KEY))]
    headers += draw(st.lists(HEADER, max_size=3))
    headers += [] if kind is None else [(b"content-type", kind)]
    cut = draw(st.integers(0, len(body)))
    return RawRequest(
        method=draw(st.sampled_from(METHODS)) if _seldom(draw, 20) else method,
        path=path.replace("{image_id}", draw(ANY_ID if _seldom(draw) else IDS)).replace(
            "{pool}", draw(st.sampled_from([POOL, "none"]))
        ),
        query=draw(QUERY) if _seldom(draw, 3) else b"timeout_s=0",
        headers=tuple(headers),
        body=(body[:cut], body[cut:]),
        whole=not _seldom(draw),
    )
