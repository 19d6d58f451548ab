"""Programs that leave something behind, aimed at a worker whose interpreter is used again.

`strict` loses all of it with the process. A mode that puts memory back must give the same results
and find every one of these leftovers: in memory, in the kernel, or about to happen.
"""

from tests.hostile.corpus import GARBLED, crash, error, hostile, ok, timeout
from tests.hostile.forgery import FORGED

JUNK = "b'o\\0' + b'\\xff' * 64"
"""Begins like an answer, then claims lengths beyond everything."""

MEMORY = [
    hostile(
        "keep a mapping of 180 MB",
        "import mmap\nglobal m\nm = mmap.mmap(-1, 180 << 20)\nm[::1 << 20] = b'x' * 180\nreturn 1",
        ok("1"),
    ),
    hostile(
        "keep a shared mapping",
        "import mmap\nglobal m\nm = mmap.mmap(-1, 1 << 20, mmap.MAP_SHARED)\nm[0] = 7\nreturn m[0]",
        ok("7"),
    ),
    hostile(
        "keep a file mapped",
        """
        import mmap, os
        global m
        with open(os.__file__, 'rb') as file:
            m = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return m[:3]
        """,
        ok("b'r\"\"'"),
    ),
    hostile(
        "keep many small mappings",
        "import mmap\nglobal m\nm = [mmap.mmap(-1, 4096) for _ in range(2000)]\nreturn len(m)",
        ok("2000"),
    ),
    hostile(
        "fill arenas, then free all but every hundredth object",
        """
        x = [[i] for i in range(300_000)]
        global kept
        kept = x[::100]
        del x
        return len(kept)
        """,
        ok("3000"),
    ),
    hostile(
        "blocks of every size, every other one freed",
        """
        x = [bytearray(64 + 97 * i) for i in range(1500)]
        global kept
        kept = x[::2]
        del x
        return len(kept)
        """,
        ok("750"),
    ),
    hostile(
        "400 MiB just below the limit, then small",
        """
        x = bytearray(400 << 20)
        x[::1 << 16] = b'x' * len(x[::1 << 16])
        del x
        return len(bytearray(1 << 20))
        """,
        ok("1048576"),
        memory_mib=512,
    ),
    hostile(
        "out of memory, then as if nothing were",
        """
        global kept
        kept = []
        try:
            while True: kept.append(bytearray(8 << 20))
        except MemoryError:
            return len(kept) > 5
        """,
        ok("True"),
    ),
    hostile(
        "a chain of 200,000 tuples that falls apart",
        "x = ()\nfor _ in range(200_000): x = (x,)\ndel x\nreturn 1",
        ok("1"),
    ),
    hostile(
        "intern 50,000 texts",
        "import sys\nglobal k\nk = [sys.intern(f'k{i}') for i in range(50_000)]\nreturn len(k)",
        ok("50000"),
    ),
    hostile(
        "4,000 classes that stay subclasses of a built-in",
        "global k\nk = [type(f'C{i}', (dict,), {}) for i in range(4000)]\nreturn len(k)",
        ok("4000"),
    ),
]

