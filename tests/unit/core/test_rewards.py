"""Rewards of both roles, and what has none."""

from typing import Any

import pytest

from zeroloop.core.presets import PAPER
from zeroloop.core.rewards import (
    evaluation_score,
    induction_score,
    is_admitted,
    is_graded,
    learnability,
    proposer_reward,
    solver_reward,
    success_rate,
)
from zeroloop.core.tasks import Outcome


@pytest.mark.parametrize(
    ("solved", "reward"),
    [(0, -0.5), *((solved, 1 - solved / 8) for solved in range(1, 8)), (8, -0.5)],
)
def test_a_proposal_earns_the_failure_rate_of_its_eight_rollouts(
    solved: int, reward: float
) -> None:
    rate = success_rate([1.0] * solved + [0.0] * (8 - solved))
    assert proposer_reward(valid=True, format_ok=True, rate=rate, settings=PAPER) == reward


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_the_papers_equation_4_gives_0_to_extremes(rate: float) -> None:
    options = PAPER.with_changes({"paper_eq4": True})
    assert proposer_reward(valid=True, format_ok=True, rate=rate, settings=options) == 0.0


@pytest.mark.parametrize(
    ("valid", "format_ok"),
    [
        pytest.param(False, True, id="invalid"),
        pytest.param(True, False, id="valid in a broken layout"),
        pytest.param(False, False, id="neither"),
    ],
)
def test_an_invalid_or_malformed_proposal_earns_minus_one(*, valid: bool, format_ok: bool) -> None:
    assert proposer_reward(valid=valid, format_ok=format_ok, rate=0.5, settings=PAPER) == -1.0
    assert proposer_reward(valid=valid, format_ok=format_ok, rate=None, settings=PAPER) == -1.0


def test_inverse_conversion_pays_most_for_unsolvable_tasks() -> None:
    options = PAPER.with_changes({"accuracy_conversion": "inverse"})
    assert learnability(0.0, "inverse") == 1.0
    assert proposer_reward(valid=True, format_ok=True, rate=0.0, settings=options) == 1.0


def test_a_task_of_unknown_difficulty_has_no_reward() -> None:
    with pytest.raises(ValueError, match="has no reward"):
        proposer_reward(valid=True, format_ok=True, rate=None, settings=PAPER)
    with pytest.raises(ValueError, match="at least one solver attempt, got none"):
        success_rate([])


@pytest.mark.parametrize(
    ("outcome", "accuracy", "reward", "score"),
    [
        (Outcome.CORRECT, 1.0, 1.0, 1.0),
        (Outcome.CORRECT, 0.4, 0.4, 0.4),
        (Outcome.WRONG, 0.0, -0.5, 0.0),
        (Outcome.MALFORMED, 0.0, -1.0, 0.0),
    ],
)
def test_an_answer_earns_by_its_outcome(
    outcome: Any, accuracy: float, reward: float, score: float
) -> None:
    assert solver_reward(outcome, accuracy) == reward
    assert evaluation_score(outcome, accuracy) == score


def test_a_failed_platform_is_never_a_reward() -> None:
    outcome: Any = Outcome.NOT_EXECUTED
    assert not is_graded(outcome)
    with pytest.raises(ValueError, match="not_executed has no reward"):
        solver_reward(outcome)


@pytest.mark.parametrize(
    ("passed", "binary", "accuracy", "any_one"),
    [
        ([True] * 5, 1.0, 1.0, 1.0),
        ([True, False, True, True, True], 0.0, 0.8, 1.0),
        ([False] * 5, 0.0, 0.0, 0.0),
    ],
)
def test_induction_score(
    passed: list[bool], binary: float, accuracy: float, any_one: float
) -> None:
    assert induction_score(passed) == binary
    assert induction_score(passed, "accuracy") == accuracy
    assert induction_score(passed, "if_one_correct") == any_one


def test_an_induction_score_of_no_pairs_is_an_error_not_nan() -> None:
    with pytest.raises(ValueError, match="got none"):
        induction_score([])


@pytest.mark.parametrize(
    ("rate", "non_one", "non_extremes"),
    [(0.0, True, False), (0.5, True, True), (1.0, False, False)],
)
def test_admission(rate: float, *, non_one: bool, non_extremes: bool) -> None:
    assert is_admitted(rate)
    assert is_admitted(rate, "non_one") is non_one
    assert is_admitted(rate, "non_extremes") is non_extremes
