"""Fixtures that several service tests share."""

import uuid
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.services.buffer_server import RunningBuffer, running_buffer
from tests.services.postgres import postgres as postgres
from tests.services.s3_server import S3Server, become, running_s3


@pytest.fixture(scope="session")
def buffer_postgres_url(request: pytest.FixtureRequest) -> str:
    """One PostgreSQL database for every test of the buffer; each uses runs of its own."""
    return request.getfixturevalue("postgres").create_database("buffer")


@pytest.fixture(params=["sqlite", "postgresql"])
def buffer_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each kind of database in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/buffer.db"
    return request.getfixturevalue("buffer_postgres_url")


@pytest.fixture
async def buffer(buffer_url: str) -> AsyncGenerator[RunningBuffer]:
    """A running buffer on each kind of database in turn."""
    async with running_buffer(buffer_url) as running:
        yield running


@pytest.fixture(scope="session")
def s3() -> Generator[S3Server]:
    """One server of S3 for every test; each uses buckets of its own."""
    with running_s3() as running:
        yield running


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """URL of an empty bucket, to which this process has every right."""
    become(monkeypatch, s3.environment())
    return s3.make_bucket(f"b-{uuid.uuid4().hex}")
