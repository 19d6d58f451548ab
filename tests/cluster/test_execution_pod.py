"""The Execution service in a gVisor pod: programs run there, are held there, and it lives on."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Generator
from dataclasses import replace
from typing import Any

import pytest

from tests.cluster import execution_image, image
from tests.cluster.cluster import Cluster
from tests.hostile import excess, forgery, reach
from tests.hostile.corpus import Hostile
from zeroloop.client.channel import open_channel
from zeroloop.client.execution import ExecutionClient
from zeroloop.core.execution import Determinism, Isolation, Limits, Program, Result
from zeroloop.core.tasks import RunStatus

NAMESPACE = "execution"
IMAGE = "localhost/execution:1"
PORT = 50051
TOKEN = "only-for-those-who-know"
TOKEN_FILE = "/etc/zeroloop/token/token"
READY_S = 90
SANDBOXES = 2
WORKERS = 2

QUICK = Limits(cpu_time_s=0.5, wall_time_s=3.0, memory_mib=128)
SORT = "def f(a, k=3):\n    return sorted(a)[:k]\n"

REACHES_FOR_THE_SERVICE = """
import os
FILES = [
    '/etc/zeroloop/token/token', '/../../etc/zeroloop/token/token', '/app', '/opt', '/etc', '/run',
    *(f'/proc/{pid}/{name}' for pid in ['self', *range(1, 200)]
      for name in ('environ', 'cmdline', 'mem', 'root', 'fd', 'status')),
]
def f():
    reached = []
    for path in FILES:
        for look in (os.stat, os.listdir, lambda path: open(path, 'rb')):
            try:
                reached.append((path, repr(look(path))))
            except OSError:
                pass
    for pid in range(-200, 200):
        try:
            os.kill(pid, 0)
            reached.append((pid, 'signal'))
        except OSError:
            pass
    return reached, sorted(os.environ), os.uname().nodename
"""

LISTS_PROCESSES = """
import json, os, pathlib
def fields(pid):
    lines = pathlib.Path('/proc', pid, 'status').read_text().splitlines()
    return dict(line.split(':', 1) for line in lines if ':' in line)
told = []
for pid in filter(str.isdigit, os.listdir('/proc')):
    try:
        status = fields(pid)
        told.append({
            'pid': int(pid),
            'parent': int(status['PPid']),
            'uid': int(status['Uid'].split()[0]),
            'capabilities': int(status['CapEff'], 16),
            'namespaces': {
                name: os.readlink(f'/proc/{pid}/ns/{name}') for name in ('net', 'pid', 'user')
            },
        })
    except OSError:
        pass
print(json.dumps(told))
"""

pytestmark = pytest.mark.timeout(600)


def pod(name: str, **changes: Any) -> dict[str, Any]:
    """The pod as a chart would have it."""
    container: dict[str, Any] = {
        "name": "execution",
        "image": IMAGE,
        "command": execution_image.COMMAND,
        "env": [
            {"name": name, "value": value}
            for name, value in {
                **execution_image.ENVIRONMENT,
                "ZEROLOOP_EXECUTION__ISOLATION": "gvisor-pod",
                "ZEROLOOP_EXECUTION__HOST": "0.0.0.0",
                "ZEROLOOP_EXECUTION__PORT": str(PORT),
                "ZEROLOOP_EXECUTION__TOKEN_FILE": TOKEN_FILE,
                "ZEROLOOP_EXECUTION__SANDBOXES": str(SANDBOXES),
                "ZEROLOOP_EXECUTION__WORKERS": str(WORKERS),
            }.items()
        ],
        "ports": [{"name": "grpc", "containerPort": PORT}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "readinessProbe": {"grpc": {"port": PORT}, "periodSeconds": 1},
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["SETGID", "SETUID"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "token", "mountPath": "/etc/zeroloop/token", "readOnly": True},
        ],
    }
    spec = {
        "runtimeClassName": "gvisor",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
            # Readable by its owner alone, who is root; with an fsGroup its group could read it.
            {"name": "token", "secret": {"secretName": "token", "defaultMode": 0o400}},
        ],
    }
    metadata = {"name": name, "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {key: value for key, value in (spec | changes).items() if value is not None},
    }


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A namespace that enforces the baseline profile, with the token, on a node with the image."""
    scratch = tmp_path_factory.mktemp("execution-image")
    execution_image.make_root(scratch / "root")
    image.pack(scratch / "root", IMAGE, scratch / "image.tar", execution_image.COMMAND)
    cluster.import_image(scratch / "image.tar")
    shutil.rmtree(scratch)
    enforced = {"pod-security.kubernetes.io/enforce": "baseline"}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": enforced},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "token", "namespace": NAMESPACE},
            "stringData": {"token": TOKEN},
        },
    )
    where = f"--namespace={NAMESPACE}"
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", where, "--timeout=60s")
    yield NAMESPACE
    cluster.kubectl("delete", "namespace", NAMESPACE)


