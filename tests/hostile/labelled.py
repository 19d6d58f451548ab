"""Bodies of `f` of which it is known whether two fresh interpreters must agree on them."""

WORDS = "{'pear', 'fig', 'apple', 'plum', 'kiwi', 'lime', 'date', 'nut', 'sloe', 'quince'}"

CLOCK = [
    "import time; return time.time()",
    "import time; return time.time_ns()",
    "import time; return time.monotonic()",
    "import time; return time.perf_counter_ns()",
    "import time; return time.clock_gettime(time.CLOCK_REALTIME)",
    "import datetime; return datetime.datetime.now().isoformat()",
    "import datetime; return datetime.datetime.now(datetime.timezone.utc).timestamp()",
    "import time; raise ValueError(time.time_ns())",
    "import time; print(time.time_ns())",
]
"""Read so finely that two runs differ."""

COARSE_CLOCK = [
    "import datetime; return datetime.date.today().isoformat()",
    "import time; return time.localtime().tm_year",
    "import time; return time.strftime('%A')",
    "import time; return int(time.time()) // 86_400",
    "import datetime; return datetime.datetime.now().hour < 24 and datetime.date.today().year",
]
"""Two runs agree, and tomorrow's does not."""

ENTROPY = [
    "import os; return os.urandom(8)",
    "import os; return os.getrandom(8)",
    "import random; return random.random()",
    "import random; return random.randint(0, 10**12)",
    "import random; return random.sample(range(1000), 5)",
    "import random; x = list(range(50)); random.shuffle(x); return x",
    "import random; return random.choices(range(1000), k=5)",
    "import random; return random.gauss(0, 1)",
    "import random; return random.SystemRandom().random()",
    "import random; return random.Random().random()",
    "import random; return hash(random.getstate())",
    "import random; random.seed(None); return random.random()",
    "import tempfile; return next(tempfile._get_candidate_names())",
    "import os; print(os.urandom(8)); return 1",
    "import os; raise KeyError(os.urandom(8))",
    "import os; return type('C%d' % int.from_bytes(os.urandom(8), 'big'), (), {})()",
]

HASH = [
    "return hash('abc')",
    "return hash(b'abc')",
    "return hash(('a', 1))",
    "return hash(frozenset({'a', 'b'}))",
    "return 'abc'.__hash__() % 10**9",
    f"return list({WORDS})",
    f"return tuple(frozenset({WORDS}))",
    f"return [*{WORDS}]",
    f"return ' '.join({WORDS})",
    f"return str({WORDS})",
    f"x = {WORDS}; return f'{{x}}'",
    f"return dict.fromkeys({WORDS})",
    f"return {{word: len(word) for word in {WORDS}}}",
    f"return [len(word) for word in {WORDS} | {{'a', 'blackberry'}}]",
    f"return list(enumerate({WORDS}))",
    f"return sorted({WORDS}, key=hash)",
    f"return [word[0] for word in {WORDS} - {{'fig'}}]",
    f"x = {WORDS}; return [x.pop() for _ in range(5)]",
    f"import json; return json.dumps(list({WORDS}))",
    f"import itertools; return list(itertools.islice({WORDS}, 4))",
    f"print({WORDS}); return 1",
    f"raise ValueError({WORDS})",
    f"for word in {WORDS}: print(word)",
    "import sys; return sys.hash_info.width and hash('a')",
]

IDENTITY = [
    "return id(object())",
    "return id([])",
    "return id(f)",
    "return hex(id(None))",
    "return hash(object())",
    "return str(object())",
    "return repr(f)",
    "return repr(lambda: 1)",
    "return str(i for i in ())",
    "return repr(type('C', (), {})())",
    "return {id(f): 1}",
    "raise ValueError(object())",
    "print(object())",
    "print([f]); return 1",
    "import sys; return sys.getsizeof([]) * id(sys)",
    "import os; return os.getpid()",
    "import os; return os.getppid()",
    "import os; return f'run {os.getpid()}'",
    "import os; raise RuntimeError(os.getpid())",
    "import threading; return threading.get_native_id()",
    "import threading; return threading.get_ident()",
    "import os; return os.environ['PYTHONHASHSEED']",
    "import os; return dict(os.environ)",
    "import os; return [os.environ[name] for name in sorted(os.environ)]",
]

NONDETERMINISTIC = [*CLOCK, *ENTROPY, *HASH, *IDENTITY]

