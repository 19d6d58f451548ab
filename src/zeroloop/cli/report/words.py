"""What the report says in words. Pure: facts in, sentences out."""

from html import escape
from pathlib import Path

from zeroloop.cli.durations import rough
from zeroloop.cli.facts import RunFacts
from zeroloop.cli.output import counted
from zeroloop.cli.report.charts import points
from zeroloop.cli.summary import duration_s
from zeroloop.core.heldout import Change
from zeroloop.core.tasks import Kind

GLOSSARY = (
    ("proposer, solver", "The same model in two roles: it writes a task, or answers one."),
    ("deduction", "Program and input are given; the solver finds the output."),
    ("abduction", "Program and output are given; the solver finds an input that leads there."),
    ("induction", "Inputs and outputs are given; the solver writes the program."),
    ("valid", "The program ran safely in a sandbox, and twice with the same result."),
    ("learnable", "The solver managed the new task sometimes: neither never nor always."),
    ("held-out", "Fixed tasks that the model never trained on, the same before and after."),
)


def headline(facts: RunFacts) -> str:
    """The run in one line."""
    rounds, tasks = len(facts.played), len(facts.invented)
    return f"{counted(rounds, 'round')} of self-play, {number(tasks)} tasks, no training data"


def lead(facts: RunFacts) -> str:
    """What happened, for a person who was not there."""
    model = Path(facts.run.spec.model).name
    played, spent = len(facts.played), rough(duration_s(facts))
    rounds = "its only round" if played == 1 else f"each of {played} rounds"
    return (
        f"The language model <b>{escape(model)}</b> taught itself for {spent}. In "
        f"{rounds} it invented programming tasks; a sandbox ran them and kept those that "
        "work. The model tried to solve them, and learned from the outcome: solving "
        "correctly paid, and so did inventing tasks that are neither trivial nor impossible. "
        "But for one trivial program to begin with, nobody gave it a task or an answer."
    )


def verdict(changes: dict[Kind, Change]) -> str:
    """Whether it got better, without claiming more than the intervals allow."""
    if not changes:
        return (
            "There is no evaluation before and after learning, so nothing can be said about this. "
            "Give held-out tasks with <code>--heldout</code>."
        )
    rose = [k for k, c in changes.items() if c.difference.excludes_zero and c.difference.mean > 0]
    fell = [k for k, c in changes.items() if c.difference.excludes_zero and c.difference.mean < 0]
    open_ = [k for k in changes if k not in rose and k not in fell]
    sentences: list[str] = []
    if rose:
        sentences.append(f"{_names(rose)} rose: the interval of the change excludes zero.")
    if fell:
        sentences.append(f"{_names(fell)} fell: the interval of the change excludes zero.")
    if open_:
        told = ", ".join(f"{k} {points(changes[k].difference.mean)}" for k in open_)
        sentences.append(
            f"Not settled by these tasks ({told} points): the interval includes zero. More rounds "
            "make an effect larger, more held-out tasks make its interval narrower."
        )
    return " ".join(sentences)


def number(value: float) -> str:
    """Write a count with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\u202f")


def _names(kinds: list[Kind]) -> str:
    words = [kind.capitalize() if i == 0 else str(kind) for i, kind in enumerate(kinds)]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
