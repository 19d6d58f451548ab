"""The file system that programs see: one CPython, its standard library, our runner, no more.

An image is a copy, not a view of the host: it has no home directories, no installed packages,
no password file and no `_ctypes`, and its digest says exactly what ran. It is made once per
interpreter and runner and kept in the cache; a half-made image is never seen. Nothing in it
depends on dates, which container images may change.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from services.execution.isolation import seccomp
from services.execution.isolation.interpreter import Interpreter, shared_libraries
from zeroloop.core import canonical
from zeroloop.errors import ConfigError

GUEST = Path(__file__).parent.parent / "guest"
RUNNER = "usr/lib/zeroloop"
"""Inside the image: not on Python's path, so that programs cannot import it."""

PRIVATE_PROC = "private/proc"
"""Below it: where the supervisor finds a procfs and no program does, for only root may enter."""

PYTHON = "usr/bin/python3"
DRIVER = "driver.so"
LAYOUT = 4
"""Raise it when the way images are made changes."""

BUILD_S = 120.0
UNUSED_S = 30 * 24 * 3600.0
"""Images are about 60 MB each, and every change of the runner makes a new one."""

_BARE = [
    "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-fno-builtin", "-fcf-protection=none",
    "-fno-sanitize=undefined",
]  # fmt: skip
_ZIG = [sys.executable, "-m", "ziglang"]
"""A C compiler that comes from PyPI."""

# Not for programs (tests, installers, windows), or a way to call C at will.
_LEFT_OUT_FOLDERS = {
    "__phello__", "__pycache__", "ctypes", "dist-packages", "ensurepip", "idlelib", "lib-dynload",
    "lib2to3", "pydoc_data", "site-packages", "test", "tests", "tkinter", "turtledemo",
}  # fmt: skip
# Also what drags in large libraries of the host and needs a network or a terminal anyway.
_LEFT_OUT_EXTENSIONS = (
    "_ctypes", "_curses", "_dbm", "_gdbm", "_hashlib", "_sqlite3", "_ssl", "_test", "_tkinter",
    "_xx", "nis.", "ossaudiodev", "readline", "xx",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Image:
    """A finished image on disk. Read-only by agreement: its digest was taken when it was made."""

    root: Path
    digest: str
    interpreter: Interpreter

    @property
    def resets(self) -> bool:
        """Whether it has what mode `reset` needs."""
        return (self.root / RUNNER / DRIVER).exists()


def ensure_image(interpreter: Interpreter, cache: Path) -> Image:
    """Return the image for `interpreter`, making it if the cache has none.

    Raises:
        ConfigError: Something that it needs is missing; says how to get it.
    """
    folder = cache / "sandbox" / _key(interpreter)
    digest_file = folder / "digest"
    if not digest_file.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        try:
            _build(interpreter, scratch)
            # Another process may have been faster; its image is the same.
            with contextlib.suppress(OSError):
                scratch.rename(folder)
        except OSError as error:
            raise ConfigError(f"cannot make the sandbox image in {folder}: {error}") from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        _forget_unused(folder.parent)
    with contextlib.suppress(OSError):  # a cache may be read-only
        digest_file.touch()
    return Image(folder / "root", digest_file.read_text().strip(), interpreter)


def _forget_unused(images: Path) -> None:
    """Remove images that no service has started with for long."""
    for digest_file in images.glob("*/digest"):
        if time.time() - digest_file.stat().st_mtime > UNUSED_S:
            shutil.rmtree(digest_file.parent, ignore_errors=True)


def _key(interpreter: Interpreter) -> str:
    """Changes when the image would: interpreter, its library, our files, this layout.

    The same in all places to which an interpreter is copied.
    """
    state = hashlib.sha256()
    sizes = [path.stat().st_size for path in (interpreter.executable, interpreter.stdlib / "os.py")]
    state.update(f"{interpreter.build} {interpreter.machine} {sizes} {LAYOUT}\n".encode())
    for name, content in sorted(_runner_sources(interpreter).items()):
        state.update(f"{name} {len(content)}\n".encode() + content)
    return f"{interpreter.version_text}-{state.hexdigest()[:16]}"


def _runner_sources(interpreter: Interpreter) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in GUEST.iterdir() if path.is_file()}
    files["canonical.py"] = Path(canonical.__file__).read_bytes()
    files["filter.bpf"] = seccomp.level_1(interpreter.machine)
    if interpreter.machine in seccomp.RESETTABLE:
        files["reset.bpf"] = seccomp.level_2(interpreter.machine)
    return files


