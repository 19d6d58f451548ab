"""What the buffer does when it is killed, the disk is full, the database is not its own."""

import asyncio
import sqlite3
import stat
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from services.buffer.schema import VERSION
from tests.services.buffer_process import buffer_process, command
from tests.services.buffer_server import (
    episode,
    play,
    running_buffer,
    seed,
    stage_records,
    train_oldest,
)
from tests.services.postgres import Postgres
from zeroloop.client.buffer import BufferClient
from zeroloop.client.channel import open_channel
from zeroloop.core.rounds import BATCH_STAGES, Episode, Record, RoundState, Stage, StageSummary
from zeroloop.errors import AuthError, UnavailableError

RUN = "faulty"
EPISODES = 400


def episodes() -> list[Episode]:
    """Some 8 MB, so that storing them takes a while."""
    return [episode(index, tokens=2500) for index in range(EPISODES)]


async def while_it_is_received(folder: Path) -> None:
    del folder
    await asyncio.sleep(0.05)


async def while_it_is_written(folder: Path) -> None:
    """Inside the transaction: pages that do not fit into memory go to the log before its end."""
    while (folder / "buffer.db-wal").stat().st_size < 2_000_000:  # noqa: ASYNC110 -- no event
        await asyncio.sleep(0.001)


async def about_when_it_ends(folder: Path) -> None:
    await while_it_is_written(folder)
    await asyncio.sleep(0.2)


@pytest.mark.parametrize("moment", [while_it_is_received, while_it_is_written, about_when_it_ends])
async def test_a_stage_is_whole_or_absent_after_a_kill(
    tmp_path: Path, moment: Callable[[Path], Awaitable[None]]
) -> None:
    url, records = f"sqlite:///{tmp_path}/buffer.db", episodes()
    summary = StageSummary(stage=Stage.PROPOSE)
    async with buffer_process(url, tmp_path) as buffer:
        await buffer.client.rounds.open(RUN, 0, weights_version=0)
        putting = asyncio.create_task(buffer.client.rounds.put_stage(RUN, 0, summary, records))
        await moment(tmp_path)
        buffer.kill()
        (answer,) = await asyncio.gather(putting, return_exceptions=True)
        assert answer is True or isinstance(answer, UnavailableError)

    async with buffer_process(url, tmp_path) as buffer:
        rounds = buffer.client.rounds
        stored = (await rounds.get(RUN, 0)).stage(Stage.PROPOSE)
        assert stored is None or stored.records == EPISODES
        assert stored is not None or answer is not True
        assert await rounds.put_stage(RUN, 0, summary, records) == (stored is None)
        assert [record async for record in rounds.get_stage(RUN, 0, Stage.PROPOSE)] == records
    assert _count(tmp_path, "episodes") == EPISODES


async def test_a_round_goes_on_at_its_first_missing_stage(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/buffer.db"
    async with buffer_process(url, tmp_path) as buffer:
        await seed(buffer.client, RUN)
        await buffer.client.rounds.open(RUN, 1, weights_version=0)
        for stage in BATCH_STAGES[:3]:
            summary = StageSummary(stage=stage)
            await buffer.client.rounds.put_stage(RUN, 1, summary, stage_records(stage))
        buffer.kill()

    async with buffer_process(url, tmp_path) as buffer:
        stored = await buffer.client.rounds.get(RUN, 1)
        assert [summary.stage for summary in stored.stages] == list(BATCH_STAGES[:3])
        await play(buffer.client, RUN, 1)
        leased = await buffer.client.batches.lease(RUN, "lost", lease_s=1)
        assert leased is not None
        buffer.kill()

    async with buffer_process(url, tmp_path) as buffer:
        again = await buffer.client.batches.lease(RUN, "next", lease_s=60, wait_s=10)
        assert again is not None
        assert (again.batch.round, again.batch.attempt) == (1, 2)


async def test_a_full_disk_writes_nothing_and_says_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/buffer.db"
    async with running_buffer(url) as buffer:
        rounds = buffer.client.rounds
        await rounds.open(RUN, 0, weights_version=0)
        async with buffer.database.writing() as connection:
            pages = (await connection.exec_driver_sql("PRAGMA page_count")).scalar_one()
            await connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 50}")

        with pytest.raises(UnavailableError, match="disk is full; nothing was written") as caught:
            await rounds.put_stage(RUN, 0, StageSummary(stage=Stage.PROPOSE), episodes())

        assert "free space" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert (await rounds.get(RUN, 0)).stages == ()
        async with buffer.database.writing() as connection:
            await connection.exec_driver_sql("PRAGMA max_page_count=1000000")
        assert await rounds.put_stage(RUN, 0, StageSummary(stage=Stage.PROPOSE), episodes())


async def test_a_file_that_may_not_grow_writes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/buffer.db"
    summary = StageSummary(stage=Stage.PROPOSE)
    limited = ["prlimit", f"--fsize={2_000_000}"]
    async with buffer_process(url, tmp_path, prefix=limited) as buffer:
        await buffer.client.rounds.open(RUN, 0, weights_version=0)
        with pytest.raises(UnavailableError, match="nothing was written"):
            await buffer.client.rounds.put_stage(RUN, 0, summary, episodes())
        assert (await buffer.client.rounds.get(RUN, 0)).stages == ()

    async with buffer_process(url, tmp_path) as buffer:
        assert await buffer.client.rounds.put_stage(RUN, 0, summary, episodes())


