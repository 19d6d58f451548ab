"""Looking back to when nobody was watching yet."""

import pytest

from services.execution.meter import TAPE_SAMPLES, Sample, Tape, all_used


def test_of_an_empty_tape_nothing_is_known() -> None:
    assert Tape().before(1.0) is None


def test_the_last_sample_before_the_moment_counts() -> None:
    tape = Tape()
    for number in range(5):
        tape.add(number, Sample(kernel_s=number / 10))

    assert tape.before(2.5) == (2, Sample(kernel_s=0.2))
    assert tape.before(3.0) == (3, Sample(kernel_s=0.3))


def test_before_all_samples_it_is_the_first_one() -> None:
    tape = Tape()
    tape.add(7.0, Sample(kernel_s=0.7))
    tape.add(8.0, Sample(kernel_s=0.8))

    assert tape.before(1.0) == (7.0, Sample(kernel_s=0.7))


def test_what_was_before_a_pause_is_forgotten() -> None:
    tape = Tape()
    tape.add(1.0, Sample(kernel_s=0.1))

    tape.clear()
    tape.add(600.0, Sample(kernel_s=9.0))

    assert tape.before(599.9) == (600.0, Sample(kernel_s=9.0))


def test_the_past_is_forgotten() -> None:
    tape = Tape()
    for number in range(2 * TAPE_SAMPLES):
        tape.add(number, Sample())

    known = tape.before(0)
    assert known is not None
    assert known[0] == TAPE_SAMPLES


@pytest.mark.parametrize(
    ("used_s", "sure"),
    [
        ((1.0,), True),
        ((1.1, 1.0), True),
        ((1.1, 0.1), True),  # that one only passes orders on
        ((1.1, 0.5), False),  # which of them it was nobody knows
        ((0.9,), False),
        ((0.1,), False),
    ],
)
def test_whose_time_it_was_is_known_if_all_that_worked_have_used_it(
    used_s: tuple[float, ...], *, sure: bool
) -> None:
    before = Sample(spaces_s={1: 5.0})
    after = Sample(spaces_s={pid: used + 5.0 * (pid == 1) for pid, used in enumerate(used_s, 1)})

    assert all_used(before, after, limit_s=1.0) is sure
