"""The controller's watch against the real API server, through a proxy that cuts and stalls."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from services.controller.platforms.kubernetes import api as cluster_api
from services.controller.platforms.kubernetes.api import RUNS, Api, ExpiredError
from services.controller.platforms.kubernetes.mirror import Mirror
from services.controller.platforms.kubernetes.store import ObjectStore
from services.controller.store import RunStore
from tests.cluster.cluster import Cluster
from zeroloop.errors import InvalidRequestError

CRD = Path(__file__).resolve().parents[2] / "charts/zeroloop/crd/selfplayrun.yaml"
NAMESPACE = "watch-faults"


class Proxy:
    """Hands bytes on to the API server, or cuts the connections, or goes silent."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._links: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.connections = 0
        self.port = 0

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            self.cut()
            server.close()

    def cut(self) -> None:
        """Break every connection."""
        for link in list(self._links):
            link.cancel()

    def stall(self) -> None:
        """Keep every connection and hand nothing on."""
        self._flowing.clear()

    def flow(self) -> None:
        """Be well again."""
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, back = await asyncio.open_connection(*self._target)
        pumps = [
            asyncio.create_task(self._pump(reader, back)),
            asyncio.create_task(self._pump(there, writer)),
        ]
        self._links.update(pumps)
        with suppress(asyncio.CancelledError):  # the test is over
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
            self._links.discard(pump)
        for end in (back, writer):
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()


@pytest.fixture
async def proxied(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[Proxy, Api, ObjectStore, list[str]]]:
    """A mirror of the namespace that sees the API server through a proxy, and is impatient."""
    monkeypatch.setattr(cluster_api, "WATCH_SILENCE_S", 2.0)
    monkeypatch.setattr(cluster_api, "CALL_S", 2.0)
    # A chart that another test installed may have made it.
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    cluster.kubectl("wait", "--for=condition=Established", "crd/selfplayruns.zeroloop.dev")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    entry = document["clusters"][0]["cluster"]
    server = urlsplit(entry["server"])
    assert server.hostname is not None
    assert server.port is not None
    proxy = Proxy(server.hostname, server.port)
    async with proxy.serving():
        entry |= {
            "server": f"https://127.0.0.1:{proxy.port}",
            "tls-server-name": server.hostname,
        }
        config = tmp_path / "kubeconfig"
        config.write_text(json.dumps(document))
        async with cluster_api.connect(NAMESPACE, str(config)) as api:
            store = ObjectStore(api, RunStore(tmp_path / "runs"))
            changed: list[str] = []
            mirror = Mirror(api, store, changed.append)
            task = asyncio.create_task(mirror.run())
            await mirror.filled.wait()
            yield proxy, api, store, changed
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    cluster.kubectl("delete", "spr", "--all", f"--namespace={NAMESPACE}")


def put(cluster: Cluster, name: str, rounds: int = 1) -> None:
    cluster.apply(
        {
            "apiVersion": RUNS.version,
            "kind": "SelfPlayRun",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"model": {"uri": "/m"}, "rounds": rounds},
        }
    )


async def until(true: Callable[[], bool], limit_s: float = 30) -> None:
    deadline_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.05)


async def test_no_change_is_missed_where_connections_break(
    cluster: Cluster, proxied: tuple[Proxy, Api, ObjectStore, list[str]]
) -> None:
    proxy, _, store, changed = proxied
    put(cluster, "before")
    await until(lambda: "before" in store.known)
    before = proxy.connections
    for index in range(5):
        proxy.cut()
        put(cluster, f"during-{index}")
        if index:
            cluster.kubectl("delete", "spr", f"during-{index - 1}", f"--namespace={NAMESPACE}")
        await until(lambda i=index: f"during-{i}" in store.known)
    await until(lambda: store.known == {"before", "during-4"})
    assert proxy.connections - before < 40, "no hot loop"
    assert {f"during-{index}" for index in range(5)} <= set(changed)


async def test_a_connection_that_falls_silent_is_given_up(
    cluster: Cluster,
    proxied: tuple[Proxy, Api, ObjectStore, list[str]],
) -> None:
    proxy, _, store, _ = proxied
    put(cluster, "first")
    await until(lambda: "first" in store.known)
    before = proxy.connections
    proxy.stall()
    put(cluster, "silent", rounds=2)
    await asyncio.sleep(8)
    assert "silent" not in store.known
    assert 1 <= proxy.connections - before < 10, "it tries again, and not in a hot loop"
    proxy.flow()
    await until(lambda: "silent" in store.known)


async def test_a_version_that_is_forgotten_says_so(
    proxied: tuple[Proxy, Api, ObjectStore, list[str]],
) -> None:
    _, api, _, _ = proxied
    with pytest.raises(ExpiredError):
        async for _ in api.watch(RUNS, "1"):
            pass


async def test_what_the_api_server_refuses_is_named(
    proxied: tuple[Proxy, Api, ObjectStore, list[str]],
) -> None:
    _, api, _, _ = proxied
    body = {
        "apiVersion": RUNS.version,
        "kind": "SelfPlayRun",
        "metadata": {"name": "wrong"},
        "spec": {"model": {"uri": ""}, "rounds": -1},
    }
    with pytest.raises(InvalidRequestError, match=r"spec\.rounds"):
        await api.create(RUNS, body)
