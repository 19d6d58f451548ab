"""Those who ask the service: they run programs in one mode and check what comes back."""

import inspect
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from tests.bench.executing.trivial import BATCH, SOURCE, WrongResultError, inputs
from zeroloop.core.execution import Limits, Program, Result
from zeroloop.core.tasks import RunStatus

Execute = Callable[..., AsyncGenerator[Result]]
"""`Pool.execute` or `ExecutionClient.execute`."""

LIMITS = Limits()


def mode_if_it_takes_one(execute: Execute, mode: str) -> dict[str, str]:
    """What to add to a call so that it runs in `mode`.

    An adapter for as long as there is an `execute` that knows `strict` alone and takes no mode;
    without those, `{"mode": mode}` is all of it.

    Raises:
        TypeError: It cannot be asked for that mode.
    """
    if "mode" in inspect.signature(execute).parameters:
        return {"mode": mode}
    if mode != "strict":
        raise TypeError(f"{execute} takes no mode, so it cannot run in {mode!r}")
    return {}


class Caller:
    """Has programs run in one mode."""

    def __init__(self, execute: Execute, mode: str) -> None:
        self._execute = execute
        self._mode = mode
        self._added = mode_if_it_takes_one(execute, mode)
        self.modes = Counter[str]()
        """Of the results of trivial programs: `reset` has odd ones run again in `strict`."""

    def results(
        self, programs: Sequence[Program], limits: Limits = LIMITS
    ) -> AsyncGenerator[Result]:
        """The results of one call, as they finish."""
        return self._execute(programs, limits, **self._added)

    async def one(self, program: Program, limits: Limits = LIMITS) -> Result:
        """Run one program on one input in a call of its own."""
        async with aclosing(self.results([program], limits)) as results:
            [result] = [result async for result in results]
        return result

    async def trivial(self, count: int = BATCH) -> int:
        """Run so many trivial programs in one call; return their number.

        Raises:
            WrongResultError: One gave something else than it must, or none came.
        """
        asked = inputs(count)
        programs = [Program(SOURCE, (one.text,)) for one in asked]
        seen = set[str]()
        async with aclosing(self.results(programs)) as results:
            async for result in results:
                if result.status is not RunStatus.OK:
                    raise WrongResultError(f"a trivial program ended like this: {result}")
                asked[int(result.program_id)].check(result.value)
                seen.add(result.program_id)
                self.modes[result.mode] += 1
        if len(seen) != count:
            raise WrongResultError(f"{len(seen)} results for {count} programs")
        return count

    async def single(self) -> int:
        """Run one trivial program in a call of its own; return 1."""
        return await self.trivial(1)

    @property
    def elsewhere(self) -> float:
        """Share of trivial programs that another mode has answered."""
        return 1 - self.modes[self._mode] / max(1, self.modes.total())
