"""The only tasks written by hand: the identity function, for each kind.

Source: arXiv:2505.03335, section "Buffer Initialization".
"""

from services.controller.rounds.game import DOMAIN
from zeroloop.core.tasks import Case, Kind, Task

PROGRAM = "def f(a):\n    return a"

_HELLO = Case('"Hello world"', "'Hello world'")

_PAIRS = (
    _HELLO,
    Case("1", "1"),
    Case("dict(a=1, b=2)", "{'a': 1, 'b': 2}"),
    Case("(1.1, 1.2, 1.3)", "(1.1, 1.2, 1.3)"),
    Case('"[[1, 0, 0], [0, 0, 0], [0, 0, 0]]"', "'[[1, 0, 0], [0, 0, 0], [0, 0, 0]]'"),
    Case("1001101100010001", "1001101100010001"),
)


def zero_task(kind: Kind) -> Task:
    """Return the task of `kind` that every run begins with."""
    if kind is Kind.INDUCTION:
        return Task(
            domain=DOMAIN,
            kind=kind,
            program=PROGRAM,
            cases=_PAIRS,
            message="Return whatever is passed in.",
            shown=len(_PAIRS) // 2,
        )
    return Task(domain=DOMAIN, kind=kind, program=PROGRAM, cases=(_HELLO,))
