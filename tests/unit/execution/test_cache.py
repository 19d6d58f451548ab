"""What is kept, under which key, and what makes room."""

from dataclasses import replace

import pytest

from services.execution.cache import ResultCache, key_of
from services.execution.frames import RunOrder
from services.execution.outcome import Outcome
from services.execution.work import Finished
from zeroloop.core.execution import Determinism
from zeroloop.core.tasks import RunStatus

ORDER = RunOrder(
    source=b"def f(): return 1",
    arguments=b"((), {})",
    cpu_s=1.0,
    wall_s=6.0,
    memory_bytes=1 << 29,
    stdout_bytes=65_536,
    value_bytes=65_536,
)
SURE = Finished(Outcome(status=RunStatus.OK, value="1"), Determinism.YES)


@pytest.fixture
def cache() -> ResultCache:
    return ResultCache(10_000)


def test_what_was_found_is_found_again(cache: ResultCache) -> None:
    assert cache.get(b"k") is None
    cache.put(b"k", SURE)

    assert cache.get(b"k") == replace(SURE, cached=True)
    assert (cache.hits, cache.misses) == (1, 1)


@pytest.mark.parametrize("status", RunStatus)
def test_what_says_more_of_the_machine_than_of_the_program_is_not_kept(
    cache: ResultCache, status: RunStatus
) -> None:
    cache.put(b"k", Finished(Outcome(status=status), Determinism.YES))

    kept = {RunStatus.OK, RunStatus.ERROR, RunStatus.TOOLARGE, RunStatus.OPAQUE}
    assert (cache.get(b"k") is not None) is (status in kept)


@pytest.mark.parametrize("determinism", [Determinism.NO, Determinism.UNKNOWN])
def test_what_may_depend_on_chance_is_not_kept(
    cache: ResultCache, determinism: Determinism
) -> None:
    cache.put(b"k", replace(SURE, determinism=determinism))

    assert cache.get(b"k") is None


def test_what_was_not_asked_for_longest_makes_room(cache: ResultCache) -> None:
    long = replace(SURE, outcome=Outcome(status=RunStatus.OK, value="x" * 2_400))
    for key in (b"0", b"1", b"2"):
        cache.put(key, long)
        cache.get(b"0")
    cache.put(b"new", long)

    assert [cache.get(key) is not None for key in (b"0", b"1", b"2", b"new")] == [
        True,
        False,
        True,
        True,
    ]


def test_a_result_larger_than_all_is_not_kept(cache: ResultCache) -> None:
    cache.put(b"k", SURE)
    cache.put(b"large", replace(SURE, outcome=Outcome(status=RunStatus.OK, value="x" * 20_000)))

    assert len(cache) == 1


def test_none_is_kept_without_room() -> None:
    cache = ResultCache(0)
    cache.put(b"k", SURE)

    assert cache.get(b"k") is None


@pytest.mark.parametrize(
    "other",
    [
        replace(ORDER, source=b"def f(): return 2"),
        replace(ORDER, arguments=b"((1,), {})"),
        replace(ORDER, source=ORDER.source + ORDER.arguments, arguments=b""),
        replace(ORDER, cpu_s=2.0),
        replace(ORDER, wall_s=7.0),
        replace(ORDER, memory_bytes=1 << 28),
        replace(ORDER, stdout_bytes=1),
        replace(ORDER, value_bytes=1),
        replace(ORDER, tenant=b"somebody else's!"),
    ],
)
def test_whatever_a_result_depends_on_is_in_the_key(other: RunOrder) -> None:
    assert key_of(other, "sha256:0") != key_of(ORDER, "sha256:0")


def test_so_is_the_image() -> None:
    assert key_of(ORDER, "sha256:1") != key_of(ORDER, "sha256:0")
