"""Programs that want too much: memory, time, depth, output."""

from tests.hostile.corpus import (
    OOM,
    TOOLARGE,
    crash,
    error,
    hostile,
    ok,
    opaque,
    timeout,
)

MEMORY = [
    hostile("one block of 8 GiB", "return len(bytearray(8 << 30))", OOM),
    hostile("doubling list", "x = [0]\nwhile True: x += x", OOM),
    hostile("small objects", "x = []\nwhile True: x.append([x])", OOM, timeout("cpu")),
    hostile("a very large shift", "return 1 << 10**11", OOM, error("OverflowError")),
    hostile(
        "list of an endless iterator",
        "import itertools\nreturn list(itertools.count())",
        OOM,
        timeout(),
    ),
    hostile("string repeated", "return len('x' * (1 << 40))", OOM),
    hostile(
        "memory errors swallowed",
        """
        kept = []
        while True:
            try:
                kept.append(bytearray(1 << 26))
            except MemoryError:
                pass
        """,
        timeout("cpu"),
    ),
    hostile(
        "out of memory while the value is written",
        "x = bytearray(150 << 20)\nf.keep = x\nreturn ['y' * (60 << 20)]",
        OOM,
        TOOLARGE,
    ),
]

TIME = [
    hostile("endless loop", "while True: pass", timeout("cpu")),
    hostile(
        "endless loop that catches everything",
        """
        while True:
            try:
                while True: pass
            except BaseException:
                pass
        """,
        timeout("cpu"),
    ),
    hostile("endless sleep", "import time\ntime.sleep(30)", timeout("wall")),
    hostile("endless loop of system calls", "import os\nwhile True: os.getppid()", timeout("cpu")),
    hostile("endless match", "import re\nre.match(r'(a+)+$', 'a' * 40 + 'b')", timeout("cpu")),
    hostile("endless power", "return 10**10**8", timeout("cpu"), OOM),
    hostile("endless sum in C", "return sum(range(10**12))", timeout("cpu")),
    hostile(
        "exception whose text loops",
        """
        class Slow(Exception):
            def __str__(self):
                while True: pass
        raise Slow
        """,
        timeout("cpu"),
    ),
    hostile(
        "finalizer that loops",
        """
        class Slow:
            def __del__(self):
                while True: pass
        Slow()
        return 1
        """,
        timeout("cpu"),
    ),
    hostile(
        "finalizer that is never called",
        """
        class Slow:
            def __del__(self):
                while True: pass
        global kept
        kept = Slow()
        return 1
        """,
        ok("1"),
    ),
    hostile("endless loop at import", "while True: pass\ndef f(): return 1", timeout("cpu")),
    hostile(
        "endless wait for a lock",
        "import _thread\nl = _thread.allocate_lock()\nl.acquire()\nl.acquire()",
        timeout("wall"),
    ),
]

DEPTH = [
    hostile("recursion", "def f(): return f()", error("RecursionError")),
    hostile(
        "recursion without a limit",
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()",
        crash(),
        timeout(),
        OOM,
        error("RecursionError"),
    ),
    hostile(
        "recursion in C without a limit",
        """
        import sys
        sys.setrecursionlimit(10**9)
        class C:
            def __repr__(self): return repr([self])
        return repr(C())
        """,
        crash("SIGSEGV"),
        timeout(),
        OOM,
        error("RecursionError"),
    ),
    hostile(
        "limit of one frame left behind",
        """
        import sys
        def f():
            sys.setrecursionlimit(60)
            return [[1]]
        """,
        ok("[[1]]"),
        error("RecursionError"),
    ),
    hostile(
        "value of depth 200,000",
        "x = []\nfor _ in range(200_000): x = [x]\nreturn x",
        opaque("list"),
        crash(),
    ),
    hostile(
        "five thousand nested brackets as source",
        "f = " + "[" * 5000 + "]" * 5000,
        error("SyntaxError"),
        error("RecursionError"),
        OOM,
    ),
    hostile(
        "five thousand nested brackets as data",
        "import json\nreturn json.loads('[' * 5000 + ']' * 5000)",
        error("RecursionError"),
    ),
]

OUTPUT = [
    hostile("return 50 MB", "return 'x' * 50_000_000", TOOLARGE),
    hostile("return a long int", "return 10**5000", TOOLARGE),
    hostile(
        "return a value that shares its parts",
        "x = []\nfor _ in range(60): x = [x, x]\nreturn x",
        TOOLARGE,
    ),
    hostile("print 20 MB", "print('x' * 20_000_000)\nreturn 1", ok("1")),
    hostile(
        "print many lines", "for i in range(100_000): print(i)\nreturn 1", ok("1"), timeout("cpu")
    ),
    hostile(
        "write 100 MB to descriptor 1",
        "import os\nb = b'x' * 1_000_000\nfor _ in range(100): os.write(1, b)\nreturn 1",
        ok("1"),
    ),
    hostile(
        "write to standard error",
        "import sys\nsys.stderr.write('x' * 5_000_000)\nreturn 1",
        ok("1"),
    ),
]

PROGRAMS = [*MEMORY, *TIME, *DEPTH, *OUTPUT]
