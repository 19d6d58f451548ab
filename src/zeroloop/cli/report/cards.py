"""One invented task as a card: what the solver saw, and what was hidden from it. Pure."""

from html import escape

from zeroloop.core.stored_tasks import StoredTask
from zeroloop.core.tasks import Kind

DOT = "\u25cf"
CASES_SHOWN = 3
TEXT_CHARS_MAX = 160

_HIDDEN = {
    Kind.ABDUCTION: "the input",
    Kind.DEDUCTION: "the output",
    Kind.INDUCTION: "the program",
}


def card(stored: StoredTask) -> str:
    """Return the card of one task."""
    task = stored.task
    hidden = task.kind is Kind.INDUCTION
    program = f"<pre{_class(hidden=hidden)}>{escape(task.source)}</pre>"
    return (
        f'<article class="task">{_header(stored)}{program}'
        f'<dl class="case">{_message(stored)}{_cases(stored)}</dl></article>'
    )


def _header(stored: StoredTask) -> str:
    kind = stored.task.kind
    seen = stored.observations[0]
    solved = round(seen.success_rate * seen.attempts)
    pips = f"{DOT * solved}<i>{DOT * (seen.attempts - solved)}</i>"
    return (
        f'<header><span class="kind back-{kind}">{kind}: find {_HIDDEN[kind]}</span>'
        f'<span><span class="pips">{pips}</span> solved {solved} of {seen.attempts}</span>'
        f"<span>round {stored.lineage.round}</span></header>"
    )


def _message(stored: StoredTask) -> str:
    if not stored.task.message:
        return ""
    return f"<dt>hint</dt><dd>{escape(_cut(stored.task.message))}</dd>"


def _cases(stored: StoredTask) -> str:
    task = stored.task
    shown = task.cases[: task.shown or 1][:CASES_SHOWN]
    rows = ""
    for case in shown:
        given = _span(case.input, hidden=task.kind is Kind.ABDUCTION)
        found = _span(case.output, hidden=task.kind is Kind.DEDUCTION)
        rows += f"<dt>f(\u2026)</dt><dd>{given} <i>\u2192</i> {found}</dd>"
    if left := len(task.cases) - len(shown):
        rows += f"<dt></dt><dd><i>and {left} more pairs</i></dd>"
    return rows


def _span(text: str, *, hidden: bool) -> str:
    return f"<span{_class(hidden=hidden)}>{escape(_cut(text)) or '(none)'}</span>"


def _class(*, hidden: bool) -> str:
    return ' class="hidden"' if hidden else ""


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "\u2026"
