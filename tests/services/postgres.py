"""A real PostgreSQL server for tests: made in a temporary folder, gone afterwards.

It listens on a Unix socket only and ends with the process that started it.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from tests.services.postgres_programs import copied, packaged_programs, system_programs

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


@contextmanager
def running_postgres(programs: Path) -> Generator[Postgres]:
    """Start the server whose programs are in that folder; stop it when the block ends."""
    # Not pytest's folder: that is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="zl-postgres-"))
    try:
        as_user = _unprivileged(folder)
        programs = _within_reach(programs, as_user, folder)
        _initialise(programs, as_user, folder)
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(*as_user, "--pdeathsig", "INT", programs / "postgres"),
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
            server.send_signal(signal.SIGINT)
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


def _within_reach(programs: Path, as_user: list[str], folder: Path) -> Path:
    """Programs that the server's user can run: those, or a copy below `folder`.

    Root's own checkout, and the packaged programs in it, are often closed to others.
    """
    # By a shell: setpriv itself still has root's rights when it starts a program.
    version = [*as_user, "sh", "-c", 'exec "$0" --version', programs / "initdb"]
    if subprocess.run(version, check=False, capture_output=True, cwd=folder).returncode == 0:
        return programs
    return copied(programs, folder / "programs")


def _initialise(programs: Path, as_user: list[str], folder: Path) -> None:
    done = subprocess.run(
        [
            *(*as_user, programs / "initdb", "-D", folder / "data", "-U", USER),
            *("-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync"),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, f"{programs}/initdb failed: {done.stdout}{done.stderr}"


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
    """One PostgreSQL server for all tests of the session: the system's, else the packaged one."""
    with running_postgres(system_programs() or packaged_programs()) as server:
        yield server
