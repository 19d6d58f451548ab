"""A server of S3 for tests: a program of its own in front of a folder, which ends with its tests.

It checks signatures and policies as S3 does, so that refusals are real ones.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.programs import build, catalog
from zeroloop._bucket import file_system

START_S = 30.0
SECRET = "known-to-tests-alone"
OWNER, READER = "owner", "reader"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server."""

    url: str

    def environment(self, user: str = OWNER, secret: str = SECRET) -> dict[str, str]:
        """What a client reads, by AWS's own names."""
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": user,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }

    @property
    def files(self) -> Any:
        """The owner's view, to look at what is there and to damage it."""
        import s3fs

        login = {"key": OWNER, "secret": SECRET, "endpoint_url": self.url}
        return s3fs.S3FileSystem(**login, use_listings_cache=False)

    def make_bucket(self, name: str) -> str:
        """Make a bucket that READER may only read; return its URL."""
        self.files.mkdir(name)
        allowed: Mapping[str, Any] = {
            "Effect": "Allow",
            "Principal": {"AWS": [READER]},
            "Action": ["s3:GetObject", "s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
        }
        policy = {"Version": "2012-10-17", "Statement": [allowed]}
        self.files.call_s3("put_bucket_policy", Bucket=name, Policy=json.dumps(policy))
        return f"s3://{name}"


def become(patch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    """Make this process one that was started with that environment, as far as S3 goes."""
    for name, value in environment.items():
        patch.setenv(name, value)
    file_system.cache_clear()


@contextmanager
def running_s3(address: str = "127.0.0.1") -> Generator[S3Server]:
    """Start a server without buckets at an address of this machine; stop it when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="zl-s3-"))
    for name in ("objects", "attributes", "users"):
        (folder / name).mkdir()
    port = _free_port(address)
    server = S3Server(f"http://{address}:{port}")
    environment = {**os.environ, "ROOT_ACCESS_KEY": OWNER, "ROOT_SECRET_KEY": SECRET}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", _program(), "--quiet"),
                *("--port", f"{address}:{port}", "--iam-dir", folder / "users"),
                # Not every file system has extended attributes.
                *("posix", "--sidecar", folder / "attributes", folder / "objects"),
            ],
            stdout=log,
            stderr=log,
            env=environment,
        )
    try:
        _wait(process, (address, port), folder / "log")
        _make_reader(server)
        yield server
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _program() -> Path:
    cache = Path(os.environ.get("ZEROLOOP_CACHE") or Path.home() / ".cache" / "zeroloop")
    if build.missing([catalog.S3], cache):
        raise LookupError("no S3 server; run `python -m tests.cluster build versitygw`")
    return build.place(catalog.S3, cache, build.find_go(cache, build.go_minimum([catalog.S3])))


def _make_reader(server: S3Server) -> None:
    subprocess.run(
        [
            *(_program(), "admin", "--endpoint-url", server.url),
            *("--access", OWNER, "--secret", SECRET),
            *("create-user", "--access", READER, "--secret", SECRET, "--role", "user"),
        ],
        check=True,
        capture_output=True,
        timeout=START_S,
    )


def _free_port(address: str) -> int:
    with socket.socket() as found:
        found.bind((address, 0))
        return found.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], address: tuple[str, int], log: Path) -> None:
    give_up_at = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up_at, log.read_text()
            time.sleep(0.05)
