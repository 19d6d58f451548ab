"""Who reaches what: real connections, tried from within pods."""

import json
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.cluster import pods
from tests.cluster.cluster import Cluster

PYTHON = "/usr/bin/python3"
"""In every image of ours, for they have one base."""

ANSWER_S = 1.0
"""All places are tried at once, so this is what a look costs that finds one of them shut."""

_TRY = """
import json, select, socket, sys, time
answer_s, places = json.loads(sys.argv[1])
question = bytes.fromhex("2a2a 0100 0001 0000 0000 0000")
for label in ("kubernetes", "default", "svc", "cluster", "local", ""):
    question += bytes([len(label)]) + label.encode()
question += bytes.fromhex("0001 0001")
waiting, reached = {}, []
for name, address, port, protocol in places:
    udp = protocol == "UDP"
    client = socket.socket(type=socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    client.setblocking(False)
    try:
        client.connect((address, port))
        if udp:
            client.send(question)
    except BlockingIOError:
        pass
    except OSError:
        continue
    waiting[client] = name, port, protocol
until_s = time.monotonic() + answer_s
while waiting and (left_s := until_s - time.monotonic()) > 0:
    asked = [client for client, (_, _, protocol) in waiting.items() if protocol == "UDP"]
    opening = [client for client in waiting if client not in asked]
    for client in [found for some in select.select(asked, opening, [], left_s) for found in some]:
        place = waiting.pop(client)
        if client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            reached.append(place)
print(json.dumps(reached))
"""

_LISTEN = """
import select, socket
listening = [socket.create_server(("", port)) for port in {ports}]
while True:
    for listener in select.select(listening, [], [])[0]:
        listener.accept()[0].close()
"""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What may be called; for UDP, a server of names."""

    name: str
    port: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.name}:{self.entry}"

    @property
    def entry(self) -> str:
        """As the tests of the chart say it."""
        return f"{self.port}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class Caller:
    """A pod that calls."""

    namespace: str
    pod: str


Addresses = Mapping[Place, str]


def reached(cluster: Cluster, caller: Caller, places: Addresses) -> set[Place]:
    """Try all places from a pod; return those that answer.

    Raises:
        ClusterError: The pod cannot run that.
    """
    where = f"--namespace={caller.namespace}"
    command = (PYTHON, "-I", "-c", _TRY, _arguments(places))
    return _read(cluster.kubectl("exec", where, caller.pod, "--", *command))


def reached_from_here(places: Addresses) -> set[Place]:
    """The same from this process, which is of no pod and not of the node."""
    command = [sys.executable, "-I", "-c", _TRY, _arguments(places)]
    return _read(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def listener(
    name: str, image: str, ports: Collection[int], labels: Mapping[str, str]
) -> dict[str, Any]:
    """A pod with these labels that takes connections at these ports."""
    pod = pods.make(name, image, _LISTEN.format(ports=sorted(ports)))
    return {**pod, "metadata": {**pod["metadata"], "labels": dict(labels)}}


def _arguments(places: Addresses) -> str:
    listed = [
        (place.name, address, place.port, place.protocol) for place, address in places.items()
    ]
    return json.dumps([ANSWER_S, listed])


def _read(printed: str) -> set[Place]:
    return {Place(*entry) for entry in json.loads(printed)}
