"""Addresses of a cluster, and the one interface that joins it to the host.

A cluster has a network namespace of its own, so its ports, interfaces and packet filters cannot
collide with anything. Only its addresses must not be in use on the host, because the host has a
route to them: `kubectl`, tests and host processes reach the API server, Services and pods directly.
"""

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import chain

from tests.cluster import host
from tests.cluster.errors import ClusterError

CANDIDATES = tuple(IPv4Network(f"10.{number}.0.0/16") for number in range(80, 255))
API_PORT = 6443
NODE_INTERFACE = "uplink"
"""The node's end of the link."""


@dataclass(frozen=True, slots=True)
class Network:
    """A /16 and how a cluster divides it."""

    block: IPv4Network

    @property
    def pods(self) -> IPv4Network:
        """Addresses of pods: the lower half."""
        return next(self.block.subnets(prefixlen_diff=1))

    @property
    def services(self) -> IPv4Network:
        """Addresses of Services: a /20 in the upper half."""
        return IPv4Network((int(self.block.network_address) + (128 << 8), 20))

    @property
    def link(self) -> IPv4Network:
        """The link between host and node: the last /30."""
        return IPv4Network((int(self.block.broadcast_address) - 3, 30))

    @property
    def host_address(self) -> IPv4Address:
        """Where pods reach processes of the host."""
        return self.link[1]

    @property
    def node_address(self) -> IPv4Address:
        """Where the host and pods reach the API server, the kubelet and cluster DNS."""
        return self.link[2]

    @property
    def api_address(self) -> IPv4Address:
        """The Service `kubernetes`: by rule the first one."""
        return self.services[1]

    @property
    def dns_address(self) -> IPv4Address:
        """The Service `kube-dns`."""
        return self.services[10]

    @property
    def host_interface(self) -> str:
        """The host's end of the link."""
        return f"zlcluster{self.block.network_address.packed[1]}"

    @property
    def api_url(self) -> str:
        """The API server, from the host and from within."""
        return f"https://{self.node_address}:{API_PORT}"


def choose(taken: Iterable[IPv4Network]) -> Network:
    """Return the first network that overlaps none of those.

    Raises:
        ClusterError: All are taken.
    """
    used = list(taken)
    for block in CANDIDATES:
        if not any(block.overlaps(other) for other in used):
            return Network(block)
    raise ClusterError(
        f"no free network: the host has routes into all of {CANDIDATES[0]} to {CANDIDATES[-1]}"
    )


def taken_by_host() -> list[IPv4Network]:
    """Networks that the host has an address in or a route to, without the default route."""
    routes = json.loads(_ip("-json", "-4", "route", "show", "table", "all") or "[]")
    links = json.loads(_ip("-json", "-4", "address", "show") or "[]")
    destinations = (route["dst"] for route in routes if route.get("dst", "default") != "default")
    addresses = chain.from_iterable(link.get("addr_info", []) for link in links)
    return [
        *(IPv4Network(destination, strict=False) for destination in destinations),
        *(
            IPv4Network((address["local"], address["prefixlen"]), strict=False)
            for address in addresses
        ),
    ]


def connect(network: Network, node_pid: int, owner: str) -> None:
    """Join the host to the network namespace of a process; the namespace's end stays the node's.

    Args:
        network: What was chosen.
        node_pid: Any process of the node.
        owner: Kept with the interface, so that only its owner removes it.

    Raises:
        ClusterError: The kernel refused.
    """
    ours = network.host_interface
    _ip(
        *("link", "add", ours, "type", "veth"),
        *("peer", "name", NODE_INTERFACE, "netns", str(node_pid)),
    )
    _ip("link", "set", ours, "alias", owner)
    _ip("address", "add", f"{network.host_address}/{network.link.prefixlen}", "dev", ours)
    _ip("link", "set", ours, "up")
    for subnet in (network.pods, network.services):
        _ip("route", "add", str(subnet), "via", str(network.node_address), "dev", ours)


def configure_node(network: Network) -> None:
    """Inside the node's namespace: bring up its end and let it route between pods and host."""
    _ip("link", "set", "lo", "up")
    address = f"{network.node_address}/{network.link.prefixlen}"
    _ip("address", "add", address, "dev", NODE_INTERFACE)
    _ip("link", "set", NODE_INTERFACE, "up")
    with open("/proc/sys/net/ipv4/ip_forward", "w") as file:
        file.write("1")


def disconnect(network: Network, owner: str) -> None:
    """Remove the host's end, its addresses and routes, if there is one and it is that owner's."""
    for link in json.loads(_ip("-json", "link", "show") or "[]"):
        if link["ifname"] == network.host_interface and link.get("ifalias") == owner:
            # It also goes with the namespace, a moment after the last process; both is fine.
            subprocess.run(
                [host.program("ip"), "link", "delete", link["ifname"]],
                capture_output=True,
                check=False,
            )


def _ip(*arguments: str) -> str:
    done = subprocess.run(
        [host.program("ip"), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ClusterError(f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}")
    return done.stdout
