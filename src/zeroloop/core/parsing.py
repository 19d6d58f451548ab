"""From a model's reply to its layout and payloads. Bad output is data, never an exception.

A reply is what the model wrote after the forced `<think>`: reasoning, `</think>`, whitespace,
`<answer>...</answer>`. Payloads lie in fences of three backticks with the info strings
`python`, `input`, `output` and `message`.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from zeroloop.core import programs
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import Kind

PAYLOAD_BYTES_MAX = 65_536
"""One program, input or answer in UTF-8 bytes; what the sandbox takes."""


class Malformation(StrEnum):
    """Why a payload could not be read. Closed set: these values label a metric."""

    NO_PROGRAM = "no_program"
    INPUT_FIRST = "input_first"
    """The first fenced block of a proposal is its input."""

    NO_FUNCTION = "no_function"
    MANY_FUNCTIONS = "many_functions"
    TEST_INPUT_IN_PROGRAM = "test_input_in_program"
    NO_INPUT = "no_input"
    FEW_INPUTS = "few_inputs"
    NO_MESSAGE = "no_message"
    TOO_LARGE = "too_large"


@dataclass(frozen=True, slots=True)
class ProgramProposal:
    """What a proposer of abduction or deduction offers."""

    program: str
    """Source without its top-level imports; the entry point is named `f`."""

    imports: tuple[str, ...]
    """Every import of the program, nested ones too, in source order."""

    input: str
    """Argument-list text, not yet checked."""


@dataclass(frozen=True, slots=True)
class InductionProposal:
    """What a proposer of induction offers for a given program."""

    inputs: tuple[str, ...]
    message: str


@dataclass(frozen=True, slots=True)
class Solution:
    """A solver's answer. The layout is judged apart from the answer."""

    answer: str
    """Argument list, literal or program; empty if there is none."""

    format_ok: bool


# No rule has two neighbours that match the same text: hostile replies cost linear time.
_THINK_THEN_ANSWER = re.compile(r"</think>\s*<answer>")
_FLAGS = re.DOTALL | re.IGNORECASE
_BLOCK = re.compile(r"```(?:[a-z][\w+-]*[ \t]*(?=\n)|python\b|py\b)?(.*?)```", _FLAGS)
_MESSAGES = (
    re.compile(r"```message\b(.*?)```", _FLAGS),
    re.compile(r"<message>(.*?)</message>", _FLAGS),
    re.compile(r"# Message:\s*([^\n]*)", _FLAGS),
)


def _fence(name: str) -> re.Pattern[str]:
    return re.compile(rf"```{name}\b(.*?)```", _FLAGS)


def _heading(name: str) -> re.Pattern[str]:
    return re.compile(rf"# {name}:\s*((?:(?!```)[^\n])*)", _FLAGS)


def _ladder(name: str) -> tuple[re.Pattern[str], ...]:
    return (
        _fence(name),
        _heading(name),
        re.compile(rf"\b{name}\s*\(([^\n]{{0,4000}})\)", re.IGNORECASE),
        re.compile(rf"<{name}>(.*?)(?:</{name}>|$)", _FLAGS),
        re.compile(rf"the {name} is:?\s*([^\n]*)", re.IGNORECASE),
    )


_INPUT_FENCE = _fence("input")
_INPUT_HEADING = _heading("input")
_LADDERS = {Kind.ABDUCTION: _ladder("input"), Kind.DEDUCTION: _ladder("output")}


def format_ok(reply: str) -> bool:
    """Whether the reply has the required layout; text after `</answer>` is allowed."""
    match = _THINK_THEN_ANSWER.search(reply)
    return match is not None and "</answer>" in reply[match.end() :]


def thought(reply: str) -> str:
    """The reasoning: all up to `</think>`, or the whole reply."""
    return reply.partition("</think>")[0].strip()


def answer_body(reply: str, *, boxed_retry: bool = False) -> str:
    """The text after the last `<answer>`, trimmed; empty if there is none.

    Models think aloud with tags, so the last one counts.
    """
    _, tag, tail = reply.rpartition("<answer>")
    if tag:
        return tail.partition("</answer>")[0].strip()
    return _last_boxed(reply) if boxed_retry else ""


