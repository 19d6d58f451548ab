"""N: what a plain fork server without isolation gives, the measure of all the others.

A script, run as `python -I -S fork_server.py`. Reads a batch as a line of JSON, a list of source
and arguments; writes the list of answers as one. For each program: a pipe, a fork, resource
limits, another user, the null device, the program, JSON through the pipe, the wait.
"""

import json
import os
import resource
import sys
from typing import Any, NoReturn

NOBODY = 65534
LIMITS = (
    (resource.RLIMIT_AS, 512 << 20),
    (resource.RLIMIT_CPU, 3),
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_NOFILE, 32),
)


def run(source: str, arguments: list[Any]) -> Any:
    """Run one program in a child and return its answer."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        be_child(source, arguments, write_fd)
    os.close(write_fd)
    chunks: list[bytes] = []
    while data := os.read(read_fd, 65536):
        chunks.append(data)
    os.close(read_fd)
    os.waitpid(pid, 0)
    return json.loads(b"".join(chunks))


def be_child(source: str, arguments: list[Any], write_fd: int) -> NoReturn:
    """Run the program, answer and end."""
    try:
        for limit, value in LIMITS:
            resource.setrlimit(limit, (value, value))
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        null_fd = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null_fd, fd)
        os.write(write_fd, json.dumps({"value": called(source, arguments)}).encode())
    finally:
        os._exit(0)


def called(source: str, arguments: list[Any]) -> str:
    """What `f` returns, as `repr` writes it."""
    scope: dict[str, Any] = {}
    exec(compile(source, "<program>", "exec"), scope)
    return repr(scope["f"](*arguments))


def main() -> None:
    """Warm up `compile()`, which builds its types on first use; then serve."""
    called("def f(a=1):\n    return [a + b for b in range(3)]\n", [])
    for line in sys.stdin.buffer:
        answers = [run(source, arguments) for source, arguments in json.loads(line)]
        sys.stdout.buffer.write(json.dumps(answers).encode() + b"\n")
        sys.stdout.buffer.flush()


main()
