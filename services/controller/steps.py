"""The steps of a round, in the order in which they are played."""

from enum import StrEnum


class Step(StrEnum):
    """One resumable piece of a round; its output is stored before the next one begins."""

    SEED = "seed"
    """Round 0 only: fill the buffers with the base model's own tasks."""

    EVALUATE = "evaluate"
    """Held-out accuracy: in round 0 before learning, in the last round after it."""

    PROPOSE = "propose"
    VALIDATE = "validate"
    ESTIMATE = "estimate"
    SOLVE = "solve"
    REWARD = "reward"
    COMMIT = "commit"


SEED_STEPS = (Step.SEED, Step.EVALUATE, Step.COMMIT)
"""Round 0."""

PLAY_STEPS = (
    Step.PROPOSE,
    Step.VALIDATE,
    Step.ESTIMATE,
    Step.SOLVE,
    Step.REWARD,
    Step.COMMIT,
)
"""Every round that is trained on."""


def steps_of(round_index: int) -> tuple[Step, ...]:
    """Return the steps of a round up to its commit, in order."""
    return SEED_STEPS if round_index == 0 else PLAY_STEPS