async def test_a_locked_database_is_unavailable_and_recovers(tmp_path: Path) -> None:
    async with running_buffer(f"sqlite:///{tmp_path}/buffer.db", busy_timeout_s=0.2) as buffer:
        await seed(buffer.client, RUN)
        other = sqlite3.connect(tmp_path / "buffer.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(UnavailableError, match="another process holds it"):
            await buffer.client.rounds.open(RUN, 1, weights_version=0)
        assert (await buffer.client.rounds.get(RUN, 0)).state is RoundState.COMMITTED

        other.close()
        await buffer.client.rounds.open(RUN, 1, weights_version=0)


async def test_a_cancelled_transaction_holds_no_lock(tmp_path: Path) -> None:
    """Whoever keeps the error keeps its traceback, and in it the statement that was running."""
    async with running_buffer(f"sqlite:///{tmp_path}/buffer.db", busy_timeout_s=2) as buffer:
        started, many = asyncio.Event(), [{"n": n} for n in range(500_000)]

        async def write() -> None:
            async with buffer.database.writing() as connection:
                await connection.execute(text("CREATE TABLE numbers (n)"))
                started.set()
                await connection.execute(text("INSERT INTO numbers VALUES (:n)"), many)

        writing = asyncio.create_task(write())
        await started.wait()
        await asyncio.sleep(0.1)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError) as kept:
            await writing

        await buffer.client.rounds.open(RUN, 0, weights_version=0)

        async with buffer.database.reading() as connection:
            tables = await connection.execute(text("SELECT name FROM sqlite_master"))
            assert "numbers" not in tables.scalars().all(), kept


async def test_a_slow_client_holds_up_nobody(tmp_path: Path) -> None:
    async with running_buffer(f"sqlite:///{tmp_path}/buffer.db", busy_timeout_s=1) as buffer:
        await seed(buffer.client, RUN)
        await buffer.client.rounds.open(RUN, 1, weights_version=0)
        go_on = asyncio.Event()

        async def slow() -> AsyncIterator[Record]:
            yield episode(0)
            await go_on.wait()

        summary = StageSummary(stage=Stage.PROPOSE)
        putting = asyncio.create_task(buffer.client.rounds.put_stage(RUN, 1, summary, slow()))
        await asyncio.sleep(0.1)
        await seed(buffer.client, "other")
        await play(buffer.client, "other", 1)
        assert await train_oldest(buffer.client, "other") == 1

        go_on.set()
        assert await putting


async def test_the_file_shrinks_when_rounds_are_pruned(tmp_path: Path) -> None:
    async with running_buffer(f"sqlite:///{tmp_path}/buffer.db") as buffer:
        await buffer.client.rounds.open(RUN, 0, weights_version=0)
        summary = StageSummary(stage=Stage.PROPOSE)
        await buffer.client.rounds.put_stage(RUN, 0, summary, episodes())
        await buffer.client.rounds.commit(RUN, 0, queue_batch=False)
        await buffer.client.rounds.open(RUN, 1, weights_version=0)

        assert await buffer.client.rounds.prune(RUN, keep_rounds=1) == 1

    assert (tmp_path / "buffer.db").stat().st_size < 1_000_000


async def test_lost_connections_are_replaced(postgres: Postgres) -> None:
    url = postgres.create_database("lost")
    async with running_buffer(url) as buffer:
        await seed(buffer.client, RUN)
        with psycopg.connect(postgres.url(), autocommit=True) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'lost'"
            )

        await play(buffer.client, RUN, 1)

        assert await train_oldest(buffer.client, RUN) == 1


async def test_starting_takes_under_three_seconds(tmp_path: Path) -> None:
    async with buffer_process(f"sqlite:///{tmp_path}/buffer.db", tmp_path) as buffer:
        # Of the processor: on a busy machine the clock on the wall would measure the others.
        assert buffer.processor_s() < 3.0


async def test_only_the_user_can_read_the_database(tmp_path: Path) -> None:
    async with running_buffer(f"sqlite:///{tmp_path}/buffer.db") as buffer:
        await seed(buffer.client, RUN)
        for path in tmp_path.glob("buffer.db*"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    async with running_buffer(f"sqlite:///{tmp_path}/buffer.db"):
        pass
    with sqlite3.connect(tmp_path / "buffer.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    ended = _serve(tmp_path, f"sqlite:///{tmp_path}/buffer.db")

    assert ended.returncode == 64
    assert f"has schema 9999, which is newer than this service's {VERSION}" in ended.stderr


@pytest.mark.parametrize(
    ("url", "flags", "problem"),
    [
        pytest.param(
            "postgresql://u:secret@127.0.0.1:1/d", [], "u:***@127.0.0.1:1", id="nobody answers"
        ),
        pytest.param("sqlite:///{0}/b.db", ["--recheck-s", "0"], "recheck_s", id="out of range"),
    ],
)
def test_a_service_that_cannot_work_does_not_start(
    tmp_path: Path, url: str, flags: list[str], problem: str
) -> None:
    ended = _serve(tmp_path, url.format(tmp_path), *flags)

    assert ended.returncode == 64
    assert problem in ended.stderr
    assert "secret" not in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_a_wrong_token_is_refused(tmp_path: Path) -> None:
    async with buffer_process(f"sqlite:///{tmp_path}/b.db", tmp_path) as buffer:
        target = (tmp_path / "address").read_text()
        async with open_channel(target, token="wrong") as channel:
            with pytest.raises(AuthError):
                await BufferClient(channel).rounds.list(RUN)
        assert buffer.process.poll() is None


def _serve(folder: Path, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(url, folder, *flags), capture_output=True, text=True, timeout=60, check=False
    )


def _count(folder: Path, table: str) -> int:
    connection = sqlite3.connect(folder / "buffer.db")
    try:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()
