"""The databases of these tests start on any machine: with and without a PostgreSQL of its own."""

import subprocess
from pathlib import Path

import psycopg

from tests.services.postgres import running_postgres
from tests.services.postgres_programs import copied, packaged_programs, system_programs


def program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    found = folder / "initdb"
    found.touch(mode=0o755)
    return folder


def test_a_postgresql_on_the_path_comes_first(tmp_path):
    program(tmp_path / "debian" / "18" / "bin")
    own = program(tmp_path / "own")
    assert system_programs(str(own), tmp_path / "debian") == own


def test_the_newest_of_debians_comes_next(tmp_path):
    for major in ("9.6", "16", "18", "17"):
        program(tmp_path / major / "bin")
    assert system_programs("", tmp_path) == tmp_path / "18" / "bin"


def test_a_machine_may_have_none(tmp_path):
    assert system_programs("", tmp_path) is None


def test_the_packaged_one_answers():
    programs = packaged_programs()
    with running_postgres(programs) as server, psycopg.connect(server.url()) as connection:
        row = connection.execute("SELECT current_setting('server_version_num')").fetchone()
    assert row is not None
    assert int(row[0]) >= 180_000


def test_a_copy_of_it_runs_elsewhere(tmp_path):
    moved = copied(packaged_programs(), tmp_path / "moved")
    said = subprocess.run([moved / "initdb", "--version"], check=True, capture_output=True)
    assert b"PostgreSQL" in said.stdout
    assert moved.is_relative_to(tmp_path)
