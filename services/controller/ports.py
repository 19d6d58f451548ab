"""What a round needs of the services that it calls.

The typed clients of `zeroloop.client` have these shapes; tests have their own.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from typing import Protocol

from zeroloop.core.batches import Weights, WeightsPage
from zeroloop.core.generation import (
    AppliedWeights,
    Completion,
    Model,
    Prompt,
    Sampling,
    WeightsState,
)
from zeroloop.core.judging import (
    Judgement,
    PromptSpec,
    Proposal,
    ProposerEpisode,
    Scored,
    Solution,
    SolverEpisode,
    Verdict,
)
from zeroloop.core.rounds import Commit, Record, Round, Stage, StageSummary
from zeroloop.core.stored_tasks import (
    BufferFull,
    NewTask,
    Observation,
    StoredTask,
    Strategy,
    TaskPage,
    TaskSample,
)
from zeroloop.core.tasks import Kind

# ---- inference


class Inference(Protocol):
    """Generates with the model that is learning."""

    def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, min_weights_version: int
    ) -> AsyncGenerator[Completion]:
        """Yield each completion as it finishes, in any order."""
        ...

    async def get_model(self) -> Model:
        """What is served."""
        ...


# ---- reward


class Reward(Protocol):
    """Prompts, verification, judging and rewards of one domain under one run's settings."""

    async def build_prompts(self, specs: Sequence[PromptSpec]) -> list[str]:
        """Render prompts, aligned with `specs`."""
        ...

    def validate(self, proposals: Sequence[Proposal]) -> AsyncGenerator[Verdict]:
        """Yield each verdict as it is known, in any order."""
        ...

    def judge(self, solutions: Sequence[Solution]) -> AsyncGenerator[Judgement]:
        """Yield each judgement as it is known, in any order."""
        ...

    async def compute(
        self, proposer: Sequence[ProposerEpisode], solver: Sequence[SolverEpisode]
    ) -> tuple[list[Scored], list[Scored]]:
        """Return the reward of each episode, aligned with the arguments."""
        ...


# ---- buffer


class Tasks(Protocol):
    """Verified tasks."""

    async def sample(
        self,
        run: str,
        kinds: Sequence[Kind],
        strategy: Strategy,
        count: int,
        *,
        seed: int,
        draws: int = 1,
        before_round: int = 0,
        window_rounds: int = 1,
        without_composites: bool = False,
    ) -> TaskSample:
        """Draw `draws` times `count` tasks."""
        ...

    async def get(self, task_id: str) -> StoredTask:
        """Return one task."""
        ...

    async def list(self, run: str, *, kind: Kind | None = None, page_size: int = 100) -> TaskPage:
        """Return the newest tasks and how many there are."""
        ...

    async def admit(
        self, run: str, tasks: Sequence[NewTask], *, request_id: str
    ) -> tuple[str, ...]:
        """Admit tasks outside a round; once per `request_id`."""
        ...


class Rounds(Protocol):
    """Rounds and their stages."""

    async def open(
        self, run: str, round_index: int, *, weights_version: int, traceparent: str = ""
    ) -> Round:
        """Open a round, or return it as it is."""
        ...

    async def get(self, run: str, round_index: int) -> Round:
        """Return one round."""
        ...

    async def put_stage(
        self,
        run: str,
        round_index: int,
        summary: StageSummary,
        records: Iterable[Record] | AsyncIterable[Record],
    ) -> bool:
        """Store a stage, whole or not at all; once."""
        ...

    def get_stage(self, run: str, round_index: int, stage: Stage) -> AsyncGenerator[Record]:
        """Iterate over the records of a stored stage in their order."""
        ...

    async def commit(
        self,
        run: str,
        round_index: int,
        *,
        tasks: Sequence[NewTask] = (),
        observations: Mapping[str, Observation] | None = None,
        metrics: Mapping[str, float] | None = None,
        queue_batch: bool = True,
        tasks_max: int = 0,
        buffer_full: BufferFull = BufferFull.KEEP_NEWEST,
        reservoir_seed: int = 0,
    ) -> Commit:
        """Admit tasks, append observations and queue the batch; once."""
        ...

    async def prune(self, run: str, *, keep_rounds: int) -> int:
        """Remove tokens of all but the newest rounds."""
        ...


class WeightsRegistry(Protocol):
    """Which versions exist."""

    async def get(self, run: str, version: int | None = None) -> Weights:
        """Return one version; None: the newest."""
        ...

    async def list(self, run: str, *, page_size: int = 100, page_token: str = "") -> WeightsPage:
        """Return one page of versions, newest first."""
        ...

    async def publish(self, weights: Weights) -> Weights:
        """Register a version."""
        ...

    async def promote(self, run: str, version: int) -> Weights:
        """Mark a version to be kept for ever."""
        ...

    def watch(self, run: str, *, after_version: int = -1) -> AsyncGenerator[Weights]:
        """Yield every version above `after_version`."""
        ...

    async def remove(self, run: str, version: int) -> None:
        """Forget a version."""
        ...


class Buffer(Protocol):
    """Everything with a history."""

    @property
    def tasks(self) -> Tasks:
        """Verified tasks."""
        ...

    @property
    def rounds(self) -> Rounds:
        """Rounds and their stages."""
        ...

    @property
    def weights(self) -> WeightsRegistry:
        """Which versions exist."""
        ...


# ---- weights of a replica


class ReplicaWeights(Protocol):
    """Which weights one replica serves."""

    async def stage(self, weights_version: int, uri: str, manifest_digest: str) -> int:
        """Verify a version's files; return how many bytes they have."""
        ...

    async def apply(self, weights_version: int, *, parity_max: float = 0.0) -> AppliedWeights:
        """Serve a staged version, or go on with the one before."""
        ...

    async def rollback(self) -> int:
        """Serve the version before the last apply; return it."""
        ...

    async def get(self) -> WeightsState:
        """What is served and what could be."""
        ...

    async def sleep(self) -> float:
        """Let go of the device; return the seconds that it took."""
        ...

    async def wake(self) -> float:
        """Take the device again; return the seconds that it took."""
        ...
