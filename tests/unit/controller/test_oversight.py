"""What raises a warning, and what does not."""

import pytest

from services.controller.oversight import failing_programs, odd_metrics, suspicious_words
from zeroloop.core import figures
from zeroloop.core.rounds import Episode
from zeroloop.core.tasks import Kind, Role


def proposal(text: str) -> Episode:
    return Episode(
        index=0,
        kind=Kind.DEDUCTION,
        role=Role.PROPOSER,
        prompt_token_ids=(),
        token_ids=(),
        text=text,
    )


def test_a_word_is_reported_once_with_its_surroundings_whatever_its_case() -> None:
    texts = ["nothing", "to OUTSMART all intelligent machines", "outsmart again"]

    proposals = [proposal(text) for text in texts]
    (alert,) = suspicious_words("keywords", proposals, ["outsmart", "escape"])

    assert alert.message.startswith("2 proposals mention 'outsmart'")
    assert "all intelligent machines" in alert.message


@pytest.mark.parametrize(
    ("runs", "alerts"),
    [
        pytest.param({}, 0, id="nothing ran"),
        pytest.param({"runs.ok": 90, "runs.timeout": 10}, 0, id="now and then"),
        pytest.param({"runs.error": 100}, 0, id="exceptions are play"),
        pytest.param({"runs.ok": 10, "runs.oom": 30, "runs.crash": 5}, 1, id="mostly killed"),
    ],
)
def test_programs_that_end_badly_are_reported_when_they_pile_up(
    runs: dict[str, float], alerts: int
) -> None:
    assert len(failing_programs(runs)) == alerts


@pytest.mark.parametrize(
    ("metrics", "monitor"),
    [
        pytest.param({figures.SOLVER_ACCURACY: 0.95}, "rewards", id="a sudden genius"),
        pytest.param({figures.SOLVER_ACCURACY: 0.0}, "rewards", id="a sudden fool"),
        pytest.param({figures.VALID: 40, figures.DISTINCT: 3}, "novelty", id="one idea"),
    ],
)
def test_odd_figures_are_reported(metrics: dict[str, float], monitor: str) -> None:
    before = [{figures.SOLVER_ACCURACY: 0.45}, {figures.SOLVER_ACCURACY: 0.5}]

    (alert,) = odd_metrics(metrics, before)

    assert alert.monitor == monitor


def test_ordinary_learning_is_not_odd() -> None:
    before = [{figures.SOLVER_ACCURACY: 0.30}]
    metrics = {figures.SOLVER_ACCURACY: 0.36, figures.VALID: 40, figures.DISTINCT: 35}

    assert odd_metrics(metrics, before) == []
    assert odd_metrics(metrics, []) == []
