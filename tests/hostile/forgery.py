"""Programs that tamper: with the channel, the interpreter, their values, their end."""

from tests.hostile.corpus import GARBLED, OOM, crash, error, hostile, ok, opaque, timeout
from zeroloop.core.execution import Determinism

EXITS = [
    hostile("leave with exit code 0", "import os\nos._exit(0)", crash("exit code 0")),
    hostile("leave with exit code 3", "import os\nos._exit(3)", crash("exit code 3")),
    hostile("leave as if the setup had failed", "import os\nos._exit(70)", crash("exit code 70")),
    *(
        hostile(
            f"leave as a worker would, with {code}",
            f"import os\nos._exit({code})",
            crash(f"exit code {code}"),
        )
        for code in (96, 97, 98, 99)
    ),
    hostile("sys.exit(0)", "import sys\nsys.exit(0)", error("SystemExit")),
    hostile("KeyboardInterrupt", "raise KeyboardInterrupt", error("KeyboardInterrupt")),
    hostile("abort", "import os\nos.abort()", crash("signal")),
    hostile(
        "broken bytecode",
        """
        def g(): pass
        g.__code__ = g.__code__.replace(co_code=bytes([100, 255] * 2 + [83, 0]), co_consts=())
        g()
        """,
        crash("signal"),
        error("SystemError"),
        error("ValueError"),
    ),
    hostile("exit at exit", "import atexit, os\natexit.register(os._exit, 9)\nreturn 1", ok("1")),
]

FORGED = "b'o\\x00' + b''.join(len(b).to_bytes(4, 'little') + b for b in (b'int', b'', b'42', b''))"

