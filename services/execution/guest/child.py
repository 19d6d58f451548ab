"""What one forked child does: lock itself in, run one program on one input, write one answer.

A program may reach everything here, through frames or the collector, and change it: the process
is its own and ends with it. What it cannot reach is any other run. The host believes nothing of
the answer but its shape.

The answer: status, truncated (0 or 1), then type name, message, value and stdout, each a 4-byte
little-endian length and that many bytes. The statuses are `o` ok, `e` error, `m` out of memory,
`l` too large, `p` not plain data.
"""

# ruff: noqa: BLE001, S102, S307, SLF001 (running other people's code is what this is for)
# pyright: reportPrivateUsage=false

import _frozen_importlib
import _imp
import _warnings
import builtins
import gc
import io
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would double the zygote
    from collections.abc import Callable
    from typing import Any, NoReturn

    from services.execution.guest.supervisor import Request, RunChild, Settings

MESSAGE_CHARS_MAX = 400
NAME_CHARS_MAX = 200
RECURSION_MAX = 1000
INT_DIGITS_MAX = 4300
SETUP_FAILED = 70
CPU_BACKSTOP_S = 2
STDOUT = 1
FRAMES_FEWER = 3 if sys.version_info < (3, 12) else 0
"""Than a program has above itself in mode `reset`: until 3.12 calls through C count as well."""

real_name = type.__dict__["__name__"].__get__


