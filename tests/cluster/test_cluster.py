"""What a cluster promises to the tests that use it."""

import json
import textwrap
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.cluster import pods
from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError

NAMESPACE = "promises"
READER = "reader"

ASK_API = """
import json, pathlib, socket, ssl, urllib.request
own = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
request = urllib.request.Request(
    "https://kubernetes.default.svc/api/v1/namespaces/promises/configmaps/question",
    headers={"Authorization": "Bearer " + (own / "token").read_text()},
)
context = ssl.create_default_context(cafile=own / "ca.crt")
with urllib.request.urlopen(request, context=context, timeout=30) as reply:
    answer = json.load(reply)["data"]
print(json.dumps({
    "data": answer,
    "kubernetes": socket.gethostbyname("kubernetes.default.svc.cluster.local"),
    "dns": socket.gethostbyname("kube-dns.kube-system"),
}))
"""

TELL_KERNEL = "print(open('/proc/version').read())"


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Generator[str]:
    """A namespace that enforces the restricted profile, with an account that may read one thing."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
    group = "rbac.authorization.k8s.io"
    meta = {"namespace": NAMESPACE, "name": READER}
    cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": [rule]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": READER},
            "subjects": [{"kind": "ServiceAccount", **meta}],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"namespace": NAMESPACE, "name": "question"},
            "data": {"answer": "42"},
        },
    )
    where = f"--namespace={NAMESPACE}"
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", where, "--timeout=60s")
    yield NAMESPACE
    cluster.kubectl("delete", "namespace", NAMESPACE)


def test_the_node_is_ready(cluster: Cluster) -> None:
    (node,) = cluster.get("nodes")["items"]

    conditions = {entry["type"]: entry["status"] for entry in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.36.1"


def test_a_pod_reaches_the_api_server_and_names_of_services(
    cluster: Cluster, namespace: str, python_image: str
) -> None:
    pod = pods.make("asks", python_image, ASK_API, service_account=READER)

    told = json.loads(pods.output_of(cluster, namespace, pod))

    assert told == {
        "data": {"answer": "42"},
        "kubernetes": str(cluster.network.api_address),
        "dns": str(cluster.network.dns_address),
    }


def test_a_gvisor_pod_does_the_same(cluster: Cluster, namespace: str, python_image: str) -> None:
    source = TELL_KERNEL + "\n" + ASK_API
    pod = pods.make(
        "asks-gvisor", python_image, source, service_account=READER, runtime_class="gvisor"
    )

    version, *_, told = pods.output_of(cluster, namespace, pod).splitlines()

    assert json.loads(told)["data"] == {"answer": "42"}
    assert Path("/proc/version").read_text().strip() not in version


@pytest.mark.parametrize(
    ("runtime_class", "is_gvisor"),
    [pytest.param(None, False, id="runc"), pytest.param("gvisor", True, id="gvisor")],
)
def test_the_runtime_class_decides_the_kernel(
    cluster: Cluster, namespace: str, python_image: str, runtime_class: str | None, is_gvisor: bool
) -> None:
    name = f"kernel-{runtime_class or 'default'}"
    # SYSLOG_ACTION_READ_ALL: gVisor makes up a log of its own that says who it is.
    source = "import ctypes; b = ctypes.create_string_buffer(9999)\n"
    source += "ctypes.CDLL(None).klogctl(3, b, 9999); print(b.value.decode(errors='replace'))"
    pod = pods.make(name, python_image, source, runtime_class=runtime_class)

    assert ("Starting gVisor" in pods.output_of(cluster, namespace, pod)) == is_gvisor


def test_a_pod_of_root_is_refused(cluster: Cluster, namespace: str, python_image: str) -> None:
    pod = pods.make("root", python_image, TELL_KERNEL)
    pod["spec"]["securityContext"] = {}

    with pytest.raises(ClusterError, match='violates PodSecurity "restricted'):
        pods.output_of(cluster, namespace, pod)


def test_exec_goes_through_the_kubelet(cluster: Cluster, namespace: str, python_image: str) -> None:
    pod = pods.make("stays", python_image, "import time; time.sleep(600)")
    pod["metadata"]["namespace"] = namespace
    cluster.apply(pod)
    where = f"--namespace={namespace}"
    cluster.kubectl("wait", where, "pod/stays", "--for=condition=Ready", "--timeout=120s")

    said = cluster.kubectl(
        "exec", where, "stays", "--", "/usr/bin/python3", "-c", "print('inside')"
    )

    assert said == "inside\n"


def test_a_chart_is_installed(
    cluster: Cluster, namespace: str, python_image: str, tmp_path: Path
) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: tiny\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text("greeting: hello\n")
    (chart / "templates" / "map.yaml").write_text(
        textwrap.dedent("""\
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: "{{ .Release.Name }}-map"}
            data: {greeting: "{{ .Values.greeting }}"}
        """)
    )

    cluster.helm("install", "mine", str(chart), f"--namespace={namespace}", "--set=greeting=hi")

    where = f"--namespace={namespace}"
    assert cluster.get("configmap", "mine-map", where)["data"] == {"greeting": "hi"}
    assert json.loads(cluster.helm("list", where, "--output=json"))[0]["status"] == "deployed"


def test_the_audit_log_says_who_did_what(
    cluster: Cluster, namespace: str, python_image: str
) -> None:
    pod = pods.make("audited", python_image, ASK_API, service_account=READER)
    pods.output_of(cluster, namespace, pod)

    account = f"system:serviceaccount:{namespace}:{READER}"
    seen = {
        (event["verb"], event["objectRef"]["resource"], event["responseStatus"]["code"])
        for event in cluster.audit_events()
        if event["user"]["username"] == account and "objectRef" in event
    }

    assert seen == {("get", "configmaps", 200)}


def test_certificates_are_checked(cluster: Cluster) -> None:
    text = cluster.kubeconfig.read_text()

    assert "certificate-authority" in text
    assert "insecure" not in text
