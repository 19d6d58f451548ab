"""Every program of the cluster: which Go module pins it and how it is built.

A module is a folder here with a go.mod and a go.sum; the version of a program is in its go.mod and
nowhere else. One module per project, because each project was released with its own set of
dependencies.
"""

import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
GVISOR = HERE.parents[2] / "tools" / "gvisor"
"""Pins gVisor for the whole project: the cluster runs what the sandbox runs."""


@dataclass(frozen=True, slots=True)
class Program:
    """One program: a package of the Go module in a folder."""

    name: str
    module: Path
    package: str
    variables: tuple[str, ...] = ()
    """`package.name=value` for the linker."""

    tags: tuple[str, ...] = ()
    """What the compiler is told to build or to leave out."""


def pinned(module: Path, requirement: str) -> str:
    """Return the version that a module's go.mod requires.

    Raises:
        LookupError: It does not require that.
    """
    found = re.search(
        rf"^(?:require)?\s*{re.escape(requirement)} (v\S+)",
        (module / "go.mod").read_text(),
        re.MULTILINE,
    )
    if found is None:
        raise LookupError(f"{module}/go.mod does not require {requirement}")
    return found[1]


def _kubernetes(name: str) -> Program:
    module = HERE / "kubernetes"
    version = pinned(module, "k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".", 2)
    base = "k8s.io/component-base/version"
    # Without these the API server calls itself v0.0.0 and clients refuse it.
    stamps = (f"gitVersion={version}", f"gitMajor={major}", f"gitMinor={minor}")
    return Program(
        name, module, f"k8s.io/kubernetes/cmd/{name}", tuple(f"{base}.{stamp}" for stamp in stamps)
    )


def _containerd(name: str) -> Program:
    package = f"github.com/containerd/containerd/v2/cmd/{name}"
    return Program(name, HERE / "containerd", package)


RUNSC = Program(
    "runsc",
    GVISOR,
    "gvisor.dev/gvisor/runsc",
    # Exactly as tools/gvisor/install builds it, so that Go's cache has it already.
    (
        "gvisor.dev/gvisor/runsc/version.version="
        + pinned(GVISOR, "gvisor.dev/gvisor").removeprefix("v0.0.0-"),
    ),
)

CLUSTER = (
    Program("etcd", HERE / "etcd", "go.etcd.io/etcd/server/v3"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubelet"),
    _kubernetes("kube-proxy"),
    _kubernetes("kubectl"),
    _containerd("containerd"),
    _containerd("containerd-shim-runc-v2"),
    _containerd("ctr"),
    RUNSC,
    Program("containerd-shim-runsc-v1", HERE / "gvisor", "."),
    Program("pause", HERE / "pause", "."),
    Program("coredns", HERE / "coredns", "github.com/coredns/coredns"),
    Program("helm", HERE / "helm", "helm.sh/helm/v4/cmd/helm"),
    # Nodes that only claim to exist, for instance with GPUs.
    Program("kwok", HERE / "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
)
"""What a running cluster and its tests need."""

KSERVE = Program("kserve-manager", HERE / "kserve", "github.com/kserve/kserve/cmd/manager")
JOBSET = Program("jobset-manager", HERE / "jobset", "sigs.k8s.io/jobset")
TRAINER = Program(
    "trainer-manager",
    HERE / "trainer",
    "github.com/kubeflow/trainer/v2/cmd/trainer-controller-manager",
)
KUEUE = Program("kueue-manager", HERE / "kueue", "sigs.k8s.io/kueue/cmd/kueue")
CERT_MANAGER = Program("cert-manager", HERE / "certmanager", ".")
MANAGERS = (KSERVE, JOBSET, TRAINER, KUEUE, CERT_MANAGER)
"""Controllers that a cluster may have: minutes to build, so only those that are asked for."""

FELIX = Program(
    "calico-felix", HERE / "calico", "github.com/projectcalico/calico/felix/cmd/calico-felix"
)
CALICO_CNI = Program(
    "calico-cni", HERE / "calico", "github.com/projectcalico/calico/cni-plugin/cmd/calico"
)
CALICO = (FELIX, CALICO_CNI)
"""What enforces NetworkPolicies, and makes the interfaces of pods whose names that goes by."""

S3 = Program("versitygw", HERE / "versitygw", "github.com/versity/versitygw/cmd/versitygw")
"""A server of S3 in front of a folder, for the tests of weights in a bucket."""

PROMTOOL = Program(
    "promtool",
    HERE / "prometheus",
    "github.com/prometheus/prometheus/cmd/promtool",
    # The clients of thirty clouds, in which it could look for targets.
    tags=("remove_all_sd",),
)
"""Prometheus's own engine of rules, for the tests of alerts and dashboards."""

ALL = (*CLUSTER, *MANAGERS, *CALICO, S3, PROMTOOL)
