"""The `r1` prompts of the code domain: natural language, for models that can follow it.

Content after arXiv:2505.03335, appendix "Prompts", in our own words. Every payload is joined
in as it is, never through a template. A change of wording changes what is learned: the golden
tests show it.
"""

from collections.abc import Iterable, Sequence

from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Kind, Task

_WRAPPER = """\
The following is a conversation between a User and an Assistant. The User asks a question and \
the Assistant solves it. The Assistant first reasons privately, step by step, and only then \
gives the User the answer. The reasoning is enclosed in <think> </think> tags and the answer in \
<answer> </answer> tags, like this: <think> reasoning here </think> <answer> answer here </answer>.
User: """

_OPENING = "\nAssistant: <think>"

_TEST_SUBJECT = {
    Kind.ABDUCTION: """\
The snippet and the output of its one input are a question of an I.Q. test. The test subject is \
given your code and the output, and must find an input that gives exactly this output. The input \
should therefore be hard to work out from the output.""",
    Kind.DEDUCTION: """\
The snippet and its one input are a question of an I.Q. test. The test subject is given your code \
and the input, and must predict the output without running anything. The output should therefore \
be hard to predict from the input.""",
}

_PROPOSE_FORMAT = """\
## Format
Write the code in one ```python block and then the input in one ```input block, like this:
```python
def f(name: str, info: dict):
    # code here
    return result
```
```input
'Ada', {'year': 1843, 'city': 'London'}
```"""

_INPUT_RULES = """\
## Input requirements
- Give exactly one test input.
- Separate several arguments by commas, as in a call of the function.
- Put quotes around strings."""

_PLAN = """\
First think carefully: plan why your snippet and input are challenging, distinct from the \
references and creative. Then write the final code and input."""

_ABDUCTION_EXAMPLE = """\
Give the input in one ```input block. Separate several arguments by commas and put quotes around \
strings, as in this example:
```input
'Ada', {'year': 1843, 'city': 'London'}
```"""

_DEDUCTION_EXAMPLE = """\
Give the output in one ```output block. Put quotes around strings, and write several return \
values as a tuple, as in this example:
```output
('Ada', 1843)
```"""

_INDUCTION_EXAMPLE = """\
Give the whole program in one ```python block. **The entry function must be named `f`**, as in \
this example, which returns whatever it is given:
```python
def f(a):
    return a
```"""


def propose_prompt(
    kind: Kind,
    references: Sequence[Task],
    program: Task | None,
    settings: AlgorithmSettings,
    functions: Sequence[str] = (),
) -> str:
    """Ask for a new task of `kind`.

    Args:
        kind: What the solver of the new task will have to find.
        references: Tasks with one case each, shown as examples; induction shows none.
        program: Induction only: the task whose program the inputs and the message are for.
        settings: The rules in force: time limit, banned words, number of inputs.
        functions: Sources of `g_0`, `g_1`, ..., all of which the new program must call.

    Raises:
        ValueError: If an induction proposal has no program, or another proposal has one.
    """
    if (kind is Kind.INDUCTION) != (program is not None):
        raise ValueError(f"{kind} proposal got program={program!r}; only induction has one")
    if program is not None:
        return _wrapped(_propose_induction(program, settings))
    return _wrapped(_propose_program(kind, references, settings, functions))


def solve_prompt(task: Task, settings: AlgorithmSettings) -> str:
    """Ask for the missing part of `task`.

    Raises:
        ValueError: If an abduction or deduction task does not have exactly one case.
    """
    if task.kind is Kind.INDUCTION:
        return _wrapped(_solve_induction(task, settings))
    if len(task.cases) != 1:
        raise ValueError(f"{task.kind} task has {len(task.cases)} cases; it must have 1")
    case = task.cases[0]
    program = _fence("python", task.source)
    if task.kind is Kind.ABDUCTION:
        goal = (
            "Here are a Python program and the output of one call of its function `f`. Find one "
            "possible input that gives this output. There may be several; any of them counts."
        )
        return _wrapped(_join(goal, program, _fence("output", case.output), _ABDUCTION_EXAMPLE))
    goal = (
        "Here are a Python program and an input of its function `f`. Work out step by step what "
        "the call returns."
    )
    return _wrapped(_join(goal, program, _fence("input", case.input), _DEDUCTION_EXAMPLE))


def _propose_program(
    kind: Kind, references: Sequence[Task], settings: AlgorithmSettings, functions: Sequence[str]
) -> str:
    goal = (
        "Create a new Python code snippet together with exactly one matching input. The snippet "
        "may use classes of its own, if they are defined at the top."
    )
    inspiration = (
        "The reference snippets at the end, if there are any, are for inspiration. Yours must be "
        "new and distinct from them, and must demand deep algorithmic reasoning."
    )
    return _join(
        f"## Task\n{goal}",
        f"{_TEST_SUBJECT[kind]}\n{inspiration}",
        _propose_rules(settings),
        _INPUT_RULES,
        _PROPOSE_FORMAT,
        _criteria(settings),
        _PLAN,
        *_references(references),
        *_functions(functions),
    )