DESCRIPTORS = [
    hostile(
        "close the first six descriptors one by one",
        """
        import os
        for fd in range(6):
            try: os.close(fd)
            except OSError: pass
        return 1
        """,
        crash(),
    ),
    hostile("close the standard ones", "import os\nos.closerange(0, 3)\nreturn 1", ok("1")),
    hostile(
        "the null device over the channel",
        "import os\nos.dup2(os.open('/dev/null', os.O_RDWR), 3)\nreturn 1",
        crash(),
    ),
    hostile(
        "a pipe over descriptors 3 and 4",
        "import os\nr, w = os.pipe()\nos.dup2(r, 3)\nos.dup2(w, 4)\nreturn 1",
        crash(),
    ),
    hostile(
        "copies of the channel left open",
        "import os\nreturn [os.dup2(3, fd) for fd in (4, 9, 20)]",
        ok("[4, 9, 20]"),
    ),
    hostile("junk on descriptor 3", f"import os\nos.write(3, {JUNK})\nreturn 1", GARBLED),
    hostile(
        "junk on descriptors 4 and 5",
        f"""
        import os
        failed = 0
        for fd in (4, 5):
            try: os.write(fd, {JUNK})
            except OSError: failed += 1
        return failed
        """,
        ok("2"),
    ),
    hostile(
        "an answer on descriptor 4, then leave",
        f"""
        import os
        try: os.write(4, {FORGED})
        except OSError: pass
        os._exit(0)
        """,
        crash("exit code 0"),
    ),
    hostile(
        "junk, then never an answer",
        f"import os, time\nos.write(3, {JUNK})\ntime.sleep(60)",
        timeout("wall"),
    ),
    hostile("read from descriptor 3", "import os\nreturn os.read(3, 64)", error("OSError")),
    hostile("read from descriptor 4", "import os\nreturn os.read(4, 64)", error("OSError")),
    hostile(
        "descriptors that do not block",
        "import os\nfor fd in range(4): os.set_blocking(fd, False)\nreturn 1",
        ok("1"),
    ),
    hostile(
        "the flags of the channel by fcntl and ioctl",
        """
        import fcntl
        fcntl.fcntl(3, fcntl.F_SETFL, 0o4000 | 0o20000)
        fcntl.fcntl(3, fcntl.F_SETFD, 1)
        fcntl.ioctl(3, 0x5421, b'\\1\\0\\0\\0')
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "a channel of one page",
        "import fcntl\nfcntl.fcntl(3, 1031, 4096)\nreturn len('x' * 30_000) * 'x'",
        ok(repr("x" * 30_000)),
        error("OSError"),
    ),
    hostile(
        "as many open files as there may be",
        """
        import os
        global kept
        kept = []
        try:
            while True: kept.append(os.open('/dev/null', os.O_RDONLY))
        except OSError:
            return len(kept) > 20
        """,
        ok("True"),
    ),
    hostile(
        "terminals left open, with a line in one",
        """
        import os
        global kept
        kept = [os.open('/dev/ptmx', os.O_RDWR) for _ in range(9)]
        return os.write(kept[0], b'left\\n')
        """,
        ok("5"),
        error("FileNotFoundError"),
        error("PermissionError"),
    ),
    hostile(
        "pipes, eventfds and epolls left open, one pipe full",
        """
        import os, select
        global kept
        kept = [(os.pipe(), os.eventfd(1), select.epoll()) for _ in range(5)]
        for _, event, poll in kept: poll.register(event, select.EPOLLIN)
        return os.write(kept[0][0][1], b'x' * 60_000)
        """,
        ok("60000"),
    ),
]

SIGNALS = [
    hostile(
        "handlers for faults",
        """
        import signal
        for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS):
            signal.signal(number, signal.SIG_IGN)
        return int(signal.getsignal(signal.SIGSEGV))
        """,
        ok("1"),
    ),
    hostile("the fault handler", "import faulthandler\nfaulthandler.enable(3)\nreturn 1", ok("1")),
    hostile(
        "the fault handler, then a fault",
        "import faulthandler\nfaulthandler.enable(1)\nfaulthandler._read_null()",
        crash("SIGSEGV"),
    ),
    hostile(
        "a watchdog that would end the process",
        "import faulthandler\nfaulthandler.dump_traceback_later(0.05, exit=True)\nreturn 1",
        error("RuntimeError"),
    ),
    hostile(
        "a timer that goes off after the answer",
        "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\nreturn 1",
        ok("1"),
    ),
    hostile(
        "an alarm in a second, and a timer of processor time",
        "import signal\nsignal.alarm(1)\nsignal.setitimer(signal.ITIMER_PROF, 0.2)\nreturn 1",
        ok("1"),
    ),
    hostile(
        "an interval timer that interrupts everything",
        """
        import signal
        def stop(*_): raise RuntimeError('late')
        signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        return 1
        """,
        ok("1"),
        error("RuntimeError"),
        crash(),
        GARBLED,
    ),
    hostile(
        "every signal blocked",
        "import signal\nreturn len(signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)))",
        ok("0"),
    ),
    hostile(
        "wake-up bytes into the channel",
        """
        import os, signal, time
        os.set_blocking(3, False)
        signal.set_wakeup_fd(3)
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        time.sleep(0.1)
        return 1
        """,
        GARBLED,
    ),
    hostile(
        "wait for a signal that never comes",
        "import signal\nsignal.sigwait([signal.SIGALRM])",
        timeout("wall"),
    ),
]

PROCESS = [
    hostile(
        "another folder and mask, by descriptor",
        "import os\nos.fchdir(os.open('/usr', 0))\nos.umask(0)\nreturn os.getcwd(), os.umask(7)",
        ok("('/usr', 0)"),
    ),
    hostile("its own identity once more", "import os\nreturn os.setuid(os.getuid())", ok("None")),
    hostile("kinder", "import os\nos.nice(19)", error("PermissionError")),
    hostile(
        "a lower limit for who comes next",
        "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))",
        error("PermissionError"),
        error("ValueError"),
    ),
    hostile(
        "another time zone",
        "import os, time\nos.environ['TZ'] = 'ZLX5'\ntime.tzset()\nreturn time.tzname[0]",
        ok("'ZLX'"),
    ),
    hostile(
        "another locale",
        "import _locale\nreturn _locale.setlocale(_locale.LC_ALL, 'C.UTF-8')",
        ok("'C.UTF-8'"),
        error("Error"),
    ),
    hostile(
        "an empty environment",
        "import os\nos.environ.clear()\nos.unsetenv('PATH')\nreturn len(os.environ)",
        ok("0"),
    ),
    hostile(
        "a pool of threads",
        """
        from concurrent.futures import ThreadPoolExecutor
        return ThreadPoolExecutor().submit(print).result()
        """,
        error("RuntimeError"),
    ),
    hostile(
        "a timer thread",
        "import threading\nthreading.Timer(0.01, print).start()",
        error("RuntimeError"),
    ),
    hostile(
        "shared memory with a name",
        "import _posixshmem, os\n_posixshmem.shm_open('/zl', os.O_CREAT | os.O_RDWR, mode=0o600)",
        error("PermissionError"),
        error("FileNotFoundError"),
        error("OSError"),
    ),
]

PROGRAMS = [*MEMORY, *DESCRIPTORS, *SIGNALS, *PROCESS]
