"""What makes a proposal a task: imports, inputs, determinism and output. Facts in, verdict out."""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from zeroloop.core import programs
from zeroloop.core.literals import LiteralError, canonical_arguments, equal, parse_canonical
from zeroloop.core.settings import AlgorithmSettings
from zeroloop.core.tasks import RunStatus

_KEPT_CHARS = 200
"""Of each end of an output that is cut, as in the reference."""


class Rejection(StrEnum):
    """Why a proposal is no task. Closed set: these values label a metric."""

    UNPARSABLE = "unparsable"
    """Payloads could not be read."""

    COMPOSITE = "composite"
    """It does not build on the programs that it was given, or redefines them."""

    BANNED_IMPORT = "banned_import"
    SYNTAX_ERROR = "syntax_error"

    FAILED = "failed"
    """The program failed, was killed or returned no plain data."""

    NONDETERMINISTIC = "nondeterministic"

    OUTPUT_POLICY = "output_policy"
    """The output is None, not equal to itself, or too long."""

    INPUTS = "inputs"
    """An input is no argument list of literals, or inputs repeat."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A verdict with what a person wants to know besides."""

    reason: Rejection
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The gold output of one run, in canonical text."""

    output: str


def check_program(source: str, settings: AlgorithmSettings) -> Rejected | None:
    """Check a whole program text, imports included, before it is run."""
    banned = banned_imports(source, settings)
    if banned:
        return Rejected(Rejection.BANNED_IMPORT, ", ".join(banned))
    if programs.parse(source) is None:
        return Rejected(Rejection.SYNTAX_ERROR)
    return None


def check_inputs(inputs: Sequence[str], *, distinct: bool) -> Rejected | None:
    """Check that inputs are argument lists of literals and, if asked, differ as values."""
    seen: set[str] = set()
    for text in inputs:
        try:
            value = canonical_arguments(text)
        except LiteralError as error:
            return Rejected(Rejection.INPUTS, f"{text[:80]!r}: {error}")
        if distinct and value in seen:
            return Rejected(Rejection.INPUTS, f"{text[:80]!r} repeats")
        seen.add(value)
    return None


def check_run(
    status: RunStatus, value: str, settings: AlgorithmSettings, *, deterministic: bool | None
) -> Accepted | Rejected:
    """Judge one run of a proposal.

    Args:
        status: How it ended. NOT_EXECUTED has no verdict and is refused.
        value: Canonical text of what it returned, if ok.
        settings: `determinism`, `allow_none_output`, `output_chars_max`, `long_output`,
            `equality` count.
        deterministic: Whether two fresh interpreters with different hash seeds agreed; None
            if that is unknown.

    Raises:
        ValueError: If the platform failed: that says nothing about the proposal.
    """
    if status is RunStatus.NOT_EXECUTED:
        raise ValueError("a run that was not executed has no verdict")
    if settings.determinism == "pair" and deterministic is False:
        return Rejected(Rejection.NONDETERMINISTIC, "two runs differ")
    if status is not RunStatus.OK:
        return Rejected(Rejection.FAILED, status.value)
    if settings.determinism == "pair" and deterministic is None:
        return Rejected(Rejection.NONDETERMINISTIC, "agreement of two runs is unknown")
    return check_output(value, settings)


def check_output(text: str, settings: AlgorithmSettings) -> Accepted | Rejected:
    """Apply the policy of gold outputs to the canonical text of a value."""
    try:
        value, again = parse_canonical(text), parse_canonical(text)
    except LiteralError as error:
        return Rejected(Rejection.FAILED, f"{RunStatus.GARBLED.value}: {error}")
    if value is None and not settings.allow_none_output:
        return Rejected(Rejection.OUTPUT_POLICY, "the program returned None")
    if not equal(value, again, typed=settings.equality == "typed"):
        return Rejected(Rejection.OUTPUT_POLICY, "the output does not equal itself")
    if len(text) <= settings.output_chars_max:
        return Accepted(text)
    if settings.long_output == "truncate":
        return Accepted(f"{text[:_KEPT_CHARS]}...{text[-_KEPT_CHARS:]}")
    limit = f"{len(text)} of at most {settings.output_chars_max} characters"
    return Rejected(Rejection.OUTPUT_POLICY, f"the output has {limit}")


def banned_imports(source: str, settings: AlgorithmSettings) -> list[str]:
    """The banned modules and names that a program brings in, sorted.

    `dotted` (default): an entry `a.b` bans the module `a.b` and the name `b` of module `a`,
    however it is reached: `import a.b`, `from a import b`, or `a.b` after `import a`. An entry
    without dots bans a module with all that is below it. `component`, as the reference: an
    entry bans every import one of whose dotted components equals it, so entries with dots
    never match.

    Text that does not parse is searched for whole words. This is a rule of the game, not a
    protection: that is the sandbox's part.
    """
    banned = set(settings.banned_modules)
    tree = programs.parse(source)
    if tree is None:
        return sorted(word for word in banned if re.search(rf"\b{re.escape(word)}\b", source))
    if settings.banned_match == "component":
        parts = {part for name in _imported(tree) for part in name.split(".")}
        return sorted(banned & parts)
    reached = {*_imported(tree), *_imported_names(tree), *_attributes(tree)}
    prefixes = {name[:end] for name in reached for end in _ends(name)}
    return sorted(banned & prefixes)


def _ends(name: str) -> list[int]:
    return [index for index, char in enumerate(name) if char == "."] + [len(name)]


def _imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of the modules that are imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _imported_names(tree: ast.Module) -> Iterator[str]:
    """`a.b` for `from a import b` and for `__import__("a.b")`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            first = node.args[0]
            if name in ("__import__", "import_module") and isinstance(first, ast.Constant):
                yield str(first.value)


def _attributes(tree: ast.Module) -> Iterator[str]:
    """`os.environ` where the program imported `os`, under whatever name."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                modules[alias.asname or root] = alias.name if alias.asname else root
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = modules.get(node.value.id)
            if module is not None:
                yield f"{module}.{node.attr}"
