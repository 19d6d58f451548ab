"""URLs of buckets: which of them can be used here, and what is missing where one cannot."""

from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "oss": "ossfs",
}
"""What makes fsspec speak a protocol; there are more, which fsspec itself knows."""

_NOT_SHARED = {"memory", "local", "data", "http", "https", "hf", "simplecache", "filecache"}
"""Protocols of fsspec to which a version cannot be written, or which one process alone sees."""


def is_url(place: str) -> bool:
    """Whether `place` is a URL of anything but this machine's files."""
    return "://" in place and not place.startswith("file://")


def local_folder(uri: str) -> Path:
    """Return the folder that a path or a file:// URL names."""
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri)


def problem_of(url: str) -> str:
    """Return why weights cannot be kept at `url`, beginning with it; empty if they can.

    Nothing heavy is imported and nobody is called. A password in the URL is not repeated.
    """
    parts = urlsplit(url)
    protocol = parts.scheme
    if "@" in parts.netloc:
        return (
            f"{protocol}://...: a URL must not carry credentials, they would be in every log; "
            "give them by the environment, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or "
            "GOOGLE_APPLICATION_CREDENTIALS"
        )
    if not parts.netloc or parts.query or parts.fragment:
        return f"{url!r} must be PROTOCOL://BUCKET/PREFIX, for instance s3://my-bucket/weights"
    if protocol in _NOT_SHARED or not _known(protocol):
        return (
            f"{url!r}: no store speaks {protocol!r}; use a folder, s3://, gs://, or another "
            "protocol that fsspec writes to and whose package is installed"
        )
    missing = [name for name in ("fsspec", _PACKAGES.get(protocol, "fsspec")) if not _has(name)]
    if missing:
        return f"{url!r} need the package {missing[-1]}: pip install {missing[-1]}"
    return ""


def _known(protocol: str) -> bool:
    if protocol in _PACKAGES or not _has("fsspec"):
        return protocol in _PACKAGES
    from fsspec import available_protocols

    return protocol in available_protocols()


def _has(package: str) -> bool:
    return find_spec(package) is not None
