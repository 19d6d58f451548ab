"""What mode `reset` may get wrong: runs that are done again in `strict`, and a sample of others.

In `reset` all runs of a worker happen in one process. Whatever does not look like an ordinary end
is run again in `strict`, whose answer counts. Of the ordinary ones a sample is, too: if an answer
differs that does not depend on chance, the mode is not to be trusted any more.
"""

import hashlib
import itertools
import logging
import random
from dataclasses import dataclass, field

from opentelemetry import metrics

from services._server import instruments, semconv
from services.execution.outcome import PERHAPS_CPU, Outcome, compare
from services.execution.work import Call, Finished, Job, RunName, Work
from zeroloop.core.execution import Determinism, Mode
from zeroloop.core.tasks import RunStatus

logger = logging.getLogger(__name__)
meter = metrics.get_meter("zeroloop.execution", schema_url=semconv.SCHEMA_URL)

repeated = instruments.counter(meter, semconv.METRIC_EXEC_REPEATED)
checked = instruments.counter(meter, semconv.METRIC_EXEC_CHECKED)

CHECKED_SHARE = 0.01
CHECKS_AT_ONCE = 64
"""More would only wait: `strict` is slow."""

_ODD = {RunStatus.OOM, RunStatus.CRASH, RunStatus.GARBLED, RunStatus.NOT_EXECUTED}
_BAD_ADDRESS = "[Errno 14]"
"""The kernel could not write where the driver watches."""


@dataclass(slots=True)
class OddRuns:
    """Decides what is run again, and whether `reset` is still to be trusted."""

    work: Work
    sampler: random.Random = field(default_factory=random.Random)
    distrusted: str = ""
    """Why nothing runs in `reset` any more."""

    _call: Call = field(default_factory=Call)
    _awaited: dict[RunName, Outcome] = field(default_factory=dict[RunName, Outcome])
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        # Else the first one is no increase of anything; and of `no` there is never a second.
        repeated.add(0)
        for agrees in Determinism:
            checked.add(0, {semconv.AGREES: agrees.value})

    def is_odd(self, outcome: Outcome) -> bool:
        """Whether an outcome of `reset` is one that only `strict` may give."""
        if outcome.status is RunStatus.TIMEOUT:
            return outcome.detail == PERHAPS_CPU
        if outcome.status is RunStatus.ERROR:
            return outcome.message.startswith(_BAD_ADDRESS)
        return outcome.status in _ODD

    def run_in_strict(self, job: Job) -> None:
        """Queue it again, as if it had never run."""
        repeated.add(1)
        job.first = None
        job.mode = Mode.STRICT
        self.work.put_back(job)

    def check_some(self, job: Job, finished: Finished) -> None:
        """Run a sample of what does not depend on chance in `strict`, too."""
        if (
            finished.determinism is not Determinism.YES
            or len(self._awaited) >= CHECKS_AT_ONCE
            or self.sampler.random() >= CHECKED_SHARE
        ):
            return
        run = RunName(str(next(self._numbers)), 0)
        self._awaited[run] = finished.outcome
        self.work.pending += 1
        self._call.unfinished += 1
        self.work.put(Job(self._call, run, job.order, paired=False))

    async def compare(self) -> None:
        """Compare the sample's outcomes until cancelled."""
        while True:
            item = await self._call.finished.get()
            assert item is not None
            run, finished = item
            self._call.take()
            self._judge(self._awaited.pop(run), finished.outcome)

    def _judge(self, outcome: Outcome, strict: Outcome) -> None:
        same = compare(outcome, strict)
        checked.add(1, {semconv.AGREES: same.value})
        if same is Determinism.NO:
            facts = {"reset": _digest(outcome), "strict": _digest(strict)}
            logger.error("modes_disagree", extra=facts)
            self.distrusted = "an answer differed from that of strict"
            self.work.make_all_strict()


def _digest(outcome: Outcome) -> str:
    """Names an outcome in the log without repeating what a program said."""
    content = f"{outcome.value}\0{outcome.message}".encode(errors="replace")
    return f"{outcome.status.value} {outcome.type_name[:80]} {hashlib.sha256(content).hexdigest()}"
