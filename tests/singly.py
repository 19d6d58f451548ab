"""Results of a pool one by one: it hands on together what is ready together."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from services.execution.servicer import Runner
from zeroloop.core.execution import Result


async def singly(ready: AsyncGenerator[list[Result]]) -> AsyncGenerator[Result]:
    """Yield each; to leave early leaves the pool's call as well."""
    async with aclosing(ready) as lists:
        async for results in lists:
            for result in results:
                yield result


def of_pool(runner: Runner) -> Callable[..., AsyncGenerator[Result]]:
    """`runner.execute`, whose results come one by one, as a client's do."""
    return lambda *args, **kwargs: singly(runner.execute(*args, **kwargs))