def _build(interpreter: Interpreter, folder: Path) -> None:
    folder.chmod(0o755)
    root = folder / "root"
    for name in ("dev", "proc", "sys", "tmp", "usr/bin", "usr/lib"):
        (root / name).mkdir(parents=True)
    # Every loader searches one of these by itself.
    for name, target in (("lib", "usr/lib"), ("lib64", "usr/lib"), ("usr/lib64", "lib")):
        (root / name).symlink_to(target)
    shutil.copy2(interpreter.executable, root / PYTHON)
    library = root / "usr/lib" / f"python{interpreter.version[0]}.{interpreter.version[1]}"
    _copy_library(interpreter.stdlib, library)
    _copy_extensions(interpreter, library / "lib-dynload", root / "usr/lib")
    runner = root / RUNNER
    (runner / PRIVATE_PROC).mkdir(parents=True)
    (runner / PRIVATE_PROC).parent.chmod(0o700)
    for name, content in _runner_sources(interpreter).items():
        if name.endswith((".py", ".bpf")):
            (runner / name).write_bytes(content)
    _compile(["guard.c"], runner / "guard.so")
    _compile(["clock.c"], runner / "clock.so")
    if interpreter.machine in seccomp.RESETTABLE:
        # Neither libc's checks nor those of the compiler work while libc's memory is replaced.
        _compile(["driver.c", "snapshot.c"], runner / DRIVER, _BARE)
    _precompile(root, library, interpreter)
    _precompile(root, runner, interpreter, "-b")  # next to the sources, which go
    for source in sorted(runner.glob("*.py")):
        if not source.with_suffix(".pyc").exists():
            raise ConfigError(f"python: {interpreter.executable} cannot compile {source}")
        source.unlink()
    (folder / "digest").write_text(_digest(root))


def _copy_library(source: Path, target: Path) -> None:
    def left_out(_: str, names: list[str]) -> set[str]:
        return {
            name
            for name in names
            if name in _LEFT_OUT_FOLDERS
            or name.startswith("config-")
            or name.endswith((".a", ".opt-1.pyc", ".opt-2.pyc"))
        }

    shutil.copytree(source, target, ignore=left_out, ignore_dangling_symlinks=True)
    (target / "lib-dynload").mkdir()


def _copy_extensions(interpreter: Interpreter, target: Path, libraries: Path) -> None:
    modules = [
        path
        for path in sorted((interpreter.stdlib / "lib-dynload").glob("*.so"))
        if not path.name.startswith(_LEFT_OUT_EXTENSIONS)
    ]
    for file, needed in shared_libraries([interpreter.executable, *modules]).items():
        if needed is None:
            if file == interpreter.executable:
                raise ConfigError(
                    f"python: a shared library of {file} is missing; try `ldd {file}`"
                )
            continue  # it would not load outside either
        if file != interpreter.executable:
            shutil.copy2(file, target)
        for library in needed:
            if not (libraries / library.name).exists():
                shutil.copy2(library, libraries)


def _compile(sources: list[str], target: Path, more: Sequence[str] = ()) -> None:
    files = [str(GUEST / name) for name in sources]
    flags = ["-O2", "-shared", "-fPIC", "-Wl,-z,now", *more, "-o", str(target), *files]
    try:
        subprocess.run(
            [*_compiler(), *flags], check=True, capture_output=True, text=True, timeout=BUILD_S
        )
    except subprocess.CalledProcessError as error:
        raise ConfigError(f"cannot compile {', '.join(files)}: {error.stderr}") from error


def _compiler() -> list[str]:
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return [path]
    if subprocess.run([*_ZIG, "version"], capture_output=True, check=False).returncode == 0:
        return [*_ZIG, "cc"]
    raise ConfigError(
        "no C compiler, which the sandbox's guard needs once: `apt-get install gcc libc6-dev`, or "
        "`uv pip install ziglang`"
    )


def _precompile(root: Path, folder: Path, interpreter: Interpreter, *more: str) -> None:
    """Programs could not keep what they compile, so an import would cost them each time.

    Nor shall the supervisor compile: what that leaves behind in its memory is copied for each run.

    By one process and under one hash seed, which makes the result the same every time.
    """
    flags = ["-q", "-s", str(root), "-p", "/", "--invalidation-mode", "unchecked-hash", *more]
    try:
        subprocess.run(
            [interpreter.executable, "-P", "-s", "-S", "-m", "compileall", *flags, folder],
            check=False,  # a file of the library may be there to be wrong
            capture_output=True,
            env={"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
            timeout=BUILD_S,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"cannot compile {folder}: {error}") from error


def _digest(root: Path) -> str:
    """SHA-256 over the names and contents of all files, whatever the order on disk."""
    state = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        name = os.fsencode(path.relative_to(root))
        if path.is_symlink():
            state.update(b"link %s %s\n" % (name, os.fsencode(path.readlink())))
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            state.update(b"file %s %s\n" % (name, content.encode()))
    return f"sha256:{state.hexdigest()}"
