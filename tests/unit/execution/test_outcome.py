"""From ends and claims to facts: nothing that a program claims is believed but its shape."""

import pytest

from services.execution.frames import Done, How
from services.execution.outcome import Outcome, compare, not_executed, outcome_of
from zeroloop.core.execution import Determinism
from zeroloop.core.tasks import RunStatus


def answer(
    status: bytes = b"o",
    name: bytes = b"int",
    message: bytes = b"",
    value: bytes = b"42",
    stdout: bytes = b"",
    truncated: bytes = b"\0",
) -> bytes:
    fields = (name, message, value, stdout)
    return status + truncated + b"".join(len(f).to_bytes(4, "little") + f for f in fields)


def done(answer: bytes = b"", how: How = How.EXITED, code: int = 0) -> Done:
    return Done(1, how, code, 0.25, 0.5, 1024, answer)


def judged(done: Done) -> Outcome:
    return outcome_of(done, value_bytes=8, stdout_bytes=4)


@pytest.mark.parametrize(
    ("claim", "status"),
    [
        pytest.param(answer(), RunStatus.OK, id="a value"),
        pytest.param(answer(b"e", b"ValueError", b"no", b""), RunStatus.ERROR, id="an exception"),
        pytest.param(answer(b"m", value=b""), RunStatus.OOM, id="no memory"),
        pytest.param(answer(b"l", value=b""), RunStatus.TOOLARGE, id="too large"),
        pytest.param(answer(b"p", b"object", value=b""), RunStatus.OPAQUE, id="not plain"),
    ],
)
def test_a_well_formed_answer_counts(claim: bytes, status: RunStatus) -> None:
    outcome = judged(done(claim))

    assert outcome.status is status
    assert (outcome.cpu_time_s, outcome.wall_time_s, outcome.peak_memory_bytes) == (0.25, 0.5, 1024)


def test_all_fields_of_an_answer_arrive() -> None:
    outcome = judged(done(answer(b"e", "Ж".encode(), b"why\xff", b"", b"\xed\xa0", b"\1")))

    assert outcome.type_name == "Ж"
    assert outcome.message == "why\ufffd"
    assert outcome.stdout == b"\xed\xa0"
    assert outcome.stdout_truncated


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(b"x", id="junk"),
        pytest.param(answer(b"t"), id="a status that no child may claim"),
        pytest.param(answer(b"n"), id="not executed"),
        pytest.param(answer(truncated=b"\2"), id="not a truth value"),
        pytest.param(answer()[:-1], id="cut"),
        pytest.param(answer() + b"\0", id="more behind it"),
        pytest.param(answer() * 2, id="two answers"),
        pytest.param(answer(value=b""), id="ok without a value"),
        pytest.param(answer(b"e"), id="error with a value"),
        pytest.param(answer(value=b"\xff"), id="value that is no text"),
        pytest.param(answer(value=b"123456789"), id="value over the limit"),
        pytest.param(answer(stdout=b"12345"), id="stdout over the limit"),
        pytest.param(answer(name=b"x" * 5000), id="a name over the limit"),
        pytest.param(b"o\0\xff\xff\xff\xff", id="a length beyond everything"),
    ],
)
def test_what_no_runner_writes_is_garbled(forged: bytes) -> None:
    assert judged(done(forged)).status is RunStatus.GARBLED


@pytest.mark.parametrize(
    ("how", "code", "status", "detail"),
    [
        pytest.param(How.EXITED, 0, RunStatus.CRASH, "exit code 0", id="exit 0 is no success"),
        pytest.param(How.EXITED, 3, RunStatus.CRASH, "exit code 3", id="exit 3"),
        pytest.param(How.SIGNALLED, 11, RunStatus.CRASH, "signal 11 (SIGSEGV)", id="a signal"),
        pytest.param(How.SIGNALLED, 63, RunStatus.CRASH, "signal 63", id="a nameless signal"),
        pytest.param(How.CPU, 9, RunStatus.TIMEOUT, "cpu", id="processor limit"),
        pytest.param(How.WALL, 9, RunStatus.TIMEOUT, "wall", id="wall-clock limit"),
        pytest.param(How.FLOODED, 9, RunStatus.GARBLED, "flood", id="flood"),
        pytest.param(How.CANCELLED, 9, RunStatus.NOT_EXECUTED, "cancelled", id="cancelled"),
    ],
)
def test_an_end_without_an_answer(how: How, code: int, status: RunStatus, detail: str) -> None:
    outcome = judged(done(b"", how, code))

    assert (outcome.status, outcome.detail) == (status, detail)


@pytest.mark.parametrize("how", [How.CPU, How.WALL, How.FLOODED, How.CANCELLED])
def test_an_answer_does_not_save_who_was_killed(how: How) -> None:
    assert judged(done(answer(), how, 9)).status is not RunStatus.OK


@pytest.mark.parametrize(("how", "code"), [(How.SIGNALLED, 11), (How.EXITED, 1)])
def test_an_answer_before_another_end_than_the_runners_is_garbled(how: How, code: int) -> None:
    assert judged(done(answer(), how, code)).status is RunStatus.GARBLED


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        pytest.param({}, {}, Determinism.YES, id="all equal"),
        pytest.param({}, {"value": "2"}, Determinism.NO, id="value"),
        pytest.param({}, {"type_name": "bool"}, Determinism.NO, id="type"),
        pytest.param({}, {"message": "x"}, Determinism.NO, id="message"),
        pytest.param({}, {"stdout": b"x"}, Determinism.NO, id="stdout"),
        pytest.param({}, {"status": RunStatus.ERROR}, Determinism.NO, id="status"),
        pytest.param({}, {"cpu_time_s": 9.0}, Determinism.YES, id="cost is no difference"),
        pytest.param({}, {"status": RunStatus.TIMEOUT}, Determinism.UNKNOWN, id="second too late"),
        pytest.param(
            {}, {"status": RunStatus.NOT_EXECUTED}, Determinism.UNKNOWN, id="second not executed"
        ),
    ],
)
def test_determinism(
    first: dict[str, object], second: dict[str, object], verdict: Determinism
) -> None:
    base = {"status": RunStatus.OK, "value": "1", "type_name": "int"}

    assert compare(Outcome(**(base | first)), Outcome(**(base | second))) is verdict


def test_what_was_not_executed_proves_nothing() -> None:
    assert compare(not_executed("x"), not_executed("x")) is Determinism.UNKNOWN
