"""The code domain as a plugin."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from services.reward.domains.base import Runner
from services.reward.domains.code import compact, judging, r1, validating
from zeroloop.core.composites import functions_of
from zeroloop.core.execution import SOURCE_BYTES_MAX
from zeroloop.core.judging import Domain, Judgement, PromptSpec, Proposal, Solution, Verdict
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Kind, Role, Task
from zeroloop.errors import invalid

VALIDATOR = "code/1"
"""Changes whenever the same proposal or answer could get another verdict."""

_Propose: TypeAlias = Callable[
    [Kind, Sequence[Task], Task | None, AlgorithmSettings, Sequence[str]], str
]
_Solve: TypeAlias = Callable[[Task, AlgorithmSettings], str]

_STYLES: dict[str, tuple[_Propose, _Solve]] = {
    "r1": (r1.propose_prompt, r1.solve_prompt),
    "compact": (compact.propose_prompt, compact.solve_prompt),
}


class CodeDomain:
    """Programs, their inputs and their outputs."""

    @property
    def about(self) -> Domain:
        """See `DomainPlugin`."""
        return Domain(
            name=validating.DOMAIN,
            kinds=tuple(Kind),
            styles=tuple(_STYLES),
            validator=VALIDATOR,
        )

    def build_prompt(self, spec: PromptSpec, settings: AlgorithmSettings) -> str:
        """See `DomainPlugin`."""
        settings = settings.for_seeding() if spec.seeding else settings
        propose, solve = _STYLES[settings.prompt_style]
        if spec.role is Role.PROPOSER:
            _require_task(spec, needed=spec.kind is Kind.INDUCTION)
            for reference in spec.references:
                _require_cases(reference)
            functions = _functions(spec)
            return propose(spec.kind, spec.references, spec.task, settings, functions)
        task = _require_task(spec, needed=True)
        assert task is not None
        if task.kind is not spec.kind:
            raise invalid("specs.task", f"must be of kind {spec.kind}, got {task.kind}")
        _require_cases(task)
        return solve(task, settings)

    async def validate(
        self, proposal: Proposal, settings: AlgorithmSettings, runner: Runner
    ) -> Verdict:
        """See `DomainPlugin`."""
        return await validating.validate(proposal, settings, runner)

    async def judge(
        self, solution: Solution, settings: AlgorithmSettings, runner: Runner
    ) -> Judgement:
        """See `DomainPlugin`."""
        _require_cases(solution.task)
        return await judging.judge(solution, settings, runner)


def _functions(spec: PromptSpec) -> tuple[str, ...]:
    """The sources of `g_0`, `g_1`, ... with their imports before them."""
    if not spec.composites:
        return ()
    if spec.kind is Kind.INDUCTION:
        raise invalid("specs.composites", "an induction proposal builds on no other programs")
    try:
        functions = functions_of(spec.composites)
    except ValueError as error:
        raise invalid("specs.composites", str(error)) from error
    pairs = zip(spec.composites, functions.sources, strict=True)
    return tuple("\n".join((*task.imports, source)) for task, source in pairs)


def _require_task(spec: PromptSpec, *, needed: bool) -> Task | None:
    if needed and spec.task is None:
        raise invalid("specs.task", f"a {spec.kind} prompt for a {spec.role} needs a task")
    if not needed and spec.task is not None:
        raise invalid("specs.task", f"a {spec.kind} prompt for a {spec.role} takes no task")
    return spec.task


def _require_cases(task: Task) -> None:
    if len(task.source.encode()) > SOURCE_BYTES_MAX:
        raise invalid("task.program", f"must have at most {SOURCE_BYTES_MAX} bytes")
    if task.kind is not Kind.INDUCTION and len(task.cases) != 1:
        raise invalid("task.cases", f"a {task.kind} task has one case, got {len(task.cases)}")
    if task.kind is Kind.INDUCTION and not task.hidden_cases:
        raise invalid("task.cases", "an induction task needs cases beyond those that are shown")
