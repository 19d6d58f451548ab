"""What mode `reset` may get wrong: runs that are done again in `strict`, and a sample of others.

In `reset` all runs of a worker happen in one process. Whatever does not look like an ordinary end
is run again in `strict`, whose answer counts. Of the ordinary ones a sample is, too. An answer that
differs there is asked for once more, from a worker that has run nothing: a program may look at what
is different in the modes, at the loaded modules for instance, and then says the same again. If not,
something of another run was in the answer, and the mode is not to be trusted any more with the
programs of this tenant. With others' it is: nobody shall be able to slow down all the rest.
"""

import hashlib
import itertools
import logging
import random
import secrets
from dataclasses import dataclass, field, replace

from opentelemetry import metrics

from services._server import instruments, semconv
from services.execution.frames import TENANT_BYTES, RunOrder
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

BY_MODE = "by_mode"
"""Beside yes, no and unknown: how a program agrees that tells the modes apart."""

_ODD = {RunStatus.OOM, RunStatus.CRASH, RunStatus.GARBLED, RunStatus.NOT_EXECUTED}
_BAD_ADDRESS = "[Errno 14]"
"""The kernel could not write where the driver watches."""


@dataclass(frozen=True, slots=True)
class _Check:
    """An ordinary run that is looked at again."""

    order: RunOrder
    outcome: Outcome
    strict: Outcome | None = None
    """What `strict` found, if that was something else."""


@dataclass(slots=True)
class OddRuns:
    """Decides what is run again, and whether `reset` is still to be trusted."""

    work: Work
    sampler: random.Random = field(default_factory=random.Random)
    distrusted: set[bytes] = field(default_factory=set[bytes])
    """Tenants of whose programs none runs in `reset` any more."""

    _call: Call = field(default_factory=Call)
    _awaited: dict[RunName, _Check] = field(default_factory=dict[RunName, _Check])
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        # Else the first one is no increase of anything; and of `no` there is never a second.
        repeated.add(0)
        for agrees in (*(known.value for known in Determinism), BY_MODE):
            checked.add(0, {semconv.AGREES: agrees})

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
        self._ask(_Check(job.order, finished.outcome), job.order, Mode.STRICT)

    def _ask(self, check: _Check, order: RunOrder, mode: Mode) -> None:
        run = RunName(str(next(self._numbers)), 0)
        self._awaited[run] = check
        self.work.pending += 1
        self._call.unfinished += 1
        self.work.put(Job(self._call, run, order, paired=False, mode=mode))

    async def compare(self) -> None:
        """Compare the sample's outcomes until cancelled."""
        while True:
            item = await self._call.finished.get()
            assert item is not None
            run, finished = item
            self._call.take()
            check = self._awaited.pop(run)
            if check.strict is None:
                self._judge(check, finished.outcome)
            else:
                self._judge_difference(check, check.strict, finished.outcome)

    def _judge(self, check: _Check, strict: Outcome) -> None:
        same = compare(check.outcome, strict)
        if same is Determinism.NO:
            # Of a tenant that nobody is, so that no worker may run it that has run anything.
            fresh = replace(check.order, tenant=secrets.token_bytes(TENANT_BYTES))
            self._ask(replace(check, strict=strict), fresh, Mode.RESET)
        else:
            checked.add(1, {semconv.AGREES: same.value})

    def _judge_difference(self, check: _Check, strict: Outcome, fresh: Outcome) -> None:
        """`fresh` is what a worker found that had run nothing before."""
        same = compare(check.outcome, fresh) if fresh.mode is Mode.RESET else Determinism.UNKNOWN
        agrees = BY_MODE if same is Determinism.YES else same.value
        checked.add(1, {semconv.AGREES: agrees})
        facts = {"reset": check.outcome, "strict": strict, "fresh": fresh}
        digests = {name: _digest(outcome) for name, outcome in facts.items()}
        if same is not Determinism.NO:
            logger.info("modes_told_apart", extra={**digests, semconv.AGREES: agrees})
            return
        logger.error("modes_disagree", extra=digests)
        self.distrusted.add(check.order.tenant)
        self.work.make_strict(check.order.tenant)


def _digest(outcome: Outcome) -> str:
    """Names an outcome in the log without repeating what a program said."""
    content = f"{outcome.value}\0{outcome.message}".encode(errors="replace")
    return f"{outcome.status.value} {outcome.type_name[:80]} {hashlib.sha256(content).hexdigest()}"
