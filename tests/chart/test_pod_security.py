"""The checker itself: each rule of the Pod Security Standards bites."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.chart import pod_security

Spec = dict[str, Any]


def closed() -> Spec:
    """A pod that `restricted` takes."""
    return {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "tmp", "emptyDir": {}}],
        "containers": [
            {
                "name": "main",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def container(**changes: Any) -> Callable[[Spec], None]:
    return lambda spec: spec["containers"][0].update(changes)


def context(**changes: Any) -> Callable[[Spec], None]:
    return lambda spec: spec["containers"][0]["securityContext"].update(changes)


def pod(**changes: Any) -> Callable[[Spec], None]:
    return lambda spec: spec.update(changes)


def pod_context(**changes: Any) -> Callable[[Spec], None]:
    return lambda spec: spec["securityContext"].update(changes)


BASELINE = {
    "host network": pod(hostNetwork=True),
    "host PIDs": pod(hostPID=True),
    "host IPC": pod(hostIPC=True),
    "host path": pod(volumes=[{"name": "a", "hostPath": {"path": "/"}}]),
    "sysctl": pod_context(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "host process": pod_context(windowsOptions={"hostProcess": True}),
    "privileged": context(privileged=True),
    "capability": context(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    "proc mount": context(procMount="Unmasked"),
    "host port": container(ports=[{"containerPort": 1, "hostPort": 1}]),
    "probe elsewhere": container(livenessProbe={"tcpSocket": {"host": "a", "port": 1}}),
    "hook elsewhere": container(lifecycle={"preStop": {"httpGet": {"host": "a", "port": 1}}}),
    "no seccomp": context(seccompProfile={"type": "Unconfined"}),
    "no AppArmor": context(appArmorProfile={"type": "Unconfined"}),
    "SELinux": context(seLinuxOptions={"type": "spc_t"}),
}

RESTRICTED = {
    "volume": pod(volumes=[{"name": "a", "nfs": {"server": "a", "path": "/"}}]),
    "privileges": context(allowPrivilegeEscalation=None),
    "root": pod_context(runAsNonRoot=None),
    "root in the container": context(runAsNonRoot=False),
    "user 0": context(runAsUser=0),
    "user 0 of the pod": pod_context(runAsUser=0),
    "no seccomp profile": pod_context(seccompProfile=None),
    "capabilities kept": context(capabilities={"drop": ["KILL"]}),
    "capability of baseline": context(capabilities={"drop": ["ALL"], "add": ["CHOWN"]}),
}


@pytest.mark.parametrize("change", BASELINE.values(), ids=BASELINE)
def test_baseline_refuses(change: Callable[[Spec], None]) -> None:
    spec = closed()
    change(spec)

    assert len(pod_security.baseline(spec)) == 1
    assert pod_security.restricted(spec)


@pytest.mark.parametrize("change", RESTRICTED.values(), ids=RESTRICTED)
def test_restricted_refuses(change: Callable[[Spec], None]) -> None:
    spec = closed()
    change(spec)

    assert pod_security.baseline(spec) == []
    assert len(pod_security.restricted(spec)) == 1


@pytest.mark.parametrize("group", ["initContainers", "ephemeralContainers"])
def test_no_container_is_overlooked(group: str) -> None:
    spec = closed()
    spec[group] = copy.deepcopy(spec["containers"])
    spec[group][0]["securityContext"] = {}

    assert len(pod_security.restricted(spec)) == 2


def test_a_closed_pod_passes() -> None:
    assert pod_security.restricted(closed()) == []
