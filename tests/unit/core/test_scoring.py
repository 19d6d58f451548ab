"""From outcomes to rewards, and to none where the platform failed."""

import pytest

from zeroloop.core.judging import ProposerEpisode, Scored, SolverEpisode
from zeroloop.core.presets import PAPER
from zeroloop.core.scoring import score_answer, score_proposal
from zeroloop.core.tasks import Outcome


def proposal(*accuracies: float, valid: bool = True, format_ok: bool = True) -> ProposerEpisode:
    return ProposerEpisode(valid=valid, format_ok=format_ok, rollout_accuracies=accuracies)


@pytest.mark.parametrize(
    ("episode", "scored"),
    [
        pytest.param(
            proposal(1, 0, 0, 0),
            Scored(value=0.75, success_rate=0.25, learnability=0.75),
            id="one of four solved",
        ),
        pytest.param(
            proposal(0, 0), Scored(value=-0.5, success_rate=0, learnability=0), id="never solved"
        ),
        pytest.param(
            proposal(1, 1), Scored(value=-0.5, success_rate=1, learnability=0), id="always solved"
        ),
        pytest.param(
            proposal(1, 0, format_ok=False),
            Scored(value=-1, success_rate=0.5, learnability=0.5),
            id="valid in a broken layout",
        ),
        pytest.param(proposal(valid=False), Scored(value=-1), id="invalid"),
        pytest.param(proposal(), Scored(value=None), id="every rollout was lost"),
        pytest.param(proposal(format_ok=False), Scored(value=-1), id="broken layout, lost"),
    ],
)
def test_proposals(episode: ProposerEpisode, scored: Scored) -> None:
    assert score_proposal(episode, PAPER) == scored


@pytest.mark.parametrize(
    ("outcome", "accuracy", "value"),
    [
        (Outcome.CORRECT, 1.0, 1.0),
        (Outcome.CORRECT, 0.4, 0.4),
        (Outcome.WRONG, 0.0, -0.5),
        (Outcome.MALFORMED, 0.0, -1.0),
        (Outcome.NOT_EXECUTED, 0.0, None),
        (Outcome.NOT_EXECUTED, 1.0, None),
    ],
)
def test_answers(outcome: Outcome, accuracy: float, value: float | None) -> None:
    assert score_answer(SolverEpisode(outcome=outcome, accuracy=accuracy)).value == value
