"""Those who ask the service: they run programs in one mode and check what comes back."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from tests.bench.executing.trivial import BATCH, SOURCE, WrongResultError, inputs
from zeroloop.core.execution import Limits, Program, Result
from zeroloop.core.tasks import RunStatus

Execute = Callable[..., AsyncGenerator[Result]]
"""`ExecutionClient.execute`, or a pool's as `of_pool` gives it."""

LIMITS = Limits()


class Caller:
    """Has programs run in one mode."""

    def __init__(self, execute: Execute, mode: str) -> None:
        self._execute = execute
        self._mode = mode
        self.modes = Counter[str]()
        """Of the results of trivial programs: `reset` has odd ones run again in `strict`."""

    def results(
        self, programs: Sequence[Program], limits: Limits = LIMITS
    ) -> AsyncGenerator[Result]:
        """The results of one call, as they finish."""
        return self._execute(programs, limits, mode=self._mode)

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