@pytest.fixture(scope="module")
def address(cluster: Cluster, namespace: str) -> str:
    """Where the service listens."""
    cluster.apply(pod("service"))
    where = f"--namespace={namespace}"
    try:
        cluster.kubectl(
            *("wait", where, "pod/service", "--for=condition=Ready", f"--timeout={READY_S}s")
        )
    except Exception as error:
        error.add_note(cluster.kubectl("describe", where, "pod", "service"))
        error.add_note(cluster.kubectl("logs", where, "service"))
        raise
    status = cluster.get("pod", "service", where)["status"]
    return f"{status['podIP']}:{PORT}"


@pytest.fixture
async def client(address: str) -> AsyncIterator[ExecutionClient]:
    async with open_channel(address, token=TOKEN) as channel:
        yield ExecutionClient(channel)


async def run(client: ExecutionClient, *programs: Program, limits: Limits = QUICK) -> list[Result]:
    return [result async for result in client.execute(programs, limits, deadline_s=120)]


async def test_it_says_what_isolates_programs(client: ExecutionClient) -> None:
    capabilities = await client.get_capabilities()

    assert capabilities.isolation is Isolation.GVISOR
    assert capabilities.platform == "pod"
    assert capabilities.modes == ("reset", "strict")
    assert "gvisor" in capabilities.runtime_version
    assert capabilities.workers == SANDBOXES * WORKERS


async def test_a_right_program_gives_its_value(client: ExecutionClient) -> None:
    capabilities = await client.get_capabilities()
    program = Program(SORT, ("[3, 1, 2]", "'banana', k=2"), check_determinism=True)

    results = await run(client, program)

    values = {result.input_index: result.value for result in results}
    assert values == {0: "[1, 2, 3]", 1: "['a', 'a']"}
    assert {result.isolation for result in results} == {Isolation.GVISOR}
    assert {result.determinism for result in results} == {Determinism.YES}
    assert {result.image_digest for result in results} == {capabilities.image_digest}


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        pytest.param("while True: pass", RunStatus.TIMEOUT, "cpu", id="endless loop"),
        pytest.param("import time; time.sleep(60)", RunStatus.TIMEOUT, "wall", id="sleep"),
        pytest.param("return bytearray(8 << 30)", RunStatus.OOM, "", id="memory bomb"),
        pytest.param(
            "import os\n    while True: os.fork()",
            RunStatus.ERROR,
            "PermissionError",
            id="fork bomb",
        ),
        pytest.param("open('/tmp/x', 'w')", RunStatus.ERROR, "", id="file"),
        pytest.param(
            "import socket; socket.create_connection(('10.0.0.1', 443), 1)",
            RunStatus.ERROR,
            "PermissionError",
            id="socket",
        ),
        pytest.param("import os; os._exit(0)", RunStatus.CRASH, "exit code 0", id="exit"),
    ],
)
async def test_each_limit_bites_and_the_service_lives_on(
    client: ExecutionClient, body: str, status: RunStatus, detail: str
) -> None:
    [result] = await run(client, Program(f"def f():\n    {body}\n"))
    [after] = await run(client, Program(SORT, ("[2, 1]",)))

    assert result.status is status, result
    assert detail in (result.detail, result.type_name, ""), result
    assert after.value == "[1, 2]"


async def test_a_program_reaches_nothing_of_the_service(client: ExecutionClient) -> None:
    [result] = await run(client, Program(REACHES_FOR_THE_SERVICE), limits=Limits(cpu_time_s=10))

    # Nothing reached, an environment of its own, and not even the pod's name.
    assert result.value == "([], ['LC_ALL', 'PATH', 'PYTHONHASHSEED'], '')", result


async def test_users_and_namespaces_part_programs_from_the_service(
    cluster: Cluster, client: ExecutionClient
) -> None:
    """Were the system call filter not there, this would be."""
    naps = [
        Program(f"def f():\n    import time\n    time.sleep(4)\n    return {n}") for n in range(4)
    ]
    running = asyncio.create_task(run(client, *naps, limits=Limits(wall_time_s=10)))
    await asyncio.sleep(1)

    processes = await asyncio.to_thread(list_processes, cluster)

    assert {result.status for result in await running} == {RunStatus.OK}
    [service] = [p for p in processes if p["pid"] == 1]
    sandboxed = [p for p in processes if p["uid"] != 0]
    supervisors = [p for p in sandboxed if p["capabilities"] == 0b1110_0000]  # KILL, SETGID, SETUID
    workers = [p for p in sandboxed if p["capabilities"] == 0]
    assert service["uid"] == 0
    assert service["capabilities"] == 0b1100_0000  # SETGID, SETUID
    # In each of two interpreters a supervisor, the zygote of its workers, and those.
    assert len(supervisors) == 2 * 2 * SANDBOXES
    assert len(workers) == len({p["uid"] for p in workers}) == 2 * SANDBOXES * WORKERS
    assert not {p["uid"] for p in workers} & {p["uid"] for p in supervisors}
    for name in ("net", "pid", "user"):
        inside = {p["namespaces"][name] for p in workers}
        assert len(inside) == SANDBOXES
        assert service["namespaces"][name] not in inside


