"""Services in memory that keep the promises of the real ones, and fail when they are told to.

The model writes texts that follow from prompt and seed alone; some of them are valid
programs, some are not, some answers are right. What it wrote decides what is said of it.
"""

import hashlib
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from zeroloop.core.composites import composed, functions_of
from zeroloop.core.generation import Completion, FinishReason, Model, Prompt, Sampling, WeightsSpan
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
from zeroloop.core.rewards import (
    is_graded,
    learnability,
    proposer_reward,
    solver_reward,
    success_rate,
)
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Case, Outcome, Task
from zeroloop.core.validity import Rejection
from zeroloop.errors import UnavailableError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Faults:
    """Fails calls and drops answers, reproducibly."""

    dice: random.Random = field(default_factory=lambda: random.Random(0))
    ratio: float = 0.0
    not_executed_ratio: float = 0.0

    def maybe_fail(self) -> None:
        if self.ratio and self.dice.random() < self.ratio:
            raise UnavailableError("simulated")

    def loses(self) -> bool:
        return self.dice.random() < self.not_executed_ratio


def number(*parts: object) -> int:
    """A number that follows from `parts`."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


@dataclass
class FakeInference:
    faults: Faults = field(default_factory=Faults)
    weights_version: int = 0
    generated: int = 0
    prompt_tokens: dict[str, int] = field(default_factory=dict[str, int])
    mute: bool = False

    async def generate(
        self, prompts: Sequence[Prompt], sampling: Sampling, *, min_weights_version: int
    ) -> AsyncIterator[Completion]:
        assert self.weights_version >= min_weights_version
        self.faults.maybe_fail()
        places = [(p, k) for p in range(len(prompts)) for k in range(sampling.n)]
        self.faults.dice.shuffle(places)
        for prompt_index, sample_index in places:
            self.faults.maybe_fail()
            self.generated += 1
            yield self._complete(prompts[prompt_index], prompt_index, sample_index, sampling)

    def _complete(
        self, prompt: Prompt, prompt_index: int, sample_index: int, sampling: Sampling
    ) -> Completion:
        value = number(prompt.text, (prompt.seed or 0) + sample_index, self.weights_version)
        length = 0 if self.mute else min(1 + value % 9, sampling.max_tokens)
        tokens = [number(value, position) % 90 for position in range(length)]
        prompt_length = self.prompt_tokens.get(prompt.text, len(prompt.text) // 4)
        return Completion(
            prompt_index=prompt_index,
            sample_index=sample_index,
            text=str(value),
            token_ids=tokens,
            prompt_token_ids=list(range(prompt_length)) if sample_index == 0 else (),
            logprobs=[-0.5] * length if sampling.logprobs else (),
            finish_reason=FinishReason.STOP,
            weights=(WeightsSpan(self.weights_version, 0, length),),
        )

    async def get_model(self) -> Model:
        return Model(
            model="fake",
            tokenizer_digest="",
            dtype="float32",
            context_tokens=10_000,
            vocabulary_tokens=96,
            weights_version=self.weights_version,
            engine="simulated",
            engine_version="0",
            sequences_concurrent_max=256,
            eos_token_ids=(0,),
        )


@dataclass
class FakeReward:
    """A proposal is valid if its number is no multiple of 5, an answer right if it is even."""

    settings: AlgorithmSettings
    faults: Faults = field(default_factory=Faults)
    judged: int = 0
    rejects_everything: bool = False
    asked: list[PromptSpec] = field(default_factory=list[PromptSpec])
    """What prompts were to be about."""

    async def build_prompts(self, specs: Sequence[PromptSpec]) -> list[str]:
        self.faults.maybe_fail()
        self.asked += specs
        return [
            f"{s.kind}/{s.role}/{_about(s.task)}/{'+'.join(map(_about, s.references))}"
            f"{'+'.join(map(_about, s.composites))}"
            for s in specs
        ]

    async def validate(self, proposals: Sequence[Proposal]) -> AsyncIterator[Verdict]:
        self.faults.maybe_fail()
        for proposal in self.faults.dice.sample(proposals, len(proposals)):
            self.faults.maybe_fail()
            yield self._verdict(proposal)

    def _verdict(self, proposal: Proposal) -> Verdict:
        name, value = proposal.proposal_id, int(proposal.response)
        if self.faults.loses():
            return Verdict(proposal_id=name, not_executed="simulated", runs={"not_executed": 1})
        format_ok = value % 7 != 0
        if value % 5 == 0 or self.rejects_everything:
            rejection = Rejection.SYNTAX_ERROR
            return Verdict(proposal_id=name, rejection=rejection, format_ok=format_ok)
        source = proposal.source
        program = source.program if source is not None else f"def f(x): return {value % 1000}"
        cases = (Case("1", "2"),) * (4 if source is not None else 1)
        task = Task(
            domain="code",
            kind=proposal.kind,
            program=program,
            cases=cases,
            message=str(value) if source is not None else "",
            shown=2 if source is not None else 0,
        )
        if proposal.composites:
            task = composed(task, functions_of(proposal.composites))
        return Verdict(proposal_id=name, task=task, format_ok=format_ok, runs={"ok": 2})

    async def judge(self, solutions: Sequence[Solution]) -> AsyncIterator[Judgement]:
        self.faults.maybe_fail()
        for solution in self.faults.dice.sample(solutions, len(solutions)):
            self.faults.maybe_fail()
            yield self._judgement(solution)

    def _judgement(self, solution: Solution) -> Judgement:
        name, value = solution.solution_id, int(solution.response)
        self.judged += 1
        if self.faults.loses():
            return Judgement(solution_id=name, outcome=Outcome.NOT_EXECUTED)
        if solution.require_format and value % 7 == 0:
            return Judgement(solution_id=name, outcome=Outcome.MALFORMED)
        right = value % 2 == 0
        return Judgement(
            solution_id=name,
            outcome=Outcome.CORRECT if right else Outcome.WRONG,
            accuracy=float(right),
            format_ok=value % 7 != 0,
            runs={"ok": 1},
        )

    async def compute(
        self, proposer: Sequence[ProposerEpisode], solver: Sequence[SolverEpisode]
    ) -> tuple[list[Scored], list[Scored]]:
        self.faults.maybe_fail()
        return [self._proposer(e) for e in proposer], [self._solver(e) for e in solver]

    def _proposer(self, episode: ProposerEpisode) -> Scored:
        if not episode.valid:
            rate = None
        elif not episode.rollout_accuracies:
            return Scored(value=None)
        else:
            rate = success_rate(episode.rollout_accuracies)
        value = proposer_reward(
            valid=episode.valid, format_ok=episode.format_ok, rate=rate, settings=self.settings
        )
        return Scored(value=value, learnability=learnability(rate or 0.0))

    @staticmethod
    def _solver(episode: SolverEpisode) -> Scored:
        if not is_graded(episode.outcome):
            return Scored(value=None)
        return Scored(value=solver_reward(episode.outcome, episode.accuracy))


def _about(task: Task | None) -> str:
    return "" if task is None else f"{task.program}:{task.message}"
