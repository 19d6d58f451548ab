"""Programs as a model writes them: nothing in them depends on where they run."""

import random
from collections.abc import Callable, Sequence

from models.recipe.programs import draw_program, draw_value
from models.recipe.statements import Type
from tests.hostile import labelled
from zeroloop.core.execution import Program, Result

BODIES = [*labelled.PLAIN, *labelled.CHANCE_UNUSED, *labelled.ENDINGS]

NUMBERS = [
    "import math\ndef f(a, b): return math.sin(a), math.cos(b), math.tan(a * b)",
    "import math\ndef f(a, b): return math.exp(a / 50), math.log(a), math.log2(b), math.log1p(a)",
    "import math\ndef f(a, b): return a ** b, a ** 0.37, math.pow(a, 1.7), math.cbrt(b)",
    "import math\ndef f(a, b): return math.gamma(b % 30 + 0.5), math.lgamma(a), math.erf(b / 9)",
    "import math\ndef f(a, b): return math.atan2(a, b), math.hypot(a, b), math.sinh(b % 9)",
    "import cmath\ndef f(a, b): return cmath.sqrt(complex(a, -b)), cmath.exp(complex(b % 7, a))",
    "import random\ndef f(a, b): return random.Random(int(a)).gauss(b, 1)",
    "import statistics\ndef f(a, b): return statistics.stdev([a, b, 3]), statistics.fmean([a, b])",
    "import decimal\ndef f(a, b): return str(decimal.Decimal(str(a)) / decimal.Decimal(str(b)))",
    "import fractions\ndef f(a, b): return str(fractions.Fraction(a).limit_denominator(99) + b)",
    "def f(a, b): return sum(a / n - b for n in range(1, 200)), a // b, a % b, divmod(b, a)",
    "def f(a, b): return f'{a:.3f} {b:e} {a:g} {b:>12.2f}', repr(a / b), (a / b).hex()",
    "def f(a, b): return sorted([a, b, 1, -a, a * b], key=lambda x: -x), max(a, b), abs(-a)",
    "def f(a, b): return [int(a)] * int(b % 5), {int(b): a}, {int(a), int(b), 1}, int(a) << 70",
    "import json\ndef f(a, b): return json.dumps({'a': a, 'b': [b, None]}), json.loads('[1, 2e3]')",
    "import struct\ndef f(a, b): return struct.pack('<df', a, b), int(a).to_bytes(4, 'big')",
    "import zlib\ndef f(a, b): return zlib.crc32(b'%d' % a), zlib.compress(str(b).encode() * 9)",
    "import hashlib\ndef f(a, b): return hashlib.sha256(str((a, b)).encode()).hexdigest()",
    "import datetime\ndef f(a, b): return str(datetime.datetime(9, 1, 1) + datetime.timedelta(a))",
    "import itertools\ndef f(a, b): return list(itertools.accumulate([int(a), int(b), 5]))",
    "import re\ndef f(a, b): return re.findall(r'\\d+', f'{a} and {b}'), re.sub('1', 'x', str(a))",
    "def f(a, b):\n    print(a, b, sep=';')\n    print('é', [a])\n    return None",
    "def f(a, b):\n    print(a)\n    assert a < b, f'{a} is not less than {b}'\n    return b - a",
    "def f(a, b):\n    if a > b: raise ValueError(a, b)\n    return a / (b - b)",
    "class E(Exception): pass\ndef f(a, b): raise E(f'{a:.2f}') from None",
    "def f(a, b):\n    def g(n): return n and 1 + g(n - 1)\n    return g(int(a) % 90 * 12)",
    "def f(a, b): return [i for i in range(int(a) * 50)][-1], 'ab' * int(b)",
    "def f(a, b):\n    for i in range(int(a)): yield b",
    "def f(a): return a",
]
"""Of what libraries compute with, and what they say. Each gets two numbers."""

TEXTS = [
    "def f(x): return x.upper(), x.title(), x.casefold(), x[::-1], len(x), x.encode()",
    "def f(x): return sorted(x), x.split(), list(map(ord, x)), x.center(20, '*'), hash(x) == 0",
    "import unicodedata\ndef f(x): return unicodedata.normalize('NFKD', x), x.isalpha()",
    "def f(x): return int(x)",
    "def f(x): return {c: x.count(c) for c in x}, ascii(x), x.translate({97: 'b'})",
    "import textwrap\ndef f(x): return textwrap.fill(x * 9, 20), x.isidentifier(), f'{x!r:>30}'",
    "import ast\ndef f(x): return ast.unparse(ast.parse(f'a = [{x!r}, 1]'))",
    "def f(x): exec(x)",
]
LETTERS = "abc xyz123 éßŁ漢😀\t'\"\\\n"

KINDS: dict[str, int] = {"grammar": 60, "other type": 8, "numbers": 18, "text": 6, "labelled": 8}
"""Kinds of programs, and how often each is drawn of a hundred."""


def programs(count: int, seed: int) -> list[Program]:
    """So many programs, each with one input; the same for the same seed."""
    chance = random.Random(seed)
    kinds = chance.choices(list(KINDS), list(KINDS.values()), k=count)
    return [_MAKE[kind](chance) for kind in kinds]


def _of_grammar(chance: random.Random) -> Program:
    drawn = draw_program(chance)
    return Program(drawn.text, (repr(draw_value(chance, drawn.source)),))


def _of_other_type(chance: random.Random) -> Program:
    """A program of the grammar whose input is not what it expects."""
    drawn = draw_program(chance)
    other = chance.choice([kind for kind in Type if kind is not drawn.source])
    return Program(drawn.text, (repr(draw_value(chance, other)),))


def _of_numbers(chance: random.Random) -> Program:
    a, b = (chance.choice((chance.randint(1, 40), chance.uniform(0.01, 40))) for _ in range(2))
    return Program(chance.choice(NUMBERS), (f"{a!r}, {b!r}",))


def _of_text(chance: random.Random) -> Program:
    text = "".join(chance.choices(LETTERS, k=chance.randint(0, 12)))
    return Program(chance.choice(TEXTS), (repr(text),))


def _labelled(chance: random.Random) -> Program:
    return Program(f"def f():\n    {chance.choice(BODIES)}\n")


_MAKE: dict[str, Callable[[random.Random], Program]] = {
    "grammar": _of_grammar,
    "other type": _of_other_type,
    "numbers": _of_numbers,
    "text": _of_text,
    "labelled": _labelled,
}


def facts(result: Result) -> tuple[object, ...]:
    """All that a program decides, and nothing of what it took."""
    return (
        result.status.value,
        result.value,
        result.type_name,
        result.message,
        result.detail,
        result.stdout,
        result.stdout_truncated,
    )


def disagreements(
    programs: Sequence[Program], one: Sequence[Result], other: Sequence[Result]
) -> list[str]:
    """In words, every program of which two runs tell different facts."""
    return [
        f"{program.source!r} on {program.inputs[0]!r}: {facts(a)} and {facts(b)}"
        for program, a, b in zip(programs, one, other, strict=True)
        if facts(a) != facts(b)
    ]
