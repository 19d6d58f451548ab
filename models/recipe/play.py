"""Lets a model play against the platform's own prompts, parsers and judges."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import LlamaForCausalLM

from models.recipe.running import ForkRunner
from models.recipe.sampling import Sampler
from services.reward.domains.code.plugin import CodeDomain
from zeroloop.core.judging import PromptSpec, Proposal, Solution
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Kind, Outcome, Role, Task


@dataclass(frozen=True, slots=True)
class Proposed:
    """What became of one proposal."""

    response: str
    task: Task | None
    """None if it is not valid."""

    format_ok: bool
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Solved:
    """What became of one answer."""

    response: str
    outcome: Outcome
    num_tokens: int

    @property
    def correct(self) -> bool:
        """Whether it solves the task in the required layout."""
        return self.outcome is Outcome.CORRECT

    @property
    def thinks(self) -> bool:
        """Whether anything stands before the end of the reasoning."""
        return not self.response.startswith("</think>")


class Player:
    """A model, its tokenizer and the rules."""

    def __init__(
        self,
        model: LlamaForCausalLM,
        tokenizer: Any,
        settings: AlgorithmSettings,
        runner: ForkRunner,
    ) -> None:
        self._sampler = Sampler(model, eos_id=tokenizer.eos_token_id, pad_id=tokenizer.pad_token_id)
        self._tokenizer = tokenizer
        self._settings = settings
        self._runner = runner
        self._domain = CodeDomain()

    def propose(self, specs: Sequence[PromptSpec], *, seed: int) -> list[Proposed]:
        """One sampled and validated proposal per spec."""
        responses = self._respond(specs, seed=seed, greedy=False)
        proposals = [
            Proposal(proposal_id="", kind=spec.kind, response=text, source=spec.task)
            for spec, (text, _) in zip(specs, responses, strict=True)
        ]
        verdicts = asyncio.run(self._validate(proposals))
        return [
            Proposed(text, verdict.task, verdict.format_ok, num_tokens)
            for (text, num_tokens), verdict in zip(responses, verdicts, strict=True)
        ]

    def solve(self, tasks: Sequence[Task], *, seed: int, greedy: bool = False) -> list[Solved]:
        """One sampled (or greedy) and judged answer per task."""
        specs = [PromptSpec(kind=task.kind, role=Role.SOLVER, task=task) for task in tasks]
        responses = self._respond(specs, seed=seed, greedy=greedy)
        solutions = [
            Solution(solution_id="", task=task, response=text)
            for task, (text, _) in zip(tasks, responses, strict=True)
        ]
        judgements = asyncio.run(self._judge(solutions))
        return [
            Solved(text, judgement.outcome, num_tokens)
            for (text, num_tokens), judgement in zip(responses, judgements, strict=True)
        ]

    def prompt(self, spec: PromptSpec) -> list[int]:
        """The tokens of the prompt that the platform would render."""
        text = self._domain.build_prompt(spec, self._settings)
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def _respond(
        self, specs: Sequence[PromptSpec], *, seed: int, greedy: bool
    ) -> list[tuple[str, int]]:
        sampled = self._sampler.sample(
            [self.prompt(spec) for spec in specs],
            max_tokens=self._settings.response_tokens_max,
            seed=seed,
            greedy=greedy,
        )
        return [
            (self._tokenizer.decode(response.tokens), len(response.tokens) + response.finished)
            for response in sampled
        ]

    async def _validate(self, proposals: Sequence[Proposal]) -> list[Any]:
        return [
            await self._domain.validate(proposal, self._settings, self._runner)
            for proposal in proposals
        ]

    async def _judge(self, solutions: Sequence[Solution]) -> list[Any]:
        return [
            await self._domain.judge(solution, self._settings, self._runner)
            for solution in solutions
        ]


def solve_rate(solved: Sequence[Solved]) -> float:
    """Share of correct answers, 0 of none."""
    return sum(answer.correct for answer in solved) / len(solved) if solved else 0.0


def of_kind(tasks: Sequence[Task], kind: Kind) -> list[Task]:
    """The tasks of one kind, in their order."""
    return [task for task in tasks if task.kind is kind]