CHANNEL = [
    hostile(
        "close every descriptor",
        "import os\nos.closerange(0, 256)\nreturn 1",
        crash(),
        GARBLED,
    ),
    hostile(
        "answer on every descriptor, then leave",
        f"""
        import os
        for fd in range(64):
            try: os.write(fd, {FORGED})
            except OSError: pass
        os._exit(0)
        """,
        ok("42"),
        crash(),
        GARBLED,
    ),
    hostile(
        "answer twice",
        f"import os\nos.write(3, {FORGED})\nreturn 1",
        GARBLED,
    ),
    hostile("answer with junk", "import os\nos.write(3, b'x' * 100)\nos._exit(0)", GARBLED),
    hostile(
        "claim to be ok without a value",
        "import os\nos.write(3, b'o\\0' + b'\\0' * 16)\nos._exit(0)",
        GARBLED,
    ),
    hostile(
        "flood the channel",
        "import os\nwhile True: os.write(3, b'x' * 65536)",
        GARBLED,
    ),
    hostile(
        "answer with a frame of the supervisor",
        "import os\nos.write(3, (5).to_bytes(4, 'little') + b'A' + b'F\\1\\0\\0\\0')\nos._exit(0)",
        GARBLED,
    ),
    hostile(
        "read the order pipe",
        "import os\nreturn [os.read(fd, 10) for fd in (0, 1, 2)]",
        ok("[b'', b'', b'']"),
        error("OSError"),
    ),
    hostile(
        "replace standard output",
        "import sys\nclass W:\n    write = None\nsys.stdout = W()\nreturn 1",
        ok("1"),
    ),
    hostile(
        "rewrite the runner through frames",
        """
        import sys
        frame = sys._getframe()
        while frame.f_back:
            frame = frame.f_back
            for name in list(frame.f_globals):
                if name not in ('__builtins__',):
                    frame.f_globals[name] = None
        return 1
        """,
        ok("1"),
        crash(),
        GARBLED,
        error("TypeError"),
    ),
    hostile(
        "rewrite the runner through the collector",
        """
        import gc
        for thing in gc.get_objects():
            if type(thing) is dict and 'canonical_text' in thing:
                thing['canonical_text'] = lambda *_: 'PWNED'
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "audit hook that refuses everything",
        """
        import sys
        def refuse(*_): raise RuntimeError('no')
        sys.addaudithook(refuse)
        return 1
        """,
        ok("1"),
        error("RuntimeError"),
        crash(),
    ),
    hostile(
        "trace and profile hooks that lie",
        """
        import sys
        def lie(frame, event, arg):
            raise SystemExit
        def f():
            sys.setprofile(lie)
            sys.settrace(lie)
            return 1
        """,
        ok("1"),
        error("SystemExit"),
        crash(),
    ),
    hostile(
        "import hook",
        "import sys\nsys.meta_path.insert(0, None)\nsys.path_hooks.clear()\nreturn 1",
        ok("1"),
    ),
]

TAMPERING = [
    hostile(
        "patch the builtins",
        """
        import builtins
        for name in ('sorted', 'len', 'repr', 'str', 'type', 'min', 'sum', 'isinstance', 'bytes'):
            setattr(builtins, name, lambda *a, **k: 'PWNED')
        return {3, 1, 2}
        """,
        ok("{1, 2, 3}"),
    ),
    hostile(
        "delete the builtins",
        "import builtins\nvars(builtins).clear()\nreturn 1",
        ok("1"),
        crash(),
        error("KeyError"),
    ),
    hostile("empty sys.modules", "import sys\nsys.modules.clear()\nreturn 1", ok("1")),
    hostile(
        "poison the library",
        """
        import math, collections, random, sys
        math.sqrt = lambda _: 'PWNED'
        collections.Counter = None
        random.seed(0)
        sys.setrecursionlimit(50_000)
        return 1
        """,
        ok("1"),
    ),
]

VALUES = [
    hostile(
        "object that reduces",
        "class C:\n    def __reduce__(self): return (print, ('PWNED',))\nreturn C()",
        opaque("C"),
    ),
    hostile(
        "object whose repr is an answer",
        "class C:\n    def __repr__(self): return '42'\nreturn C()",
        opaque("C"),
    ),
    hostile(
        "object equal to everything",
        "class C:\n    def __eq__(self, other): return True\n    __hash__ = None\nreturn C()",
        opaque("C"),
    ),
    hostile(
        "int that lies",
        "class I(int):\n    def __repr__(self): return '42'\n    __str__ = __repr__\nreturn I(7)",
        opaque("I"),
    ),
    hostile("str that lies", "class S(str): pass\nreturn ['a', S('b')]", opaque("list")),
    hostile(
        "metaclass that lies",
        """
        class M(type):
            def __hash__(cls): raise SystemExit
            def __eq__(cls, other): return True
            __name__ = property(lambda cls: 'int')
        class C(metaclass=M): pass
        return C()
        """,
        opaque("C"),
    ),
    hostile("generator", "return (i for i in range(3))", opaque("generator")),
    hostile("coroutine", "async def g(): pass\nreturn g()", opaque("coroutine")),
    hostile("function", "return print", opaque("builtin_function_or_method")),
    hostile("list that contains itself", "x = []\nx.append(x)\nreturn x", opaque("list")),
    hostile(
        "named tuple",
        "from collections import namedtuple\nreturn namedtuple('P', 'x')(1)",
        opaque("P"),
    ),
]

TEXT = [
    hostile(
        "NUL, lone surrogate, emoji", "return 'a\\0b\\ud800\\U0001f600'", ok("'a\\x00b\\ud800😀'")
    ),
    hostile(
        "odd numbers",
        "return [float('nan'), float('inf'), -float('inf'), -0.0, 1e400 * 0]",
        ok("[nan, inf, -inf, -0.0, nan]"),
    ),
    hostile(
        "NUL in the source", "def f(): return 1\n\0", error("SyntaxError"), error("ValueError")
    ),
    hostile("bad escape with its warning", "import warnings\nreturn len('\\d')", ok("2")),
    hostile("exception with a surrogate", "raise ValueError('\\ud800')", error("ValueError")),
    hostile(
        "exception with a name of another language", "class Ж(Exception): pass\nraise Ж", error("Ж")
    ),
]

CHANCE = [
    hostile("time", "import time\nreturn time.time_ns()", ok(), determinism=Determinism.NO),
    hostile("random", "import random\nreturn random.random()", ok(), determinism=Determinism.NO),
    hostile("entropy", "import os\nreturn os.urandom(8)", ok(), determinism=Determinism.NO),
    hostile("process id", "import os\nreturn os.getpid()", ok(), determinism=Determinism.NO),
    hostile("address", "return id(object())", ok(), determinism=Determinism.NO),
    hostile("hash of a text", "return hash('abc')", ok(), determinism=Determinism.NO),
    hostile("order of a set", "return list(set('abcdefgh'))", ok(), determinism=Determinism.NO),
    hostile(
        "address in a message",
        "raise ValueError(object())",
        error("ValueError"),
        determinism=Determinism.NO,
    ),
    hostile("address in print", "print(object())\nreturn 1", ok("1"), determinism=Determinism.NO),
    hostile(
        "a set that is not ordered", "return set('abcdefgh')", ok(), determinism=Determinism.YES
    ),
    hostile(
        "counter in a global",
        "n = [0]\ndef f():\n    n[0] += 1\n    return n",
        ok("[1]"),
        determinism=Determinism.YES,
    ),
    hostile(
        "always an error", "return 1 / 0", error("ZeroDivisionError"), determinism=Determinism.YES
    ),
    hostile(
        "always a crash",
        "import os\nos._exit(1)",
        crash("exit code 1"),
        determinism=Determinism.YES,
    ),
    hostile("never ends", "while True: pass", timeout("cpu"), determinism=Determinism.UNKNOWN),
    hostile(
        "always too much memory", "return len(bytearray(8 << 30))", OOM, determinism=Determinism.YES
    ),
]

INPUT = [
    hostile("standard input", "return input()", error("EOFError")),
    hostile("descriptor 0", "import os\nreturn os.read(0, 10)", ok("b''")),
    hostile("missing module", "import numpy", error("ModuleNotFoundError")),
    hostile("syntax error", "f = = 1", error("SyntaxError")),
    hostile("no f", "g = 1 # f =", error("NameError")),
    hostile("f is no function", "f = 1", error("TypeError")),
    hostile("long int to text", "return str(10**5000)", error("ValueError")),
    hostile(
        "wrong number of arguments", "def f(a, b): return a", error("TypeError"), input_text="1"
    ),
    hostile(
        "an answer that closes the call",
        "def f(x): return x",
        error("LiteralError"),
        input_text="1) or True #",
    ),
    hostile(
        "an answer that evaluates",
        "def f(x): return x",
        error("LiteralError"),
        input_text="eval('1')",
    ),
]

PROGRAMS = [*EXITS, *CHANNEL, *TAMPERING, *VALUES, *TEXT, *CHANCE, *INPUT]
