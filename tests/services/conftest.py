"""Fixtures that several service tests share."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.services.buffer_server import RunningBuffer, running_buffer
from tests.services.postgres import postgres as postgres


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
