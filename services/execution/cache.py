"""Results that need not be found again: those of programs that do not depend on chance."""

import hashlib
import struct
import sys
from collections import OrderedDict

from services.execution.frames import RunOrder
from services.execution.outcome import Outcome
from services.execution.work import Finished
from zeroloop.core.execution import Determinism
from zeroloop.core.tasks import RunStatus

_KEPT = {RunStatus.OK, RunStatus.ERROR, RunStatus.TOOLARGE, RunStatus.OPAQUE}
"""What a program did, whatever else the machine was doing."""

_LIMITS = struct.Struct("<ddQII")
_ENTRY_BYTES = 600
"""Of an outcome without its texts, its key and its place."""


def key_of(order: RunOrder, image_digest: str) -> bytes:
    """SHA-256 of all that a result depends on, each part with its length."""
    limits = _LIMITS.pack(
        order.cpu_s, order.wall_s, order.memory_bytes, order.stdout_bytes, order.value_bytes
    )
    state = hashlib.sha256()
    # By tenant: a worker that one has broken must not answer another from here.
    for part in (order.source, order.arguments, limits, order.tenant, image_digest.encode()):
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.digest()


class ResultCache:
    """Keeps outcomes up to a size; what was not asked for longest goes first.

    Only what two interpreters agreed on is kept, and never a time-out.
    """

    def __init__(self, bytes_max: int) -> None:
        self.hits = self.misses = 0
        """Looks that found something, and those that did not."""

        self._bytes_max = bytes_max
        self._outcomes: OrderedDict[bytes, Outcome] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._outcomes)

    def get(self, key: bytes) -> Finished | None:
        """What is known under the key."""
        outcome = self._outcomes.get(key)
        if outcome is None:
            self.misses += 1
            return None
        self.hits += 1
        self._outcomes.move_to_end(key)
        return Finished(outcome, Determinism.YES, cached=True)

    def put(self, key: bytes, finished: Finished) -> None:
        """Keep a result, if it is one of those."""
        outcome = finished.outcome
        if finished.determinism is not Determinism.YES or outcome.status not in _KEPT:
            return
        if key in self._outcomes or _size(outcome) > self._bytes_max:
            return
        self._outcomes[key] = outcome
        self._bytes += _size(outcome)
        while self._bytes > self._bytes_max:
            _, oldest = self._outcomes.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(outcome: Outcome) -> int:
    texts = (outcome.value, outcome.message, outcome.type_name, outcome.stdout)
    return _ENTRY_BYTES + sum(map(sys.getsizeof, texts))
