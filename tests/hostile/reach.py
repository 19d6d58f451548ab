"""Programs that reach for what is not theirs: processes, signals, network, files, limits."""

from tests.hostile.corpus import POISON, crash, error, hostile, ok, timeout
from zeroloop.core.execution import Determinism

PROCESSES = [
    hostile("fork bomb", "import os\nwhile True: os.fork()", error("PermissionError")),
    hostile(
        "multiprocessing",
        "from multiprocessing import Process\np = Process(target=print)\np.start()\np.join()",
        error("PermissionError"),
    ),
    hostile(
        "exec of another program",
        "import os\nos.execv('/usr/bin/python3', ['python3', '-c', 'pass'])",
        error("PermissionError"),
    ),
    hostile(
        "subprocess",
        "import subprocess\nreturn subprocess.check_output(['/usr/bin/python3', '-V'])",
        error("PermissionError"),
    ),
    hostile(
        "vfork by posix_spawn",
        "import os\nreturn os.posix_spawn('/usr/bin/python3', ['python3'], {})",
        error("PermissionError"),
    ),
    hostile("own session", "import os\nos.setsid()", error("PermissionError")),
]

THREADS = [
    hostile(
        "ten thousand threads",
        """
        import threading, time
        for _ in range(10_000):
            threading.Thread(target=time.sleep, args=(60,)).start()
        """,
        error("RuntimeError"),
    ),
    hostile(
        "thread that outlives the call",
        """
        import _thread, time
        def late():
            time.sleep(0.1)
            import builtins
            builtins.sorted = lambda *_: 'PWNED'
        try:
            _thread.start_new_thread(late, ())
        except RuntimeError:
            return 'no thread'
        """,
        ok("'no thread'"),
    ),
]

SIGNALS = [
    hostile("kill itself", "import os\nos.kill(os.getpid(), 9)", error("PermissionError")),
    hostile("kill everything", "import os\nos.kill(-1, 9)", error("PermissionError")),
    hostile("kill the supervisor", "import os\nos.kill(1, 9)", error("PermissionError")),
    hostile(
        "stop the group",
        "import os, signal\nos.killpg(0, signal.SIGSTOP)",
        error("PermissionError"),
    ),
    hostile(
        "alarm that nobody handles",
        "import signal, time\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ntime.sleep(1)",
        crash("SIGALRM"),
    ),
    hostile(
        "signals ignored, then asleep",
        """
        import signal, time
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        time.sleep(60)
        """,
        timeout("wall"),
    ),
    hostile(
        "signals blocked, then busy",
        """
        import signal
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
        while True: pass
        """,
        timeout("cpu"),
    ),
]

NETWORK = [
    hostile(
        "connect",
        "import socket\nsocket.create_connection(('1.1.1.1', 53), 1)",
        error("PermissionError"),
    ),
    hostile(
        "listen on loopback",
        "import socket\nsocket.create_server(('127.0.0.1', 0))",
        error("PermissionError"),
    ),
    hostile(
        "look up a name",
        "import socket\nsocket.getaddrinfo('example.com', 80)",
        error("gaierror"),
        error("PermissionError"),
    ),
    hostile("unix socket pair", "import socket\nsocket.socketpair()", error("PermissionError")),
]

