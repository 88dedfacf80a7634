"""What an S3 server answers, mapped to our errors: is it about this object, or about the store?"""

from __future__ import annotations

from http import HTTPStatus
from xml.etree.ElementTree import ParseError

import urllib3
from minio.error import MinioException, S3Error, ServerError

from sightline.engine.errors import (
    Conflict,
    ObjectDenied,
    ObjectMissing,
    ObjectRefused,
    Part,
    PartUnavailable,
    SightlineError,
)

VENDOR_ERRORS = (MinioException, urllib3.exceptions.HTTPError, OSError, ValueError, ParseError)
"""`ValueError`: what minio says of a bucket or key that S3 could not hold, such as `a/../b`;
`ParseError`: of an answer that is cut off."""

_MISSING = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchObject", "NoSuchVersion"})
_LOST = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})
_CLOSED = frozenset({"AccessDenied", "AllAccessDisabled"})
_DENIED = _CLOSED | {"PermanentRedirect"}
"""The last: the bucket lies in another region, so this endpoint shows nothing of it."""
_VAGUE = _CLOSED | {"BadRequest"}
"""What minio-py makes of a 403 or 400 whose answer has no body."""
_ARCHIVED = "InvalidObjectState"
_IMPOSSIBLE_NAMES = frozenset(
    {
        "InvalidBucketName",
        "InvalidURI",
        "KeyTooLongError",
        "XMinioInvalidObjectName",
        "XMinioInvalidResourceName",
    }
)
_OF_OUR_KEYS = frozenset(
    {"InvalidAccessKeyId", "InvalidSecurity", "NotSignedUp", "SignatureDoesNotMatch"}
)
"""Answers 403 that say nothing of the object, beside those below."""
_OF_THE_STORE = frozenset(
    {
        "AccountProblem",
        "AuthorizationHeaderMalformed",
        "AuthorizationQueryParametersError",
        "ExpiredToken",
        "InvalidToken",
        "OperationAborted",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "RequestTimeout",
        "SlowDown",
        "TokenRefreshRequired",
    }
)
"""Answers 400 to 409 that say nothing of the object: wrong clocks, old tokens, too much to do."""
_ABOUT_THE_OBJECT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.GONE,
        HTTPStatus.PRECONDITION_FAILED,
        HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS,
    }
)
"""403 is not among them: it is about what we may do, unless its code says "archived"."""
_OF_A_KEY_SERVICE = "KMS."
"""What the object is sealed with: whoever stores an object names the key, and may disable it."""
_PASSING = ("Throttling", "LimitExceeded", "Internal", "Timeout", "Unavailable")
"""What a key service says of itself, not of a key."""


def error_of(
    error: Exception, doing: str, asked: tuple[str, str], *, own_bucket: str
) -> SightlineError:
    """The one place where the vendor's errors become ours.

    Args:
        error: one of `VENDOR_ERRORS`.
        doing: the name of the call; only a read can be refused because of the object's own state.
        asked: bucket and key (or prefix); an answer does not always name them.
        own_bucket: ours; if even that is closed to us, the store as a whole is.
    """
    if isinstance(error, S3Error):
        return _answer(error, doing, asked, own_bucket)
    if isinstance(error, ValueError) and not isinstance(error, MinioException):
        return ObjectRefused(f"{doing}: no object can have that name: {error}")
    if isinstance(error, ServerError):
        return PartUnavailable(Part.STORE, f"{doing}: HTTP {error.status_code}")
    if isinstance(error, urllib3.exceptions.DecodeError):
        # Whoever stores an object says its encoding, too.
        return ObjectRefused(f"{doing}: its bytes are not packed as it says: {error}")
    return PartUnavailable(Part.STORE, f"{doing}: {type(error).__name__}")


def is_vague(error: S3Error | ServerError | ValueError) -> bool:
    """Whether an answer of 400 to 499 came without the code that tells object and store apart.

    Of a 409 without a body, minio-py makes a `ValueError`, as of a name that cannot be.
    """
    if isinstance(error, ValueError):
        return True
    if isinstance(error, ServerError):
        return error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    return error.code in _VAGUE


def _answer(error: S3Error, doing: str, asked: tuple[str, str], own_bucket: str) -> SightlineError:
    place = "/".join(asked)
    writes = doing.startswith(("put", "delete", "ensure"))
    if error.code in _MISSING and not writes:
        return ObjectMissing(f"{place}: {error.code}")
    if error.code in _LOST and writes:
        return Conflict(f"{place} is no longer what was read")
    if error.code in _IMPOSSIBLE_NAMES or (not writes and _is_refusal(error)):
        return ObjectRefused(f"{place}: {error.code}")
    if _is_denial(error) and not writes and asked[0] != own_bucket:
        return ObjectDenied(f"{doing} {place}: {error.code}")
    return PartUnavailable(Part.STORE, f"{doing} {place}: {error.code}")


def _is_denial(error: S3Error) -> bool:
    """Whether it is about what our credentials may read, whatever the server calls it.

    A key of encryption that is closed to us is such a door too: somebody may enable it again.
    """
    code = error.code or ""
    if code.startswith(_OF_A_KEY_SERVICE):
        passing = any(word in code for word in _PASSING)
        return error.response.status < HTTPStatus.INTERNAL_SERVER_ERROR and not passing
    others = code in _OF_OUR_KEYS | _OF_THE_STORE
    return code in _DENIED or (error.response.status == HTTPStatus.FORBIDDEN and not others)


def _is_refusal(error: S3Error) -> bool:
    """Whether a read can never work, although the store does."""
    if error.code == _ARCHIVED:
        return True
    if error.code in _OF_THE_STORE or (error.code or "").startswith(_OF_A_KEY_SERVICE):
        return False
    return error.response.status in _ABOUT_THE_OBJECT
