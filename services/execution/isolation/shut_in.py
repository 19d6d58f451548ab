"""Shuts a process into the image, inside a gVisor pod: `python shut_in.py ROOT FIRST_ID COMMAND...`

What `runsc` gives a sandbox on a host, given by gVisor's kernel inside the pod: user, process,
network, IPC, host name and mount namespaces, a root of its own, three capabilities. It takes
CAP_SETUID and CAP_SETGID, to give each sandbox users of its own; all other rights come with the
new user namespace, hold within it alone, and are given up before the command starts.

A script and not a module, and ctypes rather than a library of ours: it runs between the service
and the supervisor, in an interpreter that knows neither.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

SHUT_IN_FAILED = 71
DEVICES = ("full", "null", "random", "urandom", "zero")
"""Of those that gVisor gives a container, the ones that hold nothing."""

PRIVATE_PROC = "/usr/lib/zeroloop/private/proc"
"""As in `image`: a procfs for the supervisor, behind a folder that only root may enter."""

WORKER_IDS = range(65535 - 3 * 32, 65535)
"""Users that workers have inside; outside, no two sandboxes have one in common."""

IDS_EACH = 1 + len(WORKER_IDS)
"""Users that a sandbox has outside: its root, which is nobody's there, and its workers."""

OPEN_FILES_MAX = 256
KEPT_CAPABILITIES = (5, 6, 7)  # CAP_KILL, CAP_SETGID, CAP_SETUID

_NAMESPACES = (
    0x00020000  # CLONE_NEWNS
    | 0x04000000  # CLONE_NEWUTS
    | 0x08000000  # CLONE_NEWIPC
    | 0x10000000  # CLONE_NEWUSER
    | 0x20000000  # CLONE_NEWPID
    | 0x40000000  # CLONE_NEWNET
)
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXEC = 1, 2, 4, 8
_REMOUNT, _NO_ACCESS_TIMES, _BIND, _RECURSIVE, _PRIVATE = 0x20, 0x400, 0x1000, 0x4000, 0x40000
_DETACH = 2
_PDEATHSIG, _CAPABILITY_DROP, _NO_NEW_PRIVILEGES = 1, 24, 38
_EINVAL = 22

_libc = ctypes.CDLL(None, use_errno=True)


class ShutInError(Exception):
    """A step failed; says which and why."""


def main(arguments: Sequence[str]) -> NoReturn:
    """Shut this process in, then run the command as a child of it; end as it ends."""
    root, first_id, *command = arguments
    try:
        os.chdir(root)  # while we are somebody who may: the folders above it can be private
        enter_namespaces(int(first_id))
        build_root()
        child = os.fork()
        if child == 0:
            become(command)
    except (OSError, ShutInError) as error:
        print(f"cannot shut the sandbox in: {error}", file=sys.stderr, flush=True)
        os._exit(SHUT_IN_FAILED)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def id_map(first_id: int) -> str:
    """Which users outside those inside are. None of them is the service's, which is root."""
    return f"0 {first_id} 1\n{WORKER_IDS.start} {first_id + 1} {len(WORKER_IDS)}\n"


def enter_namespaces(first_id: int) -> None:
    """Leave all namespaces of the pod, as a root that is nobody outside."""
    pid = os.getpid()
    entered_read, entered_write = os.pipe()
    # Who has entered may not map users any more, so somebody stays outside for a moment.
    outside = os.fork()
    if outside == 0:
        os.close(entered_write)
        _map_when_entered(entered_read, pid, first_id)
    os.close(entered_read)
    _call("unshare", _NAMESPACES)
    os.write(entered_write, b"x")
    os.close(entered_write)
    _, status = os.waitpid(outside, 0)
    if status:
        raise ShutInError("its users cannot be mapped; CAP_SETUID and CAP_SETGID are needed")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.setgroups([])


def _map_when_entered(entered: int, pid: int, first_id: int) -> NoReturn:
    failed = 1
    try:
        if os.read(entered, 1):
            for name in ("gid_map", "uid_map"):
                with open(f"/proc/{pid}/{name}", "w") as file:
                    file.write(id_map(first_id))
            failed = 0
    finally:
        os._exit(failed)


def build_root() -> None:
    """Make the current folder, read-only and with devices, all there is of the file system."""
    _mount("none", "/", _PRIVATE | _RECURSIVE)
    _mount(".", ".", _BIND)
    os.chdir("../" + os.path.basename(os.getcwd()))  # noqa: PTH109, PTH119 (what is mounted)
    _mount("none", "dev", _NO_SUID | _NO_EXEC, kind="tmpfs", data="mode=0755,size=4k")
    for name in DEVICES:
        os.close(os.open(f"dev/{name}", os.O_CREAT | os.O_WRONLY, 0o666))
        _mount(f"/dev/{name}", f"dev/{name}", _BIND)
    os.mkdir("dev/shm")  # noqa: PTH102 (pathlib is slow to import)
    _mount("none", "dev", _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | _NO_EXEC)
    # What the pod's own root forbids is not ours to allow again.
    forbidden = os.statvfs(".").f_flag & (_NO_DEVICES | _NO_EXEC | _NO_ACCESS_TIMES)
    _mount("none", ".", _REMOUNT | _BIND | _READ_ONLY | _NO_SUID | forbidden)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")
    _call("sethostname", b"", 0)


def mount_private_proc() -> None:
    """Where the image has it, but behind a folder of our own: the image's is the pod's root's."""
    plain = _NO_SUID | _NO_DEVICES | _NO_EXEC
    folder = os.path.dirname(PRIVATE_PROC)  # noqa: PTH120 (pathlib is slow to import)
    _mount("none", folder, plain, kind="tmpfs", data="mode=0700,size=4k")
    os.mkdir(PRIVATE_PROC)  # noqa: PTH102
    _mount("proc", PRIVATE_PROC, _READ_ONLY | plain, kind="proc")
    _mount("none", folder, _REMOUNT | _BIND | _READ_ONLY | plain)


def become(command: Sequence[str]) -> NoReturn:
    """Turn into the command, as the first process of the namespace, with hardly a right left."""
    # Without it there is no mode `reset`, which is told.
    with contextlib.suppress(OSError, ShutInError):
        mount_private_proc()
    _prctl(_PDEATHSIG, signal.SIGKILL)
    _prctl(_NO_NEW_PRIVILEGES, 1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES_MAX, OPEN_FILES_MAX))
    number = 0
    while number in KEPT_CAPABILITIES or _prctl(_CAPABILITY_DROP, number, allowed=_EINVAL):
        number += 1
    os.execv(command[0], list(command))  # noqa: S606


def _mount(source: str, target: str, flags: int, *, kind: str = "", data: str = "") -> None:
    names = [os.fsencode(word) for word in (source, target)]
    _call("mount", *names, kind.encode(), ctypes.c_ulong(flags), data.encode(), about=target)


def _prctl(option: int, value: int, *, allowed: int = 0) -> bool:
    """Returns whether it succeeded; it may fail only with the error that is allowed."""
    if _libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))) == 0:
        return True
    if ctypes.get_errno() != allowed:
        raise ShutInError(f"prctl {option}: {os.strerror(ctypes.get_errno())}")
    return False


def _call(name: str, *arguments: bytes | int | ctypes.c_ulong, about: str = "") -> None:
    if getattr(_libc, name)(*arguments) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise ShutInError(f"{name} {about}".strip() + f": {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
