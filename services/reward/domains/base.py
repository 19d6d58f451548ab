"""What a domain of tasks provides, and what it may use."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from zeroloop.core.execution import Limits, Program, Result
from zeroloop.core.judging import Domain, Judgement, PromptSpec, Proposal, Solution, Verdict
from zeroloop.core.settings import AlgorithmSettings


class Executor(Protocol):
    """Runs programs somewhere else, isolated. `zeroloop.client.execution` is one."""

    def execute(
        self, programs: Sequence[Program], limits: Limits | None = None
    ) -> AsyncIterator[Result]:
        """Yield each run's result as it finishes, in any order, at most 64 programs a call.

        Raises:
            UnavailableError: Nothing more will come; runs without a result were not executed.
        """
        ...


class Runner(Protocol):
    """Runs one program for a domain. Never raises for a failed platform."""

    async def run(
        self,
        source: str,
        inputs: Sequence[str],
        *,
        check_determinism: bool = False,
        reuse: bool = False,
    ) -> list[Result]:
        """Return one result per input, in their order.

        A run that the platform failed to make has the status `not_executed`. With `reuse` a
        run of the same program on the same inputs may answer; it is then marked `cached`.
        """
        ...


class DomainPlugin(Protocol):
    """Prompts, verification and judging of one family of tasks.

    A plugin is a pure function of its arguments and of what its programs do. A failed
    platform can only become a verdict with `not_executed` or the outcome `NOT_EXECUTED`.
    """

    @property
    def about(self) -> Domain:
        """Name, kinds, prompt styles and the validator's version."""
        ...

    def build_prompt(self, spec: PromptSpec, settings: AlgorithmSettings) -> str:
        """Render one prompt in the style of the settings, forced `<think>` included.

        Raises:
            InvalidRequestError: The spec lacks what its kind and role need.
        """
        ...

    async def validate(
        self, proposal: Proposal, settings: AlgorithmSettings, runner: Runner
    ) -> Verdict:
        """Parse a proposal and run it: a verified task, a rejection, or not executed.

        Raises:
            InvalidRequestError: The proposal lacks what its kind needs.
        """
        ...

    async def judge(
        self, solution: Solution, settings: AlgorithmSettings, runner: Runner
    ) -> Judgement:
        """Compare an answer with what the task asks for.

        Raises:
            InvalidRequestError: The task lacks what its kind needs.
        """
        ...
