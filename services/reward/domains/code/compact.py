"""The `compact` prompts of the code domain: the same game as `r1` in few characters.

For models that were trained on exactly this text, such as the seedling, whose context is counted
in characters. Roles, kinds, fences and the format check are those of `r1` (algorithm.md 1.2): each
prompt ends with the forced `<think>`; a response is reasoning, `</think>`, `<answer>…</answer>`.

The texts are a contract with trained weights: changing one means training those models again.
"""

from collections.abc import Sequence

from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Kind, Task

FORCED_THINK = "<think>"
"""How each prompt ends, so that every response starts inside the reasoning."""


def propose_prompt(
    kind: Kind,
    references: Sequence[Task],
    program: Task | None,
    settings: AlgorithmSettings,
    functions: Sequence[str] = (),
) -> str:
    """The prompt that asks for a new task of `kind`.

    Args:
        kind: What the solver of the new task will have to find.
        references: Tasks with one case each, shown as examples; induction shows none.
        program: Induction only: the task whose program the inputs and the message are for.
        settings: Says how many inputs an induction proposal must give.
        functions: Sources of `g_0`, `g_1`, ..., all of which the new program must call. The
            seedling was not trained on them.

    Raises:
        ValueError: If an induction proposal has no program, or another proposal has one.
    """
    if (kind is Kind.INDUCTION) != (program is not None):
        raise ValueError(f"{kind} proposal got program={program!r}; only induction has one")
    if program is not None:
        return _prompt(f"propose {kind} {settings.num_inputs}", _fence("python", program.source))
    heading = " ".join((f"propose {kind}", *(f"g_{index}" for index in range(len(functions)))))
    sources = (_fence("python", source) for source in functions)
    return _prompt(heading, *(_snippet(task) for task in references), *sources)


def solve_prompt(task: Task, settings: AlgorithmSettings) -> str:
    """The prompt that asks for the missing part of `task`.

    `settings` is not read; the signature is the one that the prompt styles share.

    Raises:
        ValueError: If an abduction or deduction task does not have exactly one case.
    """
    del settings
    heading = f"solve {task.kind}"
    if task.kind is Kind.INDUCTION:
        pairs = (
            part
            for case in task.cases[: task.shown]
            for part in (_fence("input", case.input), _fence("output", case.output))
        )
        return _prompt(heading, *pairs, _fence("message", task.message))
    if len(task.cases) != 1:
        raise ValueError(f"{task.kind} task has {len(task.cases)} cases; it must have 1")
    case = task.cases[0]
    given = (
        _fence("output", case.output)
        if task.kind is Kind.ABDUCTION
        else _fence("input", case.input)
    )
    return _prompt(heading, _fence("python", task.source), given)


def _snippet(task: Task) -> str:
    """A reference: a whole triplet, whatever part of it a solver would have to find."""
    case = task.cases[0]
    return "\n".join(
        (
            _fence("python", task.source),
            _fence("input", case.input),
            _fence("output", case.output),
        )
    )


def _prompt(*parts: str) -> str:
    return "\n".join((*parts, FORCED_THINK))


def _fence(info: str, text: str) -> str:
    return f"```{info}\n{text}\n```"
