"""Programs of the model run under limits."""

import pytest

from models.recipe.running import ForkRunner
from zeroloop.core.execution import Determinism
from zeroloop.core.tasks import RunStatus


@pytest.fixture(scope="module")
def runner():
    with ForkRunner() as runner:
        yield runner


async def test_it_returns_canonical_values_in_order(runner):
    results = await runner.run("def f(x):\n    return x[::-1]", ["[1, 2]", "'ab'"])
    assert [result.value for result in results] == ["[2, 1]", "'ba'"]


@pytest.mark.parametrize(
    "source",
    [
        "def f(x):\n    return 1 / 0",
        "def f(x):\n    while True:\n        pass",
        "def f(x):\n    return 'a' * 10**10",
        "def f(x):\n    return open('/etc/hostname').read()",
        "import os\ndef f(x):\n    return 1",
        "def g(x):\n    return x",
        "def f(x):\n    return f",
        "not python",
    ],
    ids=["raises", "loops", "memory", "file", "import", "no f", "opaque", "syntax"],
)
async def test_a_program_that_fails_or_oversteps_is_an_error(runner, source):
    (result,) = await runner.run(source, ["1"])
    assert result.status is RunStatus.ERROR


async def test_what_depends_on_the_hash_seed_is_not_deterministic(runner):
    (result,) = await runner.run("def f(x):\n    return hash(x)", ["'a'"], check_determinism=True)
    assert result.determinism is Determinism.NO
