"""A version is served everywhere or nowhere; the first replica goes ahead."""

from dataclasses import dataclass, field

import pytest

from services.controller.connections import Replica
from services.controller.rolling import RejectedError, roll
from zeroloop.core.batches import Weights
from zeroloop.core.generation import AppliedWeights, WeightsState
from zeroloop.errors import CorruptDataError, FailedPreconditionError, UnavailableError

V3 = Weights(run="r", version=3, uri="/w/3", manifest_digest="d")


@dataclass
class FakeReplica:
    version: int = 2
    previous: int | None = 1
    staged: list[int] = field(default_factory=list[int])
    error: Exception | None = None
    calls: list[str] = field(default_factory=list[str])

    async def stage(self, weights_version: int, uri: str, manifest_digest: str) -> int:
        self.calls.append("stage")
        self.staged.append(weights_version)
        return 1

    async def apply(self, weights_version: int, *, parity_max: float = 0.0) -> AppliedWeights:
        self.calls.append("apply")
        if self.error is not None:
            raise self.error
        self.previous, self.version = self.version, weights_version
        return AppliedWeights(weights_version=weights_version, parity=1e-6, paused_s=0.1)

    async def rollback(self) -> int:
        self.calls.append("rollback")
        assert self.previous is not None
        self.version = self.previous
        return self.version

    async def get(self) -> WeightsState:
        return WeightsState(
            weights_version=self.version,
            staged_versions=tuple(self.staged),
            previous_version=self.previous,
        )


def replicas(*fakes: FakeReplica) -> list[Replica]:
    return [Replica(f"replica-{index}", fake) for index, fake in enumerate(fakes)]


async def test_every_replica_serves_the_version_and_the_worst_figures_are_reported() -> None:
    fakes = [FakeReplica(), FakeReplica()]

    rolled = await roll(replicas(*fakes), V3, parity_max=1e-3)

    assert [fake.version for fake in fakes] == [3, 3]
    assert rolled.parity == 1e-6
    assert rolled.paused_s == 0.1


async def test_repeating_a_roll_touches_only_those_that_lag() -> None:
    fakes = [FakeReplica(version=3), FakeReplica()]

    await roll(replicas(*fakes), V3, parity_max=1e-3)

    assert fakes[0].calls == []
    assert fakes[1].version == 3


@pytest.mark.parametrize(
    "error", [FailedPreconditionError("parity"), CorruptDataError("digest")], ids=str
)
async def test_a_canary_that_refuses_keeps_the_version_from_the_others(error: Exception) -> None:
    fakes = [FakeReplica(error=error), FakeReplica()]

    with pytest.raises(RejectedError, match="replica-0 refused v3"):
        await roll(replicas(*fakes), V3, parity_max=1e-3)

    assert fakes[1].calls == []


async def test_a_later_refusal_makes_the_others_give_the_version_back() -> None:
    fakes = [FakeReplica(), FakeReplica(error=FailedPreconditionError("parity"))]

    with pytest.raises(RejectedError):
        await roll(replicas(*fakes), V3, parity_max=1e-3)

    assert fakes[0].version == 2


async def test_a_replica_that_is_away_is_no_refusal() -> None:
    with pytest.raises(UnavailableError):
        await roll(replicas(FakeReplica(error=UnavailableError("away"))), V3, parity_max=1e-3)
