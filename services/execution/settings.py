"""Settings of the Execution service."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from services._server import ServiceSettings
from zeroloop.core.execution import Limits


class ExecutionSettings(ServiceSettings):
    """Settings, read from flags and from the environment as ZEROLOOP_EXECUTION__<FIELD>."""

    isolation: Literal["gvisor", "gvisor-pod", "unsafe"] = "gvisor"
    """`gvisor` starts sandboxes with runsc. `gvisor-pod` is for a service that itself runs in a pod
    of RuntimeClass gvisor: it starts them within that pod. `unsafe` runs programs of a model on
    this machine with no isolation worth the name. Every result says so. There is no automatic way
    there."""

    platform: Literal["auto", "systrap", "ptrace", "kvm"] = "auto"
    """gVisor's platform; `auto` tries systrap, then ptrace."""

    runsc: Path | None = None
    """The `runsc` to use; unset: the one that `make setup` built, else the one on the PATH."""

    python: Path | None = None
    """CPython 3.11 or newer that programs run in; unset: the one that runs this service."""

    cache_dir: Path | None = None
    """Where the sandbox image and the built runsc lie; unset: $ZEROLOOP_CACHE, else
    ~/.cache/zeroloop."""

    scratch_dir: Path | None = None
    """Where running sandboxes keep their bundles; unset: below the system's temporary folder."""

    mode: Literal["auto", "reset", "strict"] = "auto"
    """`strict` forks a child for each run. `reset` puts an interpreter's memory back instead, which
    is many times faster; what is odd there is run again in `strict`. `auto` is `reset` where it
    works (x86-64), and says if it does not."""

    cache_mib: int = Field(default=64, ge=0, le=65_536)
    """Memory for results of programs that two interpreters agreed on; 0 keeps none."""

    preload: tuple[str, ...] = ()
    """Modules of the standard library that every program finds imported already. Each makes
    every run dearer: a child copies what its parent has written."""

    sandboxes: int = Field(default=2, ge=1, le=64)
    """Sandboxes at once. Each costs about 150 MiB with mode `reset`; two use two cores."""

    workers: int = Field(default=2, ge=1, le=32)
    """Programs that run at once in a sandbox. An endless loop blocks one until its limit."""

    queue_runs_max: int = Field(default=8192, ge=1, le=1_000_000)
    """Runs that may wait; who brings more gets RESOURCE_EXHAUSTED. A call has at most 4,096."""

    recycle_runs: int = Field(default=10_000, ge=1)
    """Runs in `strict` after which a sandbox is replaced by a new one."""

    recycle_growth: float = Field(default=0.1, gt=0)
    """Share by which a sandbox's memory may grow before it is replaced."""

    health_s: float = Field(default=30.0, ge=0.1, le=3600)
    """Without any finished run for so long, one of our own proves that programs still run."""

    cpu_time_s: float = Field(default=1.0, ge=0.05, le=60)
    """Default limit: processor time of a run."""

    wall_time_s: float | None = Field(default=None, ge=0.05, le=300)
    """Default limit: wall-clock time of a run; unset: 4 times the processor time plus 2 s."""

    memory_mib: int = Field(default=512, ge=64, le=4096)
    """Default limit: address space of a run."""

    stdout_bytes: int = Field(default=65_536, ge=0, le=1 << 20)
    """Default limit: captured standard output."""

    value_bytes: int = Field(default=65_536, ge=1, le=1 << 20)
    """Default limit: canonical text of the value."""

    def default_limits(self) -> Limits:
        """The limits of a call that names none."""
        return Limits(
            cpu_time_s=self.cpu_time_s,
            wall_time_s=self.wall_time_s,
            memory_mib=self.memory_mib,
            stdout_bytes=self.stdout_bytes,
            value_bytes=self.value_bytes,
        )
