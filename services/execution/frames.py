"""Frames between the service and a sandbox: what is sent, and a distrustful reader of replies.

A frame is a 4-byte little-endian length and that many bytes. All integers are little-endian
and unsigned. The sandbox's side is `guest/supervisor.py`.
"""

import struct
from dataclasses import dataclass
from enum import Enum

from services.execution.guest.wire import FRAME_BYTES_MAX, LENGTH_BYTES, FrameError

NUMBER_MAX = 1 << 53
"""Of microseconds or bytes."""

TENANT_BYTES = 16
NOBODY = bytes(TENANT_BYTES)

_RUN = struct.Struct(f"<cIIHQQQII{TENANT_BYTES}sI")
_DONE = struct.Struct("<cIcIQQQ")
_RUN_ID = struct.Struct("<I")
_LONG = struct.Struct("<IQ")


class How(Enum):
    """How a child ended, as its supervisor saw it."""

    EXITED = b"E"
    SIGNALLED = b"S"
    CPU = b"C"
    """Killed at the processor limit."""

    PERHAPS_CPU = b"c"
    """Killed at the processor limit, but a neighbour may have used that time."""

    WALL = b"W"
    """Killed at the wall-clock limit."""

    FLOODED = b"G"
    """Killed for writing more than any answer can be."""

    CANCELLED = b"X"
    """Killed because nobody wants the answer any more."""

    UNSURE = b"U"
    """Something was odd in mode `reset`, whatever it was: to be done again in `strict`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOrder:
    """One run, ready for a sandbox: the input is parsed, and written anew by us."""

    source: bytes
    arguments: bytes
    """Python expression of `(args, kwargs)`, canonical."""

    cpu_s: float
    wall_s: float
    memory_bytes: int
    stdout_bytes: int
    value_bytes: int
    tenant: bytes = NOBODY
    """Whose program it is, of `TENANT_BYTES`: two tenants' share no worker."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The sandbox takes work."""


@dataclass(frozen=True, slots=True)
class WorkersReady:
    """The workers of one interpreter take work in mode `reset`."""


@dataclass(frozen=True, slots=True)
class ResetImpossible:
    """Mode `reset` does not work here, or no longer."""

    reason: str


@dataclass(frozen=True, slots=True)
class TakesLong:
    """A run in mode `reset` is watched from now on."""

    run_id: int
    elapsed_s: float
    """For how long it may have run already."""


@dataclass(frozen=True, slots=True)
class OverCpu:
    """A run is over its processor limit by the sandbox's clock."""

    run_id: int


@dataclass(frozen=True, slots=True)
class NotStarted:
    """A run failed before its program began: our fault."""

    run_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """A run has ended, and this is how."""

    run_id: int
    how: How
    code: int
    """Signal or exit code."""

    cpu_s: float
    wall_s: float
    peak_memory_bytes: int
    answer: bytes
    """What the child wrote. Nothing of it is to be believed but its shape."""


Reply = Ready | WorkersReady | ResetImpossible | TakesLong | OverCpu | NotStarted | Done


def encode_run(run_id: int, seed: int, slot: int, order: RunOrder, *, reset: bool = False) -> bytes:
    """The frame that orders a run under `seed`, in `strict` by the child of that `slot`."""
    head = _RUN.pack(
        b"Q" if reset else b"R",
        run_id,
        seed,
        slot,
        int(order.cpu_s * 1e6),
        int(order.wall_s * 1e6),
        order.memory_bytes,
        order.stdout_bytes,
        order.value_bytes,
        order.tenant,
        len(order.source),
    )
    return _framed(head + order.source + order.arguments)


def encode_kill(run_id: int, how: How) -> bytes:
    """The frame that ends a run and says what for."""
    return _framed(b"K" + _RUN_ID.pack(run_id) + how.value)


def _framed(payload: bytes) -> bytes:
    if len(payload) > FRAME_BYTES_MAX:
        raise FrameError(f"frame of {len(payload)} bytes; at most {FRAME_BYTES_MAX}")
    return len(payload).to_bytes(LENGTH_BYTES, "little") + payload


def decode_reply(payload: bytes) -> Reply:
    """Read what a sandbox sent.

    Raises:
        FrameError: It is none of our frames.
    """
    try:
        match payload[:1]:
            case b"D":
                _, run_id, how, code, cpu_us, wall_us, peak = _DONE.unpack_from(payload)
                if max(cpu_us, wall_us, peak) > NUMBER_MAX:
                    raise FrameError("a number that nothing can be")
                answer = payload[_DONE.size :]
                return Done(run_id, How(how), code, cpu_us / 1e6, wall_us / 1e6, peak, answer)
            case b"A":
                return Ready()
            case b"W":
                return WorkersReady()
            case b"V":
                return ResetImpossible(payload[1:].decode(errors="replace"))
            case b"N":
                run_id, elapsed_us = _LONG.unpack(payload[1:])
                return TakesLong(run_id, elapsed_us / 1e6)
            case b"O":
                return OverCpu(*_RUN_ID.unpack(payload[1:]))
            case b"F":
                (run_id,) = _RUN_ID.unpack(payload[1:5])
                return NotStarted(run_id, payload[5:].decode(errors="replace"))
            case kind:
                raise FrameError(f"unknown frame {kind!r}")
    except (struct.error, ValueError) as error:
        raise FrameError(f"broken frame: {error}") from error
