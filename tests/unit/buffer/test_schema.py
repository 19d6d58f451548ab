"""The database: its history, what it refuses, and how it says so."""

import os
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select

from services.buffer import migrate
from services.buffer.database import Database, open_database
from services.buffer.schema import VERSION, metadata
from zeroloop.errors import ConfigError, CorruptDataError


def database_at(url: str) -> Database:
    return open_database(url, connections=2, busy_timeout_s=1, synchronous="NORMAL")


def differences(connection: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


async def test_migrating_from_empty_makes_the_tables_of_the_schema(tmp_path: Path) -> None:
    database = database_at(f"sqlite:///{tmp_path}/b.db")
    try:
        await migrate.prepare_schema(database, upgrade=True)
        await migrate.prepare_schema(database, upgrade=False)

        async with database.writing() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await database.close()


async def test_an_older_database_keeps_its_tasks_and_gains_what_they_build_on(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/b.db"
    config = Config()
    config.set_main_option("script_location", str(migrate.FOLDER))
    old = database_at(url)
    async with old.writing() as connection:
        await connection.run_sync(partial(upgrade_to, config, "0001"))
        await connection.exec_driver_sql(
            "INSERT INTO runs VALUES ('r', 1, 0, 0.0);",
        )
        await connection.exec_driver_sql(
            "INSERT INTO tasks (task_id, run, sequence, domain, kind, program, imports, cases,"
            " message, shown, thought, round, proposed_by_weights, reference_task_ids, validator,"
            " image_digest, origin, admitted_at_s) VALUES ('r-0', 'r', 0, 'code', 'deduction',"
            " 'p', '[]', '[]', '\"\"', 0, x'', 0, 0, '[]', '', '', 'zero', 0.0)"
        )
    try:
        await migrate.prepare_schema(old, upgrade=True)
        async with old.reading() as connection:
            (row,) = (await connection.execute(select(metadata.tables["tasks"]))).all()
        assert (row.program, row.composites, row.composite_task_ids) == ("p", [], [])
    finally:
        await old.close()


def upgrade_to(config: Config, version: str, connection: Connection) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, version)


def test_the_schema_is_the_newest_step() -> None:
    assert ScriptDirectory(migrate.FOLDER).get_current_head() == VERSION


async def test_an_older_schema_is_only_migrated_if_that_is_allowed(tmp_path: Path) -> None:
    database = database_at(f"sqlite:///{tmp_path}/b.db")
    try:
        with pytest.raises(ConfigError, match="has schema none, but this service needs"):
            await migrate.prepare_schema(database, upgrade=False)
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        pytest.param("mysql://x/y", "must start with sqlite:/// or", id="another database"),
        pytest.param("nonsense", "database_url", id="not a URL"),
        pytest.param("sqlite://", "needs a file", id="no file"),
        pytest.param("sqlite:///no/such/b.db", "cannot open no/such/b.db", id="no folder"),
    ],
)
def test_a_url_that_cannot_work_is_refused(url: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        database_at(url)


async def test_a_file_that_is_no_database_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "b.db").write_text("not a database at all " * 100)
    database = database_at(f"sqlite:///{tmp_path}/b.db")
    try:
        with pytest.raises(CorruptDataError, match=r"b.db is damaged: file is not a database"):
            await migrate.prepare_schema(database, upgrade=True)
    finally:
        await database.close()


async def test_nobody_writes_through_a_reading_transaction(tmp_path: Path) -> None:
    database = database_at(f"sqlite:///{tmp_path}/b.db")
    try:
        await migrate.prepare_schema(database, upgrade=True)
        with pytest.raises(Exception, match="readonly"):
            async with database.reading() as connection:
                await connection.exec_driver_sql("DELETE FROM runs")
        with sqlite3.connect(tmp_path / "b.db") as other:
            other.execute("SELECT * FROM runs")
    finally:
        await database.close()


def test_a_password_is_never_named() -> None:
    database = database_at("postgresql://user:secret@host:1/name")

    assert database.name == "postgresql://user:***@host:1/name"


def test_the_upgrade_before_an_upgrade_is_a_command(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/buffer.db"
    command = [sys.executable, "-m", "services.buffer.migrate"]
    environment = {**os.environ, "ZEROLOOP_BUFFER__DATABASE_URL": url}
    for _ in range(2):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert f"has schema {VERSION}" in done.stdout
    with sqlite3.connect(tmp_path / "buffer.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 64
    assert "newer than this service's" in refused.stderr
