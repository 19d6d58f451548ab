"""What a pod's processor clock is worth."""

import asyncio
import subprocess
import sys

import pytest

from services.execution.isolation import pace
from services.execution.yardstick import Yardstick, slowdown_of

PIECE_NS = 300_000


@pytest.mark.parametrize(
    ("times_longer", "running", "cores", "slowdown"),
    [
        pytest.param(1.0, 1, 2, 1.0, id="a machine of its own"),
        pytest.param(5.0, 1, 2, 5.0, id="others on the machine"),
        pytest.param(2.5, 5, 2, 1.0, id="only the pod's own programs, which the clock divides"),
        pytest.param(10.0, 5, 2, 4.0, id="both"),
        pytest.param(0.9, 1, 2, 1.0, id="never less than 1"),
        pytest.param(3.0, 0, 2, 3.0, id="nobody counts what runs"),
    ],
)
def test_waiting_is_told_from_work(
    times_longer: float, running: int, cores: int, slowdown: float
) -> None:
    took_ns = int(times_longer * PIECE_NS * pace.PIECES)

    assert slowdown_of(took_ns, PIECE_NS, running, cores) == pytest.approx(slowdown)


async def test_a_yardstick_measures_and_ends() -> None:
    yardstick = await Yardstick.start()

    async with asyncio.timeout(30):
        measured = [await yardstick.slowdown() for _ in range(2)]
    await yardstick.end()

    assert min(measured) >= 1.0
    with pytest.raises(OSError, match="gone"):
        await yardstick.slowdown()


def test_the_work_ends_with_its_input() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", pace.__file__], input=b"", capture_output=True, check=True
    )

    assert done.stdout == b""
