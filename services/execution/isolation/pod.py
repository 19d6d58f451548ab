"""Whether this process runs in a gVisor pod, with the rights that the sandbox needs there."""

import ctypes
import os
import re
from collections.abc import Sequence
from pathlib import Path

from zeroloop.errors import ConfigError

GVISOR_KERNEL = "#1 SMP Sun Jan 10 15:06:54 PST 2016"
"""What gVisor has called its kernel since its first release; no real one was built then."""

_GVISOR_STARTS = "Starting gVisor..."
"""First line of the kernel log that gVisor makes up for its containers."""

_READ_ALL = 3  # SYSLOG_ACTION_READ_ALL
_LOG_BYTES = 1 << 17
_CAPABILITIES = {"CAP_SETGID": 6, "CAP_SETUID": 7}

REMEDY = (
    "run the pod with runtimeClassName: gvisor, as user 0, with the capabilities SETUID and SETGID "
    "(docs/how-to/execution-in-a-pod.md); or choose isolation=gvisor where runsc runs on the host"
)


def require_gvisor_pod() -> str:
    """Return the release of the gVisor kernel that this process runs on.

    Raises:
        ConfigError: It is another kernel, or this process may not do what the sandbox needs.
    """
    check_kernel(os.uname().version, Path("/proc/version").read_text(), _kernel_log())
    check_rights(os.geteuid(), Path("/proc/self/status").read_text())
    return os.uname().release


def check_kernel(version: str, proc_version: str, log: str) -> None:
    """Refuse any kernel but gVisor's.

    Args:
        version: As uname(2) tells it.
        proc_version: Content of /proc/version.
        log: The kernel's log; empty if it may not be read, as in an ordinary container.

    Raises:
        ConfigError: One of the three is not gVisor's.
    """
    told = version == GVISOR_KERNEL and GVISOR_KERNEL in proc_version
    if not told or _GVISOR_STARTS not in log[: log.find("\n") + 1]:
        raise ConfigError(
            f"no isolation: isolation=gvisor-pod, but the kernel here is not gVisor's ({version}); "
            f"{REMEDY}"
        )


def check_rights(uid: int, status: str) -> None:
    """Refuse to go on without the rights that give sandboxes users of their own.

    Args:
        uid: The effective user.
        status: Content of /proc/self/status.

    Raises:
        ConfigError: Says what is missing.
    """
    effective = int(re.findall(r"^CapEff:\s+([0-9a-f]+)$", status, re.MULTILINE)[0], 16)
    missing = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    if uid != 0:
        missing.insert(0, f"user 0 (this is user {uid})")
    if missing:
        raise ConfigError(f"isolation=gvisor-pod lacks {_listed(missing)}; {REMEDY}")


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _kernel_log() -> str:
    buffer = ctypes.create_string_buffer(_LOG_BYTES)
    size = ctypes.CDLL(None).klogctl(_READ_ALL, buffer, _LOG_BYTES)
    return buffer.raw[: max(0, size)].decode(errors="replace")
