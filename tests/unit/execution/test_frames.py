"""Frames: what goes in comes out, and what does not fit is refused."""

import struct

import pytest

from services.execution.frames import (
    FRAME_BYTES_MAX,
    Done,
    FrameError,
    How,
    NotStarted,
    OverCpu,
    Ready,
    RunOrder,
    decode_reply,
    encode_kill,
    encode_run,
)
from services.execution.guest.wire import Frames

ORDER = RunOrder(
    source=b"def f(): pass",
    arguments=b"((), {})",
    cpu_s=1.5,
    wall_s=8.0,
    memory_bytes=512 << 20,
    stdout_bytes=10,
    value_bytes=20,
    tenant=b"a tenant's hash.",
)
DONE = b"D" + struct.pack("<IcIQQQ", 7, b"E", 0, 1_500_000, 2_000_000, 4096)


def test_an_order_carries_everything() -> None:
    frame = encode_run(7, 1, 3, ORDER)

    size, kind, run_id, seed, slot, cpu_us, wall_us, memory, stdout, value, tenant, source = (
        struct.unpack_from("<IcIIHQQQII16sI", frame)
    )
    assert size == len(frame) - 4
    assert (kind, run_id, seed, slot) == (b"R", 7, 1, 3)
    assert (cpu_us, wall_us, memory) == (1_500_000, 8_000_000, 512 << 20)
    assert (stdout, value, tenant, source) == (10, 20, ORDER.tenant, len(ORDER.source))
    assert frame.endswith(ORDER.source + ORDER.arguments)


def test_an_order_over_the_limit_is_refused() -> None:
    huge = RunOrder(
        source=b"x" * FRAME_BYTES_MAX,
        arguments=b"",
        cpu_s=1,
        wall_s=1,
        memory_bytes=1,
        stdout_bytes=1,
        value_bytes=1,
    )
    with pytest.raises(FrameError, match="at most"):
        encode_run(1, 0, 0, huge)


@pytest.mark.parametrize("piece_bytes", [1, 3, 7, 1000])
def test_a_stream_is_cut_into_frames_however_it_arrives(piece_bytes: int) -> None:
    payloads = [b"", b"A", b"x" * 300, b"W"]
    stream = b"".join(len(payload).to_bytes(4, "little") + payload for payload in payloads)
    reader, found = Frames(), list[bytes]()

    for at in range(0, len(stream), piece_bytes):
        found += reader.feed(stream[at : at + piece_bytes])

    assert found == payloads


def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    head = (FRAME_BYTES_MAX + 1).to_bytes(4, "little")
    with pytest.raises(FrameError, match=str(FRAME_BYTES_MAX + 1)):
        Frames().feed(head)


def test_a_kill_says_what_for() -> None:
    assert encode_kill(9, How.CANCELLED) == b"\x06\0\0\0K\x09\0\0\0X"


@pytest.mark.parametrize(
    ("payload", "reply"),
    [
        pytest.param(b"A", Ready(), id="ready"),
        pytest.param(b"O\x07\0\0\0", OverCpu(7), id="over its limit"),
        pytest.param(b"F\x07\0\0\0why\xff", NotStarted(7, "why\ufffd"), id="not started"),
        pytest.param(
            DONE + b"answer", Done(7, How.EXITED, 0, 1.5, 2.0, 4096, b"answer"), id="done"
        ),
    ],
)
def test_replies(payload: bytes, reply: object) -> None:
    assert decode_reply(payload) == reply


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"?", id="unknown"),
        pytest.param(b"O\x07", id="too short"),
        pytest.param(b"O\x07\0\0\0\0", id="too long"),
        pytest.param(b"F\x07", id="failure too short"),
        pytest.param(DONE[:-1], id="cut"),
        pytest.param(DONE.replace(b"E", b"?"), id="unknown end"),
    ],
)
def test_a_broken_reply_is_an_error(payload: bytes) -> None:
    with pytest.raises(FrameError):
        decode_reply(payload)
