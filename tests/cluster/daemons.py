"""Command lines of the programs that make the cluster, in the order in which they are started."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.configuration import NODE
from tests.cluster.folder import Folder
from tests.cluster.network import API_PORT, Network

ETCD_URL = "http://127.0.0.1:2379"
"""Within the node's network namespace, where nothing but this cluster is."""

AUDIT_LOG_MIB_MAX = 200


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that runs as long as the cluster does."""

    name: str
    command: tuple[str, ...]


def first(folder: Folder, network: Network, programs: dict[str, Path]) -> list[Daemon]:
    """What everything else needs: the API server with its database, and the container runtime."""
    return [
        _etcd(folder, programs),
        _apiserver(folder, network, programs),
        Daemon(
            "containerd",
            (str(programs["containerd"]), "--config", str(folder.path / "containerd.toml")),
        ),
    ]


def second(folder: Folder, network: Network, programs: dict[str, Path]) -> list[Daemon]:
    """What ends or complains if the API server is not there yet."""
    return [
        _controllers(folder, programs),
        Daemon(
            "kube-scheduler",
            (
                str(programs["kube-scheduler"]),
                f"--kubeconfig={folder.kubeconfig_of('kube-scheduler')}",
                "--leader-elect=false",
            ),
        ),
        Daemon(
            "kubelet",
            (
                str(programs["kubelet"]),
                f"--config={folder.path / 'kubelet.json'}",
                f"--kubeconfig={folder.kubeconfig_of('kubelet')}",
                f"--root-dir={folder.path / 'kubelet'}",
                f"--hostname-override={NODE}",
                f"--node-ip={network.node_address}",
            ),
        ),
        _proxy(folder, network, programs),
        Daemon(
            "coredns", (str(programs["coredns"]), "-conf", str(folder.path / "Corefile"), "-quiet")
        ),
    ]


def _etcd(folder: Folder, programs: dict[str, Path]) -> Daemon:
    return Daemon(
        "etcd",
        (
            str(programs["etcd"]),
            f"--data-dir={folder.path / 'etcd'}",
            # Nothing here outlives a crash of the machine.
            "--unsafe-no-fsync",
            f"--listen-client-urls={ETCD_URL}",
            f"--advertise-client-urls={ETCD_URL}",
            "--listen-peer-urls=http://127.0.0.1:2380",
        ),
    )


def _apiserver(folder: Folder, network: Network, programs: dict[str, Path]) -> Daemon:
    own = folder.certificates
    return Daemon(
        "kube-apiserver",
        (
            str(programs["kube-apiserver"]),
            f"--etcd-servers={ETCD_URL}",
            f"--advertise-address={network.node_address}",
            f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={network.services}",
            f"--client-ca-file={own / 'ca.crt'}",
            f"--tls-cert-file={own / 'apiserver.crt'}",
            f"--tls-private-key-file={own / 'apiserver.key'}",
            f"--kubelet-client-certificate={own / 'apiserver-kubelet.crt'}",
            f"--kubelet-client-key={own / 'apiserver-kubelet.key'}",
            f"--kubelet-certificate-authority={own / 'ca.crt'}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={own / 'tokens.pub'}",
            f"--service-account-signing-key-file={own / 'tokens.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--audit-policy-file={folder.path / 'audit.json'}",
            f"--audit-log-path={folder.audit_log}",
            f"--audit-log-maxsize={AUDIT_LOG_MIB_MAX}",
            "--audit-log-maxbackup=1",
        ),
    )


def _controllers(folder: Folder, programs: dict[str, Path]) -> Daemon:
    own = folder.certificates
    return Daemon(
        "kube-controller-manager",
        (
            str(programs["kube-controller-manager"]),
            f"--kubeconfig={folder.kubeconfig_of('kube-controller-manager')}",
            "--leader-elect=false",
            # Each controller is a ServiceAccount of its own, in RBAC and in the audit log.
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={own / 'tokens.key'}",
            f"--root-ca-file={own / 'ca.crt'}",
            f"--cluster-signing-cert-file={own / 'ca.crt'}",
            f"--cluster-signing-key-file={own / 'ca.key'}",
        ),
    )


def _proxy(folder: Folder, network: Network, programs: dict[str, Path]) -> Daemon:
    return Daemon(
        "kube-proxy",
        (
            str(programs["kube-proxy"]),
            f"--kubeconfig={folder.kubeconfig_of('kube-proxy')}",
            f"--hostname-override={NODE}",
            f"--cluster-cidr={network.pods}",
            "--proxy-mode=iptables",
            # These are settings of the whole host, which is not ours.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ),
    )