FILES = [
    hostile(
        "write to /tmp",
        "open('/tmp/x', 'w').write('x')",
        error("PermissionError"),
        error("OSError"),
    ),
    hostile(
        "write to shared memory",
        "open('/dev/shm/x', 'w')",
        error("PermissionError"),
        error("OSError"),
    ),
    hostile(
        "fill the disk",
        "import tempfile\nwith tempfile.TemporaryFile() as t:\n    t.write(b'x' * (1 << 30))",
        error("FileNotFoundError"),
    ),
    hostile(
        "delete the library",
        "import os, shutil\nshutil.rmtree(os.path.dirname(os.__file__))",
        error("PermissionError"),
        error("OSError"),
    ),
    hostile(
        "read the password file", "return open('/etc/passwd').read()", error("FileNotFoundError")
    ),
    hostile(
        "read the supervisor's environment",
        "return open('/proc/1/environ', 'rb').read()",
        error("FileNotFoundError"),
    ),
    hostile(
        "read the supervisor's memory", "open('/proc/1/mem', 'rb')", error("FileNotFoundError")
    ),
    hostile(
        "reach into every neighbour",
        """
        import os
        def reached(pid):
            found = []
            for name in ('environ', 'mem', 'maps', 'fd/3', 'fd/0', 'cwd', 'root', 'stack'):
                try:
                    with open(f'/proc/{pid}/{name}', 'rb') as file:
                        file.read(1)
                    found.append(name)
                except OSError:
                    pass
            return found
        others = [p for p in range(1, os.getpid() + 50) if p != os.getpid()]
        return [(p, r) for p in others if (r := reached(p))]
        """,
        ok("[]"),
    ),
    hostile(
        "write into a neighbour's answer",
        """
        import os, time
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            for pid in range(1, os.getpid() + 50):
                if pid == os.getpid():
                    continue
                try:
                    fd = os.open(f'/proc/{pid}/fd/3', os.O_WRONLY)
                    os.write(fd, b'o\\0junk')
                    return f'reached {pid}'
                except OSError:
                    pass
        return 'none'
        """,
        ok("'none'"),
    ),
    hostile(
        "leave the folder and the mask changed",
        "import os\nos.chdir('/usr')\nos.umask(0o777)\nreturn os.getcwd()",
        ok("'/usr'"),
    ),
    hostile("set-uid to root", "import os\nos.setuid(0)", error("PermissionError")),
    hostile(
        "make a device or a pipe anywhere",
        """
        import os
        made = []
        for folder, folders, _ in os.walk('/'):
            folders[:] = [f for f in folders if (folder, f) not in (('/', 'proc'), ('/', 'sys'))]
            try:
                os.mkfifo(os.path.join(folder, 'x'))
                made.append(folder)
            except OSError:
                pass
        return made
        """,
        ok("[]"),
    ),
    hostile(
        "keep a lock on a file of the library",
        "import fcntl, os\nfcntl.flock(open(os.__file__), fcntl.LOCK_EX)\nreturn 1",
        ok("1"),
        error("OSError"),
    ),
]

LIMITS = [
    hostile(
        "raise its limits",
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        error("PermissionError"),
        error("ValueError"),
    ),
    hostile("open many files", "return [open('/dev/null') for _ in range(100)]", error("OSError")),
    hostile("foreign functions", "import ctypes", error("ModuleNotFoundError")),
    hostile("foreign functions, bare", "import _ctypes", error("ModuleNotFoundError")),
    hostile("the guard", "import guard", error("ModuleNotFoundError")),
    hostile(
        "run away from its processor",
        "import os\nos.sched_setaffinity(0, {0})",
        error("PermissionError"),
    ),
    hostile(
        "leave a mapping behind",
        "import mmap\nglobal m\nm = mmap.mmap(-1, 64 << 20)\nm[:4] = b'left'\nreturn 1",
        ok("1"),
    ),
]

ENVIRONMENT = [
    hostile(
        "poison the environment",
        f"import os\nos.environ[{POISON!r}] = 'x'\nos.putenv({POISON!r}, 'x')\nreturn 1",
        ok("1"),
    ),
    hostile(
        "read the environment",
        "import os\nreturn sorted(os.environ)",
        ok("['LC_ALL', 'PATH', 'PYTHONHASHSEED']"),
        determinism=Determinism.YES,
    ),
    hostile(
        "read the environment of its own process",
        """
        import os
        try:
            data = open('/proc/self/environ', 'rb').read()
        except FileNotFoundError:
            return []
        names = {entry.split(b'=')[0] for entry in data.split(b'\\0') if entry}
        return sorted(names - {b'LC_ALL', b'PATH', b'PYTHONHASHSEED', b'HOME'})
        """,
        ok("[]"),
    ),
]

PROGRAMS = [*PROCESSES, *THREADS, *SIGNALS, *NETWORK, *FILES, *LIMITS, *ENVIRONMENT]
