"""Rewards of the two roles. All rewards are unitless; higher is better.

Source: Zhao et al., "Absolute Zero", arXiv:2505.03335, section "Reward Design", equations 4
to 6, with the values of its reference implementation where the two differ (D1).
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias, TypeGuard

from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Outcome

MALFORMED = -1.0
"""Reward of a reply without the required layout, and of a proposal that is no task."""

WRONG = -0.5
"""Reward of a well-formed answer that is not correct."""

EXTREME = -0.5
"""Reward of a valid task that today's solver solves never or always."""

GradedOutcome: TypeAlias = Literal[Outcome.CORRECT, Outcome.WRONG, Outcome.MALFORMED]
"""What can be rewarded. `NOT_EXECUTED` is no member: it has no reward, not even 0."""

Conversion: TypeAlias = Literal["one_minus", "inverse"]
Admission: TypeAlias = Literal["all", "non_one", "non_extremes"]
InductionRule: TypeAlias = Literal["binary", "accuracy", "if_one_correct"]


def is_graded(outcome: Outcome) -> TypeGuard[GradedOutcome]:
    """Whether an answer was judged at all; if not, leave it out of everything."""
    return outcome is not Outcome.NOT_EXECUTED


def induction_score(passed: Sequence[bool], rule: InductionRule = "binary") -> float:
    """Score of an induction answer from the pairs that grade it, in [0, 1].

    `binary`: 1 only if all pass. `accuracy`: the share that passes. `if_one_correct`: 1 if any.

    Raises:
        ValueError: If no pair was checked.
    """
    if not passed:
        raise ValueError("an induction score needs at least one checked pair, got none")
    if rule == "accuracy":
        return sum(passed) / len(passed)
    return float(all(passed) if rule == "binary" else any(passed))


def success_rate(accuracies: Sequence[float]) -> float:
    """The share `a` of a task that today's solver solves, from its rollouts, in [0, 1].

    Rollouts that were not executed must be left out.

    Raises:
        ValueError: If there is no rollout. Unknown is not the same as unsolvable.
    """
    if not accuracies:
        raise ValueError("a success rate needs at least one solver attempt, got none")
    return sum(accuracies) / len(accuracies)


def learnability(rate: float, conversion: Conversion = "one_minus") -> float:
    """How much today's solver can learn from a task that it solves with `rate`.

    A task that is always or never solved teaches nothing. Any other earns its failure rate,
    so the hardest task still within reach earns most. `inverse` gives 1 to unsolvable tasks.

    Returns:
        Learnability in [0, 1).
    """
    if rate == 0 and conversion == "one_minus":
        return 0.0
    return 1.0 - rate


def proposer_reward(
    *, valid: bool, format_ok: bool, rate: float | None, settings: AlgorithmSettings
) -> float:
    """Reward of one proposal.

    Args:
        valid: Whether it became a task.
        format_ok: Whether the reply had the required layout. A valid task in a broken layout
            is still kept, but earns -1.
        rate: Solver success rate of the task; ignored unless valid and well-formed.
        settings: `paper_eq4` and `accuracy_conversion` count.

    Returns:
        -1, -0.5 (0 with `paper_eq4`), or the task's learnability.

    Raises:
        ValueError: If the rate of a valid, well-formed proposal is unknown. It must be left
            out, not rewarded.
    """
    if not valid or not format_ok:
        return MALFORMED
    if rate is None:
        raise ValueError("a valid proposal whose rollouts were not executed has no reward")
    gain = learnability(rate, settings.accuracy_conversion)
    if gain > 0:
        return gain
    return 0.0 if settings.paper_eq4 else EXTREME


def solver_reward(outcome: GradedOutcome, accuracy: float = 1.0) -> float:
    """Reward of one answer: its accuracy if correct, -0.5 if wrong, -1 if malformed.

    Args:
        outcome: Of the answer.
        accuracy: In (0, 1]; below 1 only for induction answers that are paid in part.

    Raises:
        ValueError: If the answer was not executed, against the type.
    """
    match outcome:
        case Outcome.CORRECT:
            return accuracy
        case Outcome.WRONG:
            return WRONG
        case Outcome.MALFORMED:
            return MALFORMED
        case _:
            raise ValueError(f"an answer that is {outcome} has no reward")


def evaluation_score(outcome: GradedOutcome, accuracy: float = 1.0) -> float:
    """Score of one answer in held-out evaluation: its accuracy if correct, else 0."""
    return accuracy if outcome is Outcome.CORRECT else 0.0


def is_admitted(rate: float, admission: Admission = "all") -> bool:
    """Whether a valid task with solver success rate `rate` enters its buffer.

    `all`: every one. `non_one`: unless always solved. `non_extremes`: only if solved
    sometimes, but not always.
    """
    if admission == "all":
        return True
    return rate < 1 and (admission == "non_one" or rate > 0)