def _last_boxed(reply: str) -> str:
    _, tag, tail = reply.rpartition("\\boxed{")
    depth = 1
    for index, char in enumerate(tail if tag else ""):
        depth += {"{": 1, "}": -1}.get(char, 0)
        if depth == 0:
            return tail[:index].strip()
    return ""


def parse_program_proposal(
    reply: str, settings: AlgorithmSettings, *, seeding: bool = False
) -> ProgramProposal | Malformation:
    """Read a proposal of abduction or deduction.

    Seeding reads the payloads from the whole reply and applies the seeding rewrites.
    """
    settings = settings.for_seeding() if seeding else settings
    body = reply if seeding else answer_body(reply, boxed_retry=settings.boxed_retry)
    code = _proposed_code(body, settings)
    if isinstance(code, Malformation):
        return code
    input_text = _first(body, _INPUT_FENCE) or _first(body, _INPUT_HEADING)
    if not input_text:
        return Malformation.NO_INPUT
    if settings.reject_test_input_in_code and programs.holds_test_input(code):
        return Malformation.TEST_INPUT_IN_PROGRAM
    imports = programs.imports(code)
    code = programs.rewritten(
        code,
        comments=settings.remove_comments,
        after_return=settings.remove_after_return,
        prints=settings.remove_print,
    )
    program = programs.without_imports(code)
    if _too_large(input_text, "\n".join((*imports, program))):
        return Malformation.TOO_LARGE
    return ProgramProposal(program=program, imports=imports, input=input_text)


def _proposed_code(body: str, settings: AlgorithmSettings) -> str | Malformation:
    blocks = list(_BLOCK.finditer(body))
    if not blocks:
        return Malformation.NO_PROGRAM
    if blocks[0][0].lower().startswith("```input"):
        return Malformation.INPUT_FIRST
    code = blocks[0 if settings.code_location == "first" else -1][1].strip()
    functions = programs.function_names(code)
    if not functions:
        return Malformation.NO_FUNCTION
    if settings.reject_multiple_functions and len(functions) > 1:
        return Malformation.MANY_FUNCTIONS
    return programs.renamed(code, _entry_point(functions, settings.f_replace_location))


def _entry_point(functions: list[str], location: str) -> str:
    if location.startswith("any") and "f" in functions:
        return "f"
    return functions[-1 if location.endswith("last") else 0]


def parse_induction_proposal(
    reply: str, settings: AlgorithmSettings, *, seeding: bool = False
) -> InductionProposal | Malformation:
    """Read the inputs and the message of an induction proposal. The last inputs count."""
    body = reply if seeding else answer_body(reply, boxed_retry=settings.boxed_retry)
    inputs = [match.strip() for match in _INPUT_FENCE.findall(body)]
    if len(inputs) < settings.num_inputs:
        return Malformation.FEW_INPUTS
    inputs = inputs[-settings.num_inputs :]
    message = next((text for rule in _MESSAGES if (text := _first(body, rule))), "")
    if not message:
        return Malformation.NO_MESSAGE
    if _too_large(message, *inputs):
        return Malformation.TOO_LARGE
    return InductionProposal(inputs=tuple(inputs), message=message)


def parse_solution(reply: str, kind: Kind, settings: AlgorithmSettings) -> Solution:
    """Read a solver's answer. An induction answer without a program has no format."""
    body = answer_body(reply, boxed_retry=settings.boxed_retry)
    layout = format_ok(reply) or not settings.format_reward
    if kind is Kind.INDUCTION:
        blocks = _BLOCK.findall(body)
        answer = blocks[-1].strip() if blocks else ""
        return Solution(answer, format_ok=layout and bool(blocks))
    for rule in _LADDERS[kind]:
        if matches := rule.findall(body):
            return Solution(matches[-1].strip(), format_ok=layout)
    return Solution(body, format_ok=layout)


def _first(body: str, rule: re.Pattern[str]) -> str:
    match = rule.search(body)
    return match[1].strip() if match else ""


def _too_large(*payloads: str) -> bool:
    return any(len(text.encode(errors="replace")) > PAYLOAD_BYTES_MAX for text in payloads)