def field(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


NO_MEMORY = b"m\0" + field(b"MemoryError") + 3 * field(b"")
"""Ready before it is needed: building it would take memory."""


class Capture(io.RawIOBase):
    """Keeps the first bytes of standard output, so that printing can neither block nor grow."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_left = bytes_max
        self.truncated = False
        self.chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "Any") -> int:
        size = len(data)
        if size > self.bytes_left:
            self.truncated = True
        if self.bytes_left:
            kept = bytes(data[: self.bytes_left])
            self.chunks.append(kept)
            self.bytes_left -= len(kept)
        return size


def text_name(kind: type) -> bytes:
    """Name of a type, from the type object itself: a metaclass may have its own idea."""
    return str.encode(real_name(kind)[:NAME_CHARS_MAX], "utf-8", "backslashreplace")


def text_message(error: BaseException) -> bytes:
    """What the exception says. This is the program's own code, and it runs under its limits."""
    try:
        message = str.__getitem__(str(error), slice(0, MESSAGE_CHARS_MAX))
    except MemoryError:
        raise
    except BaseException:
        return b""
    return str.encode(message, "utf-8", "backslashreplace")


class Runner:
    """Everything a child needs, built once in the zygote."""

    def __init__(self, canonical: "dict[str, Any]") -> None:
        self.write = canonical["canonical_text"]
        self.opaque = canonical["OpaqueValueError"]
        self.too_large = canonical["ValueTooLargeError"]
        self.literals: dict[str, object] = {
            "__builtins__": {},
            "nan": float("nan"),
            "inf": float("inf"),
            "set": set,
            "frozenset": frozenset,
            "range": range,
            "complex": complex,
        }

    def answer(self, source: bytes, arguments: bytes, stdout_bytes: int, value_bytes: int) -> bytes:
        """Run the program and return its answer as bytes."""
        capture = Capture(stdout_bytes)
        stream = io.TextIOWrapper(
            capture,  # pyright: ignore[reportArgumentType] (it has no name, like other pipes)
            "utf-8",
            "surrogatepass",
            write_through=True,
        )
        sys.stdout = sys.__stdout__ = stream
        status, name, message, value = self.outcome(source, arguments, value_bytes)
        stdout = b"".join(capture.chunks)
        truncated = b"\1" if capture.truncated else b"\0"
        parts = [status, truncated, field(name), field(message), field(value), field(stdout)]
        return b"".join(parts)

    def outcome(
        self, source: bytes, arguments: bytes, value_bytes: int
    ) -> tuple[bytes, bytes, bytes, bytes]:
        """Status, type name, message and value."""
        try:
            value = self.call(source, arguments)
        except MemoryError:
            raise
        except BaseException as error:
            self.regain()
            return b"e", text_name(type(error)), text_message(error), b""
        self.regain()
        name = text_name(type(value))
        try:
            text = self.write(value, bytes_max=value_bytes)
        except self.opaque:
            return b"p", name, b"", b""
        except self.too_large:
            return b"l", name, b"", b""
        return b"o", name, b"", str.encode(text)

    def call(self, source: bytes, arguments: bytes) -> object:
        # The host has parsed the input and written it anew: it is data, and ours.
        args, kwargs = eval(compile(arguments, "<input>", "eval"), dict(self.literals))
        module = type(sys)("program")
        sys.modules["program"] = sys.modules["__main__"] = module
        scope = vars(module)
        scope["__builtins__"] = builtins
        exec(compile(str(source, "utf-8"), "<program>", "exec", dont_inherit=True), scope)
        if "f" not in scope:
            raise NameError("name 'f' is not defined")
        return scope["f"](*args, **kwargs)

    def regain(self) -> None:
        """Take the interpreter back from hooks that the program left behind."""
        sys.settrace(None)
        sys.setprofile(None)
        sys.setrecursionlimit(RECURSION_MAX)
        sys.set_int_max_str_digits(INT_DIGITS_MAX)
        gc.disable()  # a collection could run finalizers while the value is read


def extension(path: str, name: str) -> "Any":
    """Load the extension at `path` without leaving its name behind."""
    spec = _frozen_importlib.ModuleSpec(name, None, origin=path)
    module = _imp.create_dynamic(spec)
    sys.modules.pop(name, None)
    return module


def quiet() -> None:
    """Drop what programs have no business with."""
    _warnings.filters[:] = [("ignore", None, Warning, None, 0)]
    sys.argv[:] = [""]
    allowed = (b"PATH", b"PYTHONHASHSEED", b"LC_ALL")
    for name in [name for name in posix.environ if name not in allowed]:
        posix.unsetenv(name)
        del posix.environ[name]


def without_typing(*_: object) -> object:
    return type("typing", (), {"Any": object})


def make_runner(load: "Callable[..., dict[str, Any]]") -> Runner:
    """What runs programs, with a canonical writer that they cannot import."""
    private = dict(vars(builtins))
    # The canonical writer imports `typing` for an annotation, which would double the zygote.
    private["__import__"] = without_typing
    return Runner(load("canonical.py", {"__name__": "canonical", "__builtins__": private}))


def prepare(here: str, settings: "Settings", load: "Callable[..., dict[str, Any]]") -> "RunChild":
    """Build all a child needs. Returns `run_child(request, write_fd)`, which never returns."""
    runner = make_runner(load)
    guard = extension(here + "/guard.so", "guard")
    enter = guard.enter
    if not settings.own_clock:  # in gVisor
        guard.map_at_fork()
    with open(here + "/filter.bpf", "rb") as file:
        rules = file.read()

    def run_child(request: "Request", write_fd: int) -> "NoReturn":
        try:
            result_fd = lock_in(request, write_fd)
            gc.enable()
            data = from_further_down(FRAMES_FEWER, request)
            while data:
                data = data[posix.write(result_fd, data) :]
        finally:
            posix._exit(0)

    def lock_in(request: "Request", write_fd: int) -> int:
        backstop_s = int(request.wall_s) + CPU_BACKSTOP_S
        own_uid = settings.uid - request.slot if settings.uid >= 0 else settings.uid
        try:
            # Its own, because an open file's flags are shared by all who have it.
            null_fd = posix.open("/dev/null", posix.O_RDWR)
            return enter(write_fd, null_fd, own_uid, request.memory_bytes, backstop_s, rules)
        except BaseException as error:
            # Descriptors are moved last, so this still reaches the host, atomically.
            payload = b"F" + request.run_id.to_bytes(4, "little") + repr(error).encode()[:400]
            posix.write(STDOUT, field(payload))
            posix._exit(SETUP_FAILED)

    def from_further_down(frames: int, request: "Request") -> bytes:
        """So that recursion ends at the same depth in all modes."""
        if frames > 0:
            return from_further_down(frames - 1, request)
        try:
            return runner.answer(
                request.source, request.arguments, request.stdout_bytes, request.value_bytes
            )
        except MemoryError:
            return NO_MEMORY

    quiet()
    warm_up(runner)
    return run_child


def warm_up(runner: Runner) -> None:
    """Run tiny programs: the compiler builds its types on first use, a page at a time."""
    stdout, main = sys.stdout, sys.modules["__main__"]
    for source in (
        b"def f(a=1):\n    return [a + b for b in range(3)]\n",
        b"def f(): raise ValueError",
    ):
        runner.answer(source, b"((), {})", 64, 1024)
    sys.stdout = sys.__stdout__ = stdout
    sys.modules["__main__"] = main
    del sys.modules["program"]
