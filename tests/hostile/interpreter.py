"""Programs that change their interpreter for good: hooks, registries, counters, late finalizers.

Together with `leftovers` they are aimed at a mode that uses an interpreter again.
"""

from tests.hostile.corpus import crash, error, hostile, ok, opaque
from tests.hostile.forgery import FORGED
from tests.hostile.probe import CHANCE_SEEDED
from zeroloop.core.execution import Determinism

LATE = [
    hostile(
        "a finalizer that answers for the next run",
        f"""
        import os
        class Late:
            def __del__(self, write=os.write): write(3, {FORGED})
        global kept
        kept = Late()
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "objects that come back from the dead",
        """
        kept = []
        class Undead:
            def __del__(self): kept.append(self)
        for _ in range(100): Undead()
        import gc
        gc.collect()
        return len(kept)
        """,
        ok("100"),
    ),
    hostile(
        "weak references whose callbacks leave",
        """
        import os, weakref
        global kept
        class C: pass
        thing = C()
        kept = [thing, weakref.ref(thing, lambda _: os._exit(9))]
        weakref.finalize(thing, os._exit, 9)
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "a generator that is never finished",
        f"""
        import os
        def g():
            try: yield 1
            finally: os.write(3, {FORGED})
        global kept
        kept = g()
        return next(kept)
        """,
        ok("1"),
    ),
    hostile(
        "a coroutine that is never finished, and hooks for others",
        """
        import sys
        async def g(): pass
        global kept
        kept = g()
        sys.set_coroutine_origin_tracking_depth(50)
        sys.set_asyncgen_hooks(firstiter=sys.exit, finalizer=sys.exit)
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "text that is never flushed",
        """
        import io, sys
        global kept
        kept = sys.stdout = io.TextIOWrapper(io.FileIO(1, 'w', closefd=False))
        print('left behind')
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "exit functions of every kind",
        """
        import atexit, os, sys, threading
        atexit.register(os._exit, 9)
        threading._register_atexit(os._exit, 9)
        sys.exitfunc = sys.excepthook = sys.unraisablehook = lambda *_: os._exit(9)
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "functions for the next fork",
        """
        import os
        os.register_at_fork(before=lambda: os._exit(9), after_in_child=lambda: os._exit(9))
        return 1
        """,
        ok("1"),
    ),
]

SWITCHES = [
    hostile(
        "the collector, frozen, debugged and called back",
        """
        import gc
        gc.collect()
        gc.freeze()
        gc.set_threshold(1, 1, 1)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.callbacks.append(lambda *_: 1 / 0)
        return 1
        """,
        ok("1"),
    ),
    hostile("the collector, off", "import gc\ngc.disable()\nreturn gc.isenabled()", ok("False")),
    hostile(
        "a switch interval of ten minutes",
        "import sys\nsys.setswitchinterval(600)\nreturn sys.getswitchinterval()",
        ok("600.0"),
    ),
    hostile(
        "flags of the dynamic loader",
        "import os, sys\nsys.setdlopenflags(os.RTLD_LAZY | os.RTLD_GLOBAL)\nreturn 1",
        ok("1"),
    ),
    hostile(
        "ints of any length",
        "import sys\nsys.set_int_max_str_digits(0)\nreturn len(str(10**5000))",
        ok("5001"),
    ),
    hostile(
        "ints of few digits",
        "import sys\nsys.set_int_max_str_digits(640)\nreturn 10**1000",
        ok("1" + "0" * 1000),
        crash("exit code 0"),
    ),
    hostile(
        "900 frames deep",
        "def f(n=900): return f(n - 1) if n else 'deep'",
        ok("'deep'"),
    ),
    hostile(
        "15,000 frames deep under a limit of its own",
        """
        import sys
        sys.setrecursionlimit(20_000)
        def f(n=15_000): return f(n - 1) if n else 'deep'
        """,
        ok("'deep'"),
    ),
    hostile(
        "a trace function left on",
        """
        import sys
        seen = []
        def trace(frame, event, arg):
            seen.append(event)
            return trace
        def f():
            sys.settrace(trace)
            sys.setprofile(lambda *_: None)
            return 1
        """,
        ok("1"),
    ),
    hostile(
        "an audit hook that remembers",
        "import sys\nkept = []\nsys.addaudithook(lambda *a: kept.append(a))\ndef f(): return 1",
        ok("1"),
    ),
    hostile(
        "the decimal context",
        """
        import decimal
        decimal.DefaultContext.prec = 2
        decimal.setcontext(decimal.Context(prec=3))
        return str(decimal.Decimal(1) / 3)
        """,
        ok("'0.333'"),
    ),
    hostile(
        "a known state of chance",
        "import random\nrandom.seed(12345)\nx = random.random()\nrandom.seed(12345)\nreturn x",
        ok(CHANCE_SEEDED),
        determinism=Determinism.YES,
    ),
    hostile(
        "warnings as errors, shown by nobody",
        """
        import warnings
        warnings.simplefilter('error')
        warnings.showwarning = warnings.formatwarning = None
        return 1
        """,
        ok("1"),
    ),
]

REGISTRIES = [
    hostile(
        "codecs and what they do with errors",
        """
        import codecs
        def lie(*_): return 'PWNED', 0
        for name in ('strict', 'backslashreplace', 'surrogatepass'):
            codecs.register_error(name, lie)
        codecs.register(lie)
        return 'a\\ud800'
        """,
        ok("'a\\ud800'"),
    ),
    hostile(
        "other names for codecs",
        """
        import encodings, encodings.aliases
        encodings.aliases.aliases.update(utf_8='rot_13', latin_1='rot_13', ascii='rot_13')
        encodings._cache.clear()
        return str(b'abc', 'latin-1')
        """,
        ok("'abc'"),
        error("LookupError"),
    ),
    hostile(
        "extension modules that were not loaded",
        """
        import importlib
        names = 'array _bisect _csv _heapq _json _struct _random _statistics _zoneinfo unicodedata'
        return [importlib.import_module(name).__name__ for name in names.split()].index('_json')
        """,
        ok("4"),
    ),
    hostile(
        "half the library",
        "import argparse, dataclasses, datetime, fractions, json, string, textwrap\nreturn 1",
        ok("1"),
    ),
    hostile(
        "modules that are something else",
        """
        import sys
        for name in ('collections', 'math', 'random', 'os', 'gc', 'signal', 'decimal'):
            sys.modules[name] = type(sys)(name)
        sys.path[:] = ['/']
        sys.path_importer_cache.clear()
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "a loader that writes its own modules",
        """
        import sys
        loader = sys.modules['_frozen_importlib_external'].SourceFileLoader
        loader.get_data = lambda *_: b'PWNED = 1'
        loader.get_code = lambda self, name: compile('PWNED = 1', name, 'exec')
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "builtins deleted",
        """
        import builtins
        for name in ('__import__', '__build_class__', 'sorted', 'len', 'sum', 'min', 'print'):
            delattr(builtins, name)
        return {'b': 1, 'a': [2]}
        """,
        ok("{'b': 1, 'a': [2]}"),
    ),
    hostile(
        "methods of a built-in type",
        """
        import gc
        for kind, name in ((str, 'upper'), (list, 'sort'), (dict, 'get'), (int, '__add__')):
            gc.get_referents(kind.__dict__)[0][name] = lambda *_: 'PWNED'
        return 'a'.upper()
        """,
        ok("'PWNED'"),
        ok("'A'"),
    ),
    hostile(
        "methods of classes of the library",
        """
        import collections, os
        collections.Counter.__getitem__ = lambda *_: 'PWNED'
        collections.Counter.__init__ = None
        os._Environ.get = lambda *_: 'PWNED'
        return 1
        """,
        ok("1"),
    ),
    hostile(
        "every int is a sequence",
        "from collections.abc import Sequence as S\nS.register(int)\nreturn isinstance(1, S)",
        ok("True"),
    ),
    hostile(
        "how values are copied",
        "import copyreg\ncopyreg.pickle(list, lambda _: (int, ()))\nreturn [1]",
        ok("[1]"),
    ),
    hostile(
        "another interpreter in the same process",
        """
        import _xxsubinterpreters as interpreters
        other = interpreters.create()
        interpreters.run_string(other, 'import builtins, sys; builtins.sorted = sys.exit')
        return 1
        """,
        ok("1"),
        error("ModuleNotFoundError"),
    ),
    hostile(
        "a value that is the module's own dictionary",
        "return globals()",
        opaque("dict"),
    ),
]

PROGRAMS = [*LATE, *SWITCHES, *REGISTRIES]
