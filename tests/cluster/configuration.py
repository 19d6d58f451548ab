"""Every file that the cluster's programs read, written before the first of them starts."""

import json
from pathlib import Path
from typing import Any

from tests.cluster import certificates
from tests.cluster.folder import Folder
from tests.cluster.network import Network

NODE = "node-1"
DOMAIN = "cluster.local"
PAUSE_IMAGE = "localhost/pause:1"

USERS = {
    "admin": ("admin", ("system:masters",)),
    "kube-controller-manager": ("system:kube-controller-manager", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kubelet": (f"system:node:{NODE}", ("system:nodes",)),
    "kube-proxy": ("system:kube-proxy", ()),
    "coredns": ("system:coredns", ()),
    "apiserver-kubelet": ("kube-apiserver", ("system:masters",)),
}
"""Client certificates: file name to user and groups. The API server has rules for these names."""


def write(folder: Folder, network: Network, programs: dict[str, Path], cni: Path) -> None:
    """Write certificates, kubeconfigs and the programs' own files into the folder."""
    _write_certificates(folder, network)
    for user in USERS:
        _write_kubeconfig(folder, network, user)
    _write_json(folder.path / "audit.json", AUDIT_POLICY)
    _write_json(folder.cni / "10-pods.conflist", _cni(folder, network))
    _write_json(folder.path / "kubelet.json", _kubelet(folder, network))
    (folder.path / "runsc.toml").write_text(_runsc(folder, programs))
    (folder.path / "containerd.toml").write_text(_containerd(folder, programs, cni))
    (folder.path / "Corefile").write_text(_corefile(folder, network))


def _write_certificates(folder: Folder, network: Network) -> None:
    authority = certificates.make_authority(folder.certificates)
    certificates.make_token_keys(folder.certificates)
    for name, (subject, groups) in USERS.items():
        authority.issue(folder.certificates, name, subject, groups=groups)
    service = "kubernetes.default.svc"
    authority.issue(
        folder.certificates,
        "apiserver",
        "kube-apiserver",
        names=("kubernetes", "kubernetes.default", service, f"{service}.{DOMAIN}", "localhost"),
        addresses=(network.node_address, network.api_address),
    )
    authority.issue(
        folder.certificates,
        "kubelet-server",
        f"system:node:{NODE}",
        groups=("system:nodes",),
        names=(NODE,),
        addresses=(network.node_address,),
    )


def _write_kubeconfig(folder: Folder, network: Network, user: str) -> None:
    own = folder.certificates
    cluster = {"server": network.api_url, "certificate-authority": str(own / "ca.crt")}
    person = {"client-certificate": f"{own / user}.crt", "client-key": f"{own / user}.key"}
    _write_json(
        folder.kubeconfig_of(user),
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "zeroloop", "cluster": cluster}],
            "users": [{"name": user, "user": person}],
            "contexts": [{"name": "zeroloop", "context": {"cluster": "zeroloop", "user": user}}],
            "current-context": "zeroloop",
        },
    )


AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # Each request once, when it is answered.
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


def _cni(folder: Folder, network: Network) -> dict[str, Any]:
    # Each pod hangs on the node by a link of its own and everything is routed. On a bridge, pods
    # of one node would answer each other past the translation of Service addresses, unless the
    # host has br_netfilter loaded.
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(network.pods)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": str(folder.path / "cni-addresses"),
                },
            }
        ],
    }


def _kubelet(folder: Folder, network: Network) -> dict[str, Any]:
    own = folder.certificates
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": str(network.node_address),
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(own / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(own / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(own / "kubelet-server.key"),
        "containerRuntimeEndpoint": f"unix://{folder.containerd_socket}",
        "clusterDNS": [str(network.dns_address)],
        "clusterDomain": DOMAIN,
        # Pods see no resolver of the host's: nothing outside the cluster can be reached anyway.
        "resolvConf": "",
        "readOnlyPort": 0,
        "healthzPort": 0,
        "podLogsDir": str(folder.logs / "pods"),
        "volumePluginDir": str(folder.path / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{folder.cgroup()}",
        "enforceNodeAllocatable": [],
        # The host's other work may leave little free, and nothing here may be evicted for it.
        # Images come from no registry: one that is removed to save space is gone.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "failSwapOn": False,
        # Many CI machines still have old control groups.
        "failCgroupV1": False,
    }


def _runsc(folder: Folder, programs: dict[str, Path]) -> str:
    return f"""\
binary_name = "{programs["runsc"]}"
root = "{folder.path}/runsc"
[runsc_config]
  platform = "systrap"
  ignore-cgroups = "true"
"""


def _containerd(folder: Folder, programs: dict[str, Path], cni: Path) -> str:
    runtime = "plugins.'io.containerd.cri.v1.runtime'"
    images = "plugins.'io.containerd.cri.v1.images'"
    return f"""\
version = 3
root = "{folder.path}/containerd"
state = "{folder.path}/containerd-state"
[grpc]
  address = "{folder.containerd_socket}"
[plugins.'io.containerd.internal.v1.opt']
  path = "{folder.path}/containerd-opt"
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[{images}]
  snapshotter = "overlayfs"
[{images}.pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[{runtime}]
  # For hosts where a process may not lower its own OOM score.
  restrict_oom_score_adj = true
  disable_apparmor = true
[{runtime}.cni]
  bin_dirs = ["{cni}", "{folder.cni_plugins}"]
  conf_dir = "{folder.cni}"
[{runtime}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[{runtime}.containerd.runtimes.runc.options]
  BinaryName = "{programs["runc"]}"
[{runtime}.containerd.runtimes.runsc]
  runtime_type = "io.containerd.runsc.v1"
[{runtime}.containerd.runtimes.runsc.options]
  TypeUrl = "io.containerd.runsc.v1.options"
  ConfigPath = "{folder.path}/runsc.toml"
"""


def _corefile(folder: Folder, network: Network) -> str:
    return f"""\
.:53 {{
  bind {network.node_address}
  errors
  kubernetes {DOMAIN} in-addr.arpa {{
    kubeconfig {folder.kubeconfig_of("coredns")} zeroloop
    ttl 5
  }}
}}
"""


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")
