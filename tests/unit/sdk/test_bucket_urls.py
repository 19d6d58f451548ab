"""Which URLs weights can be kept at, and what the libraries of stores raise, as errors of ours."""

import errno
from pathlib import Path
from typing import Any

import pytest

from zeroloop._bucket_errors import error_of, translated
from zeroloop._bucket_urls import is_url, problem_of
from zeroloop._weights_folder import export_weights
from zeroloop.core.batches import Weights
from zeroloop.errors import (
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
    ZeroloopError,
)
from zeroloop.weights_store import checked_place, open_store


@pytest.mark.parametrize(
    "place", ["", "/runs/r", "runs/r", "file:///runs/r", "s3://b", "s3://b/p/q", "gs://b/p"]
)
def test_places_that_can_be_used(place: str) -> None:
    assert checked_place(place) == place
    assert not is_url(place) or problem_of(place) == ""


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3:///prefix", "must be PROTOCOL://BUCKET/PREFIX"),
        ("s3://bucket/prefix?versionId=3", "must be PROTOCOL://BUCKET/PREFIX"),
        ("memory://bucket", "no store speaks 'memory'"),
        ("https://bucket/prefix", "no store speaks 'https'"),
        ("nfs://server/prefix", "use a folder, s3://, gs://"),
        ("abfs://container/prefix", "need the package adlfs: pip install adlfs"),
        ("s3://key:secret@bucket", "give them by the environment"),
    ],
)
def test_places_that_cannot_be_used(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        checked_place(url)
    with pytest.raises(FailedPreconditionError, match=said):
        open_store(url)
    assert "secret" not in str(caught.value)


def test_an_export_names_the_package_that_is_missing(tmp_path: Path) -> None:
    weights = Weights(run="r", version=3, uri="abfs://container/3", manifest_digest="0" * 64)

    with pytest.raises(FailedPreconditionError, match="pip install adlfs"):
        export_weights(weights, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def client_error(status: int) -> OSError:
    """As s3fs makes one of a status that it does not know."""
    cause: Any = RuntimeError()
    cause.response = {"ResponseMetadata": {"HTTPStatusCode": status}}
    error = OSError(errno.EIO, "An error occurred")
    error.__cause__ = cause
    return error


def of(library: str, name: str, text: str = "it failed", **fields: Any) -> Exception:
    """An error of a library that may not be installed."""
    kind = type(name, (Exception,), {"__module__": library, **fields})
    return kind(text)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("b/p"), NotFoundError),
        (PermissionError("Access Denied"), FailedPreconditionError),
        (client_error(404), NotFoundError),
        (client_error(403), FailedPreconditionError),
        (client_error(400), FailedPreconditionError),
        (client_error(429), UnavailableError),
        (client_error(503), UnavailableError),
        (OSError(errno.EBUSY, "SlowDown"), UnavailableError),
        (OSError(errno.ENOSPC, "No space left on device"), UnavailableError),
        (TimeoutError(), UnavailableError),
        (of("botocore.exceptions", "NoCredentialsError"), FailedPreconditionError),
        (of("botocore.exceptions", "EndpointConnectionError"), UnavailableError),
        (of("google.auth.exceptions", "RefreshError"), FailedPreconditionError),
        (of("google.auth.exceptions", "TransportError"), UnavailableError),
        (of("gcsfs.retry", "HttpError", code=401), FailedPreconditionError),
        (of("gcsfs.retry", "HttpError", code=503), UnavailableError),
        (OSError("Forbidden: b/p\nno storage.objects.get access"), FailedPreconditionError),
        (ValueError("Bad Request: b/p\nInvalid bucket name"), FailedPreconditionError),
        (of("aiohttp.client_exceptions", "ClientConnectorError"), UnavailableError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else repr(value)[:40],
)
def test_errors_of_stores_become_ours(error: Exception, kind: type[ZeroloopError]) -> None:
    found = error_of(error, "s3://b/p")

    assert type(found) is kind
    assert "s3://b/p" in str(found)


@pytest.mark.parametrize("error", [TypeError("a bug"), ValueError("a bug"), KeyError("a bug")])
def test_bugs_stay_bugs(error: Exception) -> None:
    with pytest.raises(type(error)), translated("s3://b/p"):
        raise error


def test_signed_urls_are_not_repeated() -> None:
    error = OSError(errno.EIO, "GET https://host/b/p?X-Amz-Signature=abc&X=1 failed\nin line 2")

    said = str(error_of(error, "s3://b/p"))

    assert "https://host/b/p?... failed in line 2" in said
    assert "abc" not in said
