"""A real PostgreSQL server for tests: made in a temporary folder, gone afterwards.

It listens on a Unix socket only and ends with the process that started it.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

START_S = 60.0
USER = "zeroloop"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server."""

    folder: Path

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.url(name)


def binary_folder() -> Path | None:
    """Where `initdb` and `postgres` are: on the path, or where Debian puts them."""
    if on_path := shutil.which("initdb"):
        return Path(on_path).resolve().parent
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4])
    )
    return found[-1].parent if found else None


@contextmanager
def running_postgres() -> Generator[Postgres]:
    """Start a server and stop it when the block ends."""
    binaries = binary_folder()
    assert binaries is not None, "no PostgreSQL: apt-get install postgresql"
    # Not pytest's folder: that is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="zl-postgres-"))
    as_user = _unprivileged(folder)
    try:
        subprocess.run(
            [
                *(*as_user, binaries / "initdb", "-D", folder / "data", "-U", USER),
                *("-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync"),
            ],
            check=True,
            capture_output=True,
            cwd=folder,
        )
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(*as_user, "--pdeathsig", "INT", binaries / "postgres"),
                    *("-D", folder / "data", "-k", folder),
                    *("-c", "listen_addresses=", "-c", "fsync=off"),
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
            )
        try:
            postgres = Postgres(folder)
            _wait_until_it_answers(postgres, server)
            yield postgres
        finally:
            server.send_signal(2)
            server.wait(timeout=START_S)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> list[str]:
    """The command in front of PostgreSQL's own, which refuses to be run by root."""
    if os.geteuid() != 0:
        return ["setpriv"]
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]


def _wait_until_it_answers(postgres: Postgres, server: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + START_S
    while True:
        try:
            psycopg.connect(postgres.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            log = (postgres.folder / "log").read_text()
            assert server.poll() is None, f"PostgreSQL ended: {log}"
            assert time.monotonic() < until_s, f"PostgreSQL does not answer: {log}"
            time.sleep(0.05)
        else:
            return


@pytest.fixture(scope="session")
def postgres() -> Generator[Postgres]:
    """One PostgreSQL server for all tests of the session; skips where there is none."""
    if binary_folder() is None and not os.environ.get("CI"):
        pytest.skip("no PostgreSQL here: apt-get install postgresql")
    with running_postgres() as server:
        yield server
