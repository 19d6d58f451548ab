"""Frames on the pipes between host and supervisor; layouts: `services/execution/frames.py`."""

import posix

LENGTH_BYTES = 4
FRAME_BYTES_MAX = 4 << 20
"""Either way. A run's answer is at most 2 MiB and some."""


class FrameError(Exception):
    """The other side does not speak our language."""


class Frames:
    """Cuts a stream of bytes into frames, on either side."""

    def __init__(self) -> None:
        self.rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that are whole now."""
        rest, at = self.rest, 0
        rest += data
        frames: list[bytes] = []
        while len(rest) - at >= LENGTH_BYTES:
            start = at + LENGTH_BYTES
            size = int.from_bytes(rest[at:start], "little")
            if size > FRAME_BYTES_MAX:
                raise FrameError(f"frame of {size} bytes; at most {FRAME_BYTES_MAX}")
            if len(rest) < start + size:
                break
            at = start + size
            frames.append(bytes(rest[start:at]))
        del rest[:at]
        return frames


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[posix.write(fd, data) :]


def done(
    run_id: int,
    how: bytes,
    code: int = 0,
    *,
    cpu_us: int = 0,
    wall_us: int = 0,
    peak_bytes: int = 0,
    answer: bytes = b"",
) -> bytes:
    """The frame: how the run ended, what it took, and what it answered."""
    numbers = ((code, 4), (cpu_us, 8), (wall_us, 8), (peak_bytes, 8))
    words = [value.to_bytes(size, "little") for value, size in numbers]
    return b"".join((b"D", run_id.to_bytes(4, "little"), how, *words, answer))
