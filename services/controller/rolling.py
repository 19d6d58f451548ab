"""Rolling a version of the weights out: verified, to a canary first, everywhere or nowhere."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from services.controller.connections import Replica
from zeroloop.core.batches import Weights
from zeroloop.errors import CorruptDataError, FailedPreconditionError, NotFoundError

logger = logging.getLogger(__name__)


class RejectedError(FailedPreconditionError):
    """A replica refused the version; all of them serve the one before."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """How a roll went."""

    replicas: int
    parity: float
    """Largest difference of a log-probability on the probe, nats; -1 without a probe."""

    paused_s: float
    """Longest time that a replica served no call."""


async def roll(replicas: Sequence[Replica], weights: Weights, *, parity_max: float) -> Rolled:
    """Make every replica serve `weights`. Safe to repeat.

    The first replica is the canary: only when its log-probabilities agree with the trainer's
    do the others follow, one after the other, so that most of them always serve.

    Raises:
        RejectedError: A replica refused; those that had taken the version gave it back.
        UnavailableError: A replica does not answer; repeat the roll.
    """
    changed: list[Replica] = []
    parity, paused_s = -1.0, 0.0
    for replica in replicas:
        if (await replica.weights.get()).weights_version == weights.version:
            continue
        try:
            await replica.weights.stage(weights.version, weights.uri, weights.manifest_digest)
            applied = await replica.weights.apply(weights.version, parity_max=parity_max)
        except (FailedPreconditionError, CorruptDataError, NotFoundError) as error:
            await _give_back(changed)
            raise RejectedError(f"{replica.name} refused v{weights.version}: {error}") from error
        changed.append(replica)
        parity = max(parity, applied.parity)
        paused_s = max(paused_s, applied.paused_s)
    return Rolled(len(replicas), parity, paused_s)


async def _give_back(changed: Sequence[Replica]) -> None:
    for replica in changed:
        version = await replica.weights.rollback()
        logger.warning("weights_rolled_back", extra={"replica": replica.name, "version": version})
