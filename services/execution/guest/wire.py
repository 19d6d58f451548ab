"""Frames on the pipes between host and supervisor; layouts: `services/execution/frames.py`."""

import posix

FRAME_BYTES_MAX = 4 << 20


class Frames:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self.data = b""

    def feed(self, data: bytes) -> list[bytes]:
        self.data += data
        frames: list[bytes] = []
        while len(self.data) >= 4:
            size = int.from_bytes(self.data[:4], "little")
            if size > FRAME_BYTES_MAX:
                raise SystemExit("frame too long")
            if len(self.data) < 4 + size:
                break
            frames.append(self.data[4 : 4 + size])
            self.data = self.data[4 + size :]
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