def _propose_rules(settings: AlgorithmSettings) -> str:
    rules = [
        "Name the entry function `f`; it may define functions inside itself.",
        *_code_rules(settings),
        "Make the reader track state over several transformations, or reason in many steps.",
        "Put imports and classes at the very top.",
        "End the snippet with the `return` of `f`; whatever follows is dropped.",
    ]
    if settings.remove_input_from_snippet:
        rules.append("Do not put the test input anywhere into the snippet.")
    if settings.remove_after_return:
        rules.append("Keep all variables inside functions; global variables are removed.")
    return _bullets("Code requirements", rules)


def _code_rules(settings: AlgorithmSettings) -> list[str]:
    return [
        "The function must return a value.",
        "The function must take at least one argument.",
        "Be deterministic: the same input always gives the same output.",
        (
            "Use no randomness, no date or time, no files, no network, no printing or logging, and "
            "no state outside the function."
        ),
        f"Finish within {settings.cpu_limit_s:g} seconds on a modern CPU.",
    ]


def _criteria(settings: AlgorithmSettings) -> str:
    banned = ", ".join(settings.banned_modules)
    criteria = [
        "Executability: the code must run with your input.",
        (
            "Difficulty: the question must be hard for its algorithms or its logic, for instance "
            "trees, heaps, stacks, queues, graphs, dynamic programming, recursion, divide and "
            "conquer, greedy choices or backtracking."
        ),
        "Creativity: the code must be unlike the reference snippets.",
    ]
    if banned:
        criteria.append(f"Not allowed in any form, even in comments: {banned}.")
    return _bullets("What counts", criteria)


def _references(references: Sequence[Task]) -> Iterable[str]:
    if not references:
        return
    yield "## Reference snippets"
    for number, task in enumerate(references):
        case = task.cases[0]
        body = "\n".join(
            (
                _fence("python", task.source),
                _fence("input", case.input),
                _fence("output", case.output),
            )
        )
        yield f"<snippet_{number}>\n{body}\n</snippet_{number}>"


def _functions(functions: Sequence[str]) -> Iterable[str]:
    if not functions:
        return
    names = ", ".join(f"`g_{index}`" for index in range(len(functions)))
    rules = [
        f"`f` must call **all** of these functions: {names}.",
        "Do not define them again; they are put in front of your snippet as they are.",
        "Do more than wrap them: `f` must add work of its own to what they return.",
        "First reason about what each of them does, and how they can be combined.",
    ]
    yield _bullets("Functions to build on", rules)
    yield "\n".join(_fence("python", source) for source in functions)


def _propose_induction(program: Task, settings: AlgorithmSettings) -> str:
    count = settings.num_inputs
    goal = (
        f"Write {count} inputs for the code snippet below that give diverse outputs, and one "
        "message. A test subject sees some of the inputs with their outputs and the message, but "
        "not the code, and must deduce the code. The message must help with that."
    )
    criteria = [
        "Executability: the code must run with every input.",
        "Coverage: the inputs must span the space of possible inputs.",
        "Diversity: the inputs must differ from each other.",
        "Difficulty: deducing the code must be challenging, but possible.",
    ]
    message = [
        "It may have any style: a hint, a coding question, or plain natural language.",
        "It must not contain the code.",
    ]
    layout = (
        f"## Format\nWrite each of the {count} inputs in an ```input block of its own, and then "
        "the message in one ```message block. Separate several arguments by commas, put quotes "
        "around strings:\n```input\n'Ada', {'year': 1843, 'city': 'London'}\n```\n"
        "```input\n'Emmy', {'year': 1918, 'city': 'Erlangen'}\n```\n"
        "```message\nFind out how the result depends on the name and on the entries.\n```"
    )
    call = "f(<|YOUR INPUT GOES HERE|>)"
    return _join(
        f"## Task\n{goal}",
        _bullets("Message requirements", message),
        layout,
        _bullets("What counts", criteria),
        "## Code snippet\n" + _fence("python", f"{program.source}\n\n{call}"),
    )


def _solve_induction(task: Task, settings: AlgorithmSettings) -> str:
    goal = (
        "Here are pairs of inputs and outputs of a Python function `f`, and a message about it. "
        "Write a program that reproduces every pair. It is checked on hidden pairs as well, so "
        "it must be the general rule and not a list of the examples."
    )
    pairs = "\n".join(
        f"{_fence(f'input_{number}', case.input)}\n{_fence(f'output_{number}', case.output)}"
        for number, case in enumerate(task.cases[: task.shown])
    )
    check = "Check your program against each pair above, and revise it until all of them hold."
    return _join(
        goal,
        pairs,
        _fence("message", task.message),
        _bullets("Code requirements", _code_rules(settings)),
        check,
        _INDUCTION_EXAMPLE,
    )


def _wrapped(question: str) -> str:
    return _WRAPPER + question + _OPENING


def _join(*parts: str) -> str:
    return "\n\n".join(parts)


def _bullets(title: str, lines: Iterable[str]) -> str:
    return "\n".join((f"## {title}", *(f"- {line}" for line in lines)))


def _fence(info: str, text: str) -> str:
    return f"```{info}\n{text}\n```"