def list_processes(cluster: Cluster) -> list[dict[str, Any]]:
    return json.loads(in_service(cluster, LISTS_PROCESSES))


def in_service(cluster: Cluster, source: str) -> str:
    """Run some Python beside the service, as the user that it has."""
    where = (f"--namespace={NAMESPACE}", "service", "--")
    return cluster.kubectl("exec", *where, "/usr/bin/python3", "-S", "-c", source)


KILLS_ONE = """
import os, pathlib, signal
for pid in filter(str.isdigit, os.listdir('/proc')):
    if b'shut_in.py' in pathlib.Path('/proc', pid, 'cmdline').read_bytes():
        os.kill(int(pid), signal.SIGKILL)
        break
"""


async def test_a_lost_sandbox_costs_time_and_no_results(
    cluster: Cluster, client: ExecutionClient
) -> None:
    """Killed as the service itself would kill it: user 0, without CAP_KILL."""
    before = await asyncio.to_thread(list_processes, cluster)
    nap = Program("def f(n):\n    import time\n    time.sleep(2)\n    return n", tuple("123456"))
    running = asyncio.create_task(run(client, nap, limits=Limits(wall_time_s=20)))
    await asyncio.sleep(1)

    await asyncio.to_thread(in_service, cluster, KILLS_ONE)

    assert {result.value for result in await running} == set("123456")
    after = await asyncio.to_thread(list_processes, cluster)
    assert len(after) == len(before)
    assert {p["uid"] for p in after} != {p["uid"] for p in before}


CORPUS = [*reach.PROGRAMS, *excess.PROGRAMS, *forgery.PROGRAMS]


async def test_hostile_programs_end_as_they_do_under_runsc(client: ExecutionClient) -> None:
    room = asyncio.Semaphore(2)

    async def wrong(program: Hostile) -> str:
        job = Program(
            program.source,
            (program.input_text,),
            check_determinism=program.determinism is not None,
        )
        # A machine that runs a cluster besides is slow; here it is about which limit bites.
        limits = replace(
            program.limits,
            cpu_time_s=2 * program.limits.cpu_time_s,
            wall_time_s=4 * program.limits.wall_s,
        )
        async with room:
            [result] = await run(client, job, limits=limits)
        fits = any(ending.allows(result) for ending in program.endings)
        told = program.determinism in (None, result.determinism)
        return "" if fits and told else f"{program.name}: {result}"

    assert "".join(await asyncio.gather(*map(wrong, CORPUS))) == ""


def test_without_gvisor_it_refuses_to_start(cluster: Cluster, namespace: str) -> None:
    said, code = end_of(cluster, pod("bare", runtimeClassName=None))

    assert code == 64
    assert "the kernel here is not gVisor's" in said
    assert "runtimeClassName: gvisor" in said


def test_without_its_rights_it_refuses_to_start(cluster: Cluster, namespace: str) -> None:
    weak = pod("weak")
    weak["spec"]["containers"][0]["securityContext"]["capabilities"] = {"drop": ["ALL"]}

    said, code = end_of(cluster, weak)

    assert code == 64
    assert "lacks CAP_SETGID and CAP_SETUID" in said


def end_of(cluster: Cluster, of: dict[str, Any]) -> tuple[str, int]:
    """Start a pod that ends by itself; return what `kubectl describe` would say, and the code."""
    cluster.apply(of)
    where, name = f"--namespace={NAMESPACE}", of["metadata"]["name"]
    cluster.kubectl(
        *("wait", where, f"pod/{name}", f"--timeout={READY_S}s"),
        "--for=jsonpath={.status.phase}=Failed",
    )
    [status] = cluster.get("pod", name, where)["status"]["containerStatuses"]
    ended = status["state"]["terminated"]
    return ended["message"], ended["exitCode"]


def test_stopping_it_takes_no_longer_than_its_calls(cluster: Cluster, address: str) -> None:
    cluster.kubectl(
        *("delete", "pod", "service", f"--namespace={NAMESPACE}", "--timeout=30s"),
    )