PLAIN = [
    "return 1",
    "return 2**100 % 97",
    "return 0.1 + 0.2",
    "return sum(1 / n for n in range(1, 1000))",
    "return complex(1, 2) ** 3",
    "return sorted([3, 1, 2], reverse=True)",
    "return 'héllo'.encode()",
    "return {'b': 1, 'a': 2}",
    "return {**{'z': 1}, 'y': 2}",
    "return [x for x in range(9) if x % 2]",
    "return ''.join(reversed('abc'))",
    "return float('nan')",
    "return ...",
    "return None",
    "def g(n): return 1 if n < 2 else n * g(n - 1)\n    return g(20)",
    "class C:\n        x = 1\n    c = C(); c.x += 1; return c.x",
    "f.calls = getattr(f, 'calls', 0) + 1; return f.calls",
    "globals().setdefault('seen', []).append(1); return seen",
    "import collections; return collections.Counter('mississippi').most_common()",
    "import collections; return collections.OrderedDict(b=1).popitem()",
    "import itertools; return list(itertools.permutations('abc'))",
    "import functools; return functools.reduce(lambda a, b: a * b, range(1, 9))",
    "import math; return math.sin(1.0), math.factorial(30)",
    "import re; return re.findall(r'\\w+', 'a bc def')",
    "import json; return json.dumps({'b': [1, None], 'a': 'é'})",
    "import heapq; x = [5, 1, 4]; heapq.heapify(x); return x",
    "import datetime; return str(datetime.date(2020, 2, 29))",
    "import decimal; return str(decimal.Decimal('1.10') * 3)",
    "import string; return string.ascii_lowercase[:3]",
    "import textwrap; return textwrap.wrap('a b c d', 3)",
    "import struct; return struct.pack('<i', 7)",
    "import zlib; return zlib.crc32(b'abc')",
    "import bisect; return bisect.bisect([1, 2, 3], 2)",
    "import copy; return copy.deepcopy({'a': [1]})",
    "print('a', 1, [2]); return 1",
    "import sys; return sys.maxsize, sys.version_info[:2]",
    "import os; return os.environ['PATH'], os.getcwd()",
]

CHANCE_UNUSED = [
    f"return {WORDS}",
    f"return sorted({WORDS})",
    f"return len({WORDS}), sum(map(len, {WORDS}))",
    f"return {WORDS} & {{'fig', 'nut', 'leek'}}",
    f"return frozenset({WORDS})",
    f"return min({WORDS}), max({WORDS})",
    f"return {{'x': {WORDS}}}",
    f"return 'fig' in {WORDS}",
    f"return {WORDS} == set(sorted({WORDS}))",
    "return list({3, 1, 2})",
    "return [*{10, 20, 30}, *{True, None}][:3]",
    "return hash(7), hash(1.5), hash((1, 2)), hash(True)",
    "return hash('a') == hash('a')",
    "import random; return random.Random(7).random()",
    "import random; random.seed(7); return random.random()",
    "import random; random.seed('seven'); return random.sample(range(99), 5)",
    "import random; r = random.Random(1); x = list(range(9)); r.shuffle(x); return x",
    "import random; random.random(); return 1",
    "import os; return len(os.urandom(8))",
    "import os; return os.getpid() > 0",
    "return id(f) == id(f), object() is object()",
    "return len(str(object())) > 10",
    "return isinstance(repr(f), str)",
    "return {id(x): x for x in (f,)}[id(f)] is f",
    "x = [object() for _ in range(9)]; return [x.index(y) for y in x]",
]
"""They touch chance, and their value does not show it."""

ENDINGS = [
    "return 1 / 0",
    "return {}['missing']",
    "raise ValueError('always')",
    "raise SystemExit(3)",
    "return undefined",
    "return int('x')",
    "def g(): return g()\n    return g()",
    "import os; os._exit(3)",
    "return len(bytearray(8 << 30))",
    "return 'x' * 100_000",
    "return object()",
    "return f",
    "return (i for i in range(3))",
    "x = []; x.append(x); return x",
    "print('x' * 100_000); return 1",
    "import numpy",
]
"""An end that is no value is a fact like any other."""

DETERMINISTIC = [*PLAIN, *CHANCE_UNUSED, *ENDINGS]

CLOCK_UNUSED = [
    "import time; return time.time() > 0",
    "import time; time.sleep(0.01); return 1",
    "import time; start = time.monotonic(); return time.monotonic() >= start",
]
"""They read a clock and do not show it: agreement may be known or not, but they do not differ."""
