"""What is run again in `strict`, and when mode `reset` is given up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest

from services.execution.frames import NOBODY, Done, How, RunOrder
from services.execution.odd import BY_MODE, CHECKS_AT_ONCE, OddRuns
from services.execution.outcome import Outcome, outcome_of
from services.execution.work import Call, Finished, Job, RunName, Work
from zeroloop.core.execution import Determinism, Mode
from zeroloop.core.tasks import RunStatus

ORDER = RunOrder(
    source=b"",
    arguments=b"",
    cpu_s=1,
    wall_s=1,
    memory_bytes=1,
    stdout_bytes=1,
    value_bytes=1,
)
ONE = Outcome(status=RunStatus.OK, value="1", mode=Mode.RESET)
TWO = Outcome(status=RunStatus.OK, value="2")
ANOTHER = b"somebody else's!"


class Always:
    """Chooses every run for a check."""

    def random(self) -> float:
        return 0.0


@pytest.fixture
async def odd() -> AsyncIterator[OddRuns]:
    odd = OddRuns(Work(lambda: 0.0))
    odd.sampler.random = Always().random  # type: ignore[method-assign]
    comparing = asyncio.create_task(odd.compare())
    yield odd
    comparing.cancel()
    with suppress(asyncio.CancelledError):
        await comparing


def job(name: str = "a", tenant: bytes = NOBODY) -> Job:
    order = replace(ORDER, tenant=tenant)
    return Job(Call(), RunName(name, 0), order, paired=True, mode=Mode.RESET)


async def check(odd: OddRuns, strict: Outcome, fresh: Outcome | None = None) -> None:
    """Let an ordinary run be checked, and `strict` find this, and then a new worker that."""
    odd.check_some(job(), Finished(ONE, Determinism.YES))
    await find(odd, Mode.STRICT, strict)
    if fresh is not None:
        again = await find(odd, Mode.RESET, fresh)
        assert again.order.tenant not in (NOBODY, ANOTHER)
        assert replace(again.order, tenant=NOBODY) == ORDER


async def find(odd: OddRuns, mode: Mode, outcome: Outcome) -> Job:
    """End the next run of a mode."""
    asked = await odd.work.get(mode)
    odd.work.finish(asked, Finished(outcome, Determinism.UNKNOWN))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return asked


class Counted:
    """A counter that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, dict[str, str]]] = []

    def add(self, amount: int, labels: dict[str, str]) -> None:
        self.told.append((amount, labels))


def test_comparisons_are_counted_from_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus sees no increase in a series that begins with 1, and there is no second `no`."""
    counted = Counted()
    monkeypatch.setattr("services.execution.odd.checked", counted)

    OddRuns(Work(lambda: 0.0))

    assert counted.told == [(0, {"agrees": value}) for value in (*Determinism, BY_MODE)]


@pytest.mark.parametrize("status", RunStatus)
async def test_only_ordinary_ends_count(odd: OddRuns, status: RunStatus) -> None:
    strange = {RunStatus.OOM, RunStatus.CRASH, RunStatus.GARBLED, RunStatus.NOT_EXECUTED}

    assert odd.is_odd(Outcome(status=status)) is (status in strange)


async def test_a_buffer_that_the_kernel_may_not_write_to_is_odd(odd: OddRuns) -> None:
    outcome = Outcome(status=RunStatus.ERROR, type_name="OSError", message="[Errno 14] Bad address")

    assert odd.is_odd(outcome)


@pytest.mark.parametrize(
    ("how", "expected"), [(How.CPU, False), (How.WALL, False), (How.PERHAPS_CPU, True)]
)
async def test_a_loop_whose_neighbour_may_have_used_its_time_is_odd(
    odd: OddRuns, how: How, *, expected: bool
) -> None:
    done = Done(1, how, 0, 1.0, 2.0, 0, b"")

    assert odd.is_odd(outcome_of(done, value_bytes=9, stdout_bytes=9)) is expected


async def test_an_odd_run_begins_anew_in_strict(odd: OddRuns) -> None:
    half = job()
    half.first = ONE

    odd.run_in_strict(half)

    again = await odd.work.get(Mode.STRICT)
    assert again is half
    assert (again.first, again.mode) == (None, Mode.STRICT)


async def test_modes_that_agree_are_trusted(odd: OddRuns) -> None:
    await check(odd, Outcome(status=RunStatus.OK, value="1"))

    assert not odd.distrusted
    assert odd.work.pending == 0


async def test_a_difference_ends_the_mode_for_all_of_its_tenant_that_wait(odd: OddRuns) -> None:
    await check(odd, TWO)
    waiting, others = job("waiting"), job("other's", ANOTHER)
    fresh = await odd.work.get(Mode.RESET)
    odd.work.put(waiting)
    odd.work.put(others)

    odd.work.finish(fresh, Finished(replace(TWO, mode=Mode.RESET), Determinism.UNKNOWN))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert odd.distrusted == {NOBODY}
    assert await odd.work.get(Mode.STRICT) is waiting
    assert await odd.work.get(Mode.RESET) is others
    assert odd.work.waiting(Mode.STRICT) == odd.work.waiting(Mode.RESET) == 0


async def test_a_program_that_tells_the_modes_apart_is_no_difference(
    odd: OddRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    monkeypatch.setattr("services.execution.odd.checked", counted)

    await check(odd, TWO, fresh=ONE)

    assert not odd.distrusted
    assert odd.work.pending == 0
    assert counted.told == [(1, {"agrees": BY_MODE})]


@pytest.mark.parametrize(
    "fresh",
    [
        pytest.param(TWO, id="run in strict, because it was odd"),
        pytest.param(Outcome(status=RunStatus.TIMEOUT, mode=Mode.RESET), id="timed out"),
        pytest.param(Outcome(status=RunStatus.NOT_EXECUTED), id="not executed"),
    ],
)
async def test_a_difference_that_no_new_worker_decides_says_nothing(
    odd: OddRuns, fresh: Outcome
) -> None:
    await check(odd, TWO, fresh)

    assert not odd.distrusted


async def test_a_check_that_could_not_be_made_says_nothing(odd: OddRuns) -> None:
    await check(odd, Outcome(status=RunStatus.NOT_EXECUTED))

    assert not odd.distrusted


@pytest.mark.parametrize("determinism", [Determinism.NO, Determinism.UNKNOWN])
async def test_what_may_depend_on_chance_is_not_checked(
    odd: OddRuns, determinism: Determinism
) -> None:
    odd.check_some(job(), Finished(ONE, determinism))

    assert odd.work.waiting(Mode.STRICT) == 0


async def test_checks_do_not_pile_up(odd: OddRuns) -> None:
    for _ in range(3 * CHECKS_AT_ONCE):
        odd.check_some(job(), Finished(ONE, Determinism.YES))

    assert odd.work.waiting(Mode.STRICT) == CHECKS_AT_ONCE
